"""The HTTP port of a process: `/livez`, `/readyz` and `/metrics` on threads of their own, and nothing else.

Small on purpose: four threads, five seconds a connection, GET only. What it tells comes from functions that answer at
once, so a stuck worker does not make its own health page stick.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

THREADS_MAX = 4
"""Two probes, one scrape, and somebody who looks."""
WAITING_MAX = 16
"""Connections that wait for a thread; more are closed at once."""
CONNECTION_SECONDS_MAX = 5.0
"""However slowly it is asked or read: then the connection is closed."""
LOOK_SECONDS = 0.5
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Page:
    """What a path answers."""

    status: int
    body: bytes
    content_type: str = TEXT


Pages = Mapping[str, Callable[[], Page]]


class PortTaken(Exception):
    """Nothing can listen at this host and port; the text says why."""


class HealthServer:
    """Serves `pages` until it is closed; a `port` of 0 takes any that is free."""

    def __init__(self, host: str, port: int, pages: Pages) -> None:
        """Raises `PortTaken`."""
        try:
            self._server = _Server(host, port, pages)
        except OSError as error:
            raise PortTaken(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(LOOK_SECONDS,), name="health", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(CONNECTION_SECONDS_MAX)
        self._server.server_close()


class _Server(HTTPServer):
    request_queue_size = WAITING_MAX

    def __init__(self, host: str, port: int, pages: Pages) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.pages = pages
        self._pool = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="health")
        self._open: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        super().__init__((host, port), _Asked)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            is_full = len(self._open) >= THREADS_MAX + WAITING_MAX
            if not is_full:
                self._open[request] = time.monotonic()
        if is_full:
            self.shutdown_request(request)
        else:
            self._pool.submit(self._serve, request, client_address)

    def service_actions(self) -> None:
        """Twice a second: whoever dribbles is cut off, whatever single time-outs allow."""
        now = time.monotonic()
        with self._lock:
            for request, began in self._open.items():
                if now - began > CONNECTION_SECONDS_MAX:
                    _cut_off(request)

    def server_close(self) -> None:
        with self._lock:
            for request in self._open:
                _cut_off(request)
        self._pool.shutdown(wait=True)
        super().server_close()

    def handle_error(self, _request: Any, _client_address: Any) -> None:
        """A client that went away is no event."""

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError:
            self.handle_error(request, client_address)
        finally:
            with self._lock:
                self._open.pop(request, None)
            self.shutdown_request(request)


class _Asked(BaseHTTPRequestHandler):
    server: _Server
    timeout = CONNECTION_SECONDS_MAX
    server_version = "streams"
    sys_version = ""

    def do_GET(self) -> None:
        make = self.server.pages.get(self.path.partition("?")[0])
        if make is None:
            there_is = " ".join(self.server.pages)
            self._answer(Page(404, f"there is {there_is}\n".encode()))
        else:
            self._answer(make())

    def _refuse(self) -> None:
        self._answer(Page(405, b"GET only\n"))

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = _refuse  # noqa: N815 - the base class names them

    def _answer(self, page: Page) -> None:
        self.send_response(page.status)
        if page.status == 405:
            self.send_header("Allow", "GET")
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Probes ask every few seconds: not a line each."""


def _cut_off(request: socket.socket) -> None:
    try:
        request.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it was closed meanwhile
