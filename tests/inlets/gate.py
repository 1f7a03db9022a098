"""Stands before a store's server, and refuses everything while it is shut, as a bucket whose rights were taken away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REFUSED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
HOP = frozenset({"connection", "transfer-encoding", "content-length", "date", "server"})
"""Headers that each of the two servers sets itself."""


class Gate:
    """`shut()` and `open()` at any moment; `refused` counts requests."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.refused = 0
        self.is_shut = False

    def shut(self) -> None:
        self.is_shut = True

    def open(self) -> None:
        self.is_shut = False


@contextmanager
def gate(behind: str) -> Iterator[Gate]:
    """A gate before the server at this address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if made.is_shut:
                made.refused += 1
                self._answer(403, {"Content-Type": "application/xml"}, REFUSED)
                return
            connection = HTTPConnection(behind.removeprefix("http://"), timeout=60)
            try:
                connection.request(self.command, self.path, headers=dict(self.headers.items()))
                response = connection.getresponse()
                headers = {name: value for name, value in response.getheaders() if name.lower() not in HOP}
                self._answer(response.status, headers, response.read())
            finally:
                connection.close()

        def do_HEAD(self) -> None:
            self.do_GET()

        def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made = Gate(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
