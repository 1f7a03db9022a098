"""Local servers that note what reaches them: one that takes every POST, over TLS if told, and a proxy."""

from __future__ import annotations

import base64
import http.client
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

BLOCK_BYTES = 65_536
SILENCE_SECONDS_MAX = 10.0


class Server(ThreadingHTTPServer):
    """Takes every request and answers `status`."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.scheme = "http"
        self.status = 200
        self.bodies: list[bytes] = []
        if tls is not None:
            self.scheme = "https"
            # The handshake is made by the request's own thread: a client that does not trust us must not stop the rest.
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that left, or does not trust us, is what some tests are about."""


class _Taking(BaseHTTPRequestHandler):
    server: Server
    timeout = SILENCE_SECONDS_MAX

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: Any) -> None:
        pass


class ProxyServer(ThreadingHTTPServer):
    """Forwards, and opens tunnels by CONNECT; `user` must say who it is, if there is one."""

    def __init__(self, user: tuple[str, str] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Forwarding)
        self.user = user
        self.refusal = 0
        """Answer this to everybody."""
        self.targets: list[str] = []
        """Method and address of what was asked for, in order."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients are killed in the middle."""


class _Forwarding(BaseHTTPRequestHandler):
    server: ProxyServer
    timeout = SILENCE_SECONDS_MAX
    protocol_version = "HTTP/1.1"

    def do_CONNECT(self) -> None:
        if self._is_refused():
            return
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=SILENCE_SECONDS_MAX) as target:
            self.send_response(200)
            self.end_headers()
            sides = {self.connection: target, target: self.connection}
            while ready := select.select(list(sides), [], [], SILENCE_SECONDS_MAX)[0]:
                for side in ready:
                    block = side.recv(BLOCK_BYTES)
                    if not block:
                        self.close_connection = True
                        return
                    sides[side].sendall(block)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._is_refused():
            return
        address = urlsplit(self.path)
        line = http.client.HTTPConnection(address.hostname or "", address.port, timeout=SILENCE_SECONDS_MAX)
        headers = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
        line.request("POST", address._replace(scheme="", netloc="").geturl(), body, headers)
        answer = line.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name in ("Content-Type", "Retry-After"):
            if name in answer.headers:
                self.send_header(name, answer.headers[name])
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        line.close()

    def _is_refused(self) -> bool:
        self.server.targets.append(f"{self.command} {self.path}")
        wanted = self.server.user and base64.b64encode(":".join(self.server.user).encode()).decode()
        status = self.server.refusal
        if wanted and self.headers.get("Proxy-Authorization") != f"Basic {wanted}":
            status = 407
        if status:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()
        return bool(status)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(server: Any) -> Iterator[Any]:
    """The server, at work."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
