"""A schema registry of the tests' own, over HTTP, that answers as Confluent's does."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

KIND = "application/vnd.schemaregistry.v1+json"
Says = tuple[int, str, bytes]


def error(status: int, code: int, message: str) -> Says:
    return status, KIND, json.dumps({"error_code": code, "message": message}).encode()


class Registry:
    """Subjects, versions and ids as Confluent's registry serves them. `says` answers in its place, if set."""

    def __init__(self) -> None:
        self.says: Callable[[str], Says] | None = None
        self.asked: list[str] = []
        self.authorizations: list[str | None] = []
        self._subjects: dict[str, list[dict[str, Any]]] = {}
        self._deleted: set[tuple[str, int]] = set()
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                registry.asked.append(self.path)
                registry.authorizations.append(self.headers.get("Authorization"))
                status, kind, body = (registry.says or registry._answer)(self.path)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def register(
        self, subject: str, schema: Any, references: list[tuple[str, str, int]] | None = None, kind: str = "AVRO"
    ) -> int:
        """The new schema's id."""
        number = sum(map(len, self._subjects.values())) + 1
        entry: dict[str, Any] = {"id": number, "schema": schema if isinstance(schema, str) else json.dumps(schema)}
        if kind != "AVRO":
            entry["schemaType"] = kind
        if references:
            entry["references"] = [
                {"name": name, "subject": subject, "version": version} for name, subject, version in references
            ]
        self._subjects.setdefault(subject, []).append(entry)
        return number

    def delete(self, subject: str, version: int) -> None:
        self._deleted.add((subject, version))

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _answer(self, path: str) -> Says:
        parts = [unquote(part) for part in urlsplit(path).path.strip("/").split("/")]
        if parts[:2] == ["schemas", "ids"]:
            for entry in (one for versions in self._subjects.values() for one in versions):
                if entry["id"] == int(parts[2]):
                    return self._found({key: item for key, item in entry.items() if key != "id"})
            return error(404, 40403, f"Schema {parts[2]} not found")
        subject, version = parts[1], int(parts[3])
        with_deleted = parse_qs(urlsplit(path).query).get("deleted") == ["true"]
        if subject not in self._subjects:
            return error(404, 40401, f"Subject '{subject}' not found.")
        if (subject, version) in self._deleted and not with_deleted:
            return error(404, 40402, f"Version {version} not found.")
        return self._found({"subject": subject, "version": version, **self._subjects[subject][version - 1]})

    @staticmethod
    def _found(entry: dict[str, Any]) -> Says:
        return 200, KIND, json.dumps(entry).encode()
