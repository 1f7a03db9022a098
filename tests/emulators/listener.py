"""A server that notes what an emulated vendor sends, and answers as the test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Heard:
    headers: Message
    body: bytes
    path: str


class Listener:
    """A context manager. `status` and `body` are the answers from now on."""

    def __init__(self) -> None:
        self.requests: list[Heard] = []
        self.status = 200
        self.body: Callable[[Any], Any] = lambda _: {}
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                heard = Heard(self.headers, self.rfile.read(int(self.headers["Content-Length"])), self.path)
                listener.requests.append(heard)
                body = json.dumps(listener.body(json.loads(heard.body))).encode()
                self.send_response(listener.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/receive"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def taken(self) -> list[Any]:
        """The bodies so far; they are forgotten."""
        bodies = [json.loads(heard.body) for heard in self.requests]
        self.requests.clear()
        return bodies
