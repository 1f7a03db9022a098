"""A server that takes lines and hands out tokens, which a test may revoke."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

SECRET = "the-secret-of-lines"


class Lines:
    """What was taken, and which token is good."""

    def __init__(self) -> None:
        self.base_url = ""
        self.taken: list[dict[str, Any]] = []
        self.tokens = 0
        self.good = ""
        self.refused_users: set[str] = set()
        self._lock = threading.Lock()

    def grant(self, form: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        if form.get("client_secret") != [SECRET]:
            return 401, {"error": "invalid_client"}
        with self._lock:
            self.tokens += 1
            self.good = f"token-{self.tokens}"
            return 200, {"access_token": self.good, "expires_in": 3600}

    def take(self, authorization: str, body: bytes) -> tuple[int, dict[str, Any]]:
        with self._lock:
            if authorization != f"Bearer {self.good}":
                return 401, {"error": "the token is not known"}
            lines = [json.loads(line) for line in body.splitlines()]
            errors = [
                {"line": number, "message": "the user is not known"}
                for number, line in enumerate(lines)
                if line["user"] in self.refused_users
            ]
            self.taken += [line for line in lines if line["user"] not in self.refused_users]
            return 200, {"taken": len(lines) - len(errors), "errors": errors}

    def revoke(self) -> None:
        """The token in use is good no more."""
        with self._lock:
            self.good = ""


@contextmanager
def serving() -> Iterator[Lines]:
    """A server on a free port."""
    lines = Lines()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            if self.path == "/token":
                status, content = lines.grant(parse_qs(body.decode()))
            else:
                status, content = lines.take(self.headers.get("Authorization", ""), body)
            answer = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    lines.base_url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield lines
    finally:
        server.shutdown()
        server.server_close()
