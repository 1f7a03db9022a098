"""Requests, and what the answers mean: `{"taken": n, "errors": [{"line": n, "message": "..."}]}`, lines from 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import orjson
from newline_destination.mapping import EVENTS
from newline_destination.settings import NewlineSettings

from streams.delivery.contract import (
    Delivered,
    Destination,
    Encoder,
    Encoding,
    Limits,
    Misconfigured,
    Refused,
    Rejected,
    Request,
    Response,
    Retry,
    SignIn,
    Token,
    Unauthorised,
    Undetermined,
    Verdict,
    decoded,
)
from streams.destinations.answers import Answers
from streams.destinations.detail import masked
from streams.events.schema import WriterSchema

SCOPE = "default"
RECORD_BYTES_MAX = 20_000


class NewlineDestination(Destination):
    """One server."""

    def __init__(self, settings: NewlineSettings) -> None:
        self._base = settings.base_url.rstrip("/")
        self._secrets = (settings.client_secret.reveal(),)
        self._answers = Answers("the server", self._accepted, accepts=frozenset({200}), words=self._words)
        self._sign_in = _ClientCredentials(self._base, settings)

    @property
    def scopes(self) -> tuple[str, ...]:
        return (SCOPE,)

    @property
    def limits(self) -> Limits:
        return Limits(
            batch_records_max=50,
            batch_bytes_max=100_000,
            record_bytes_max=RECORD_BYTES_MAX,
            requests_in_flight_max=2,
            retry_base_seconds=0.5,
            records_per_second=None,
            separator_bytes=1,
            envelope_bytes=0,
        )

    @property
    def sign_in(self) -> SignIn:
        return self._sign_in

    def encoder(self, schema: WriterSchema) -> Encoder | None:
        mapped = EVENTS.get(schema.event_type)
        if mapped is None:
            return None

        def encode(event: Mapping[str, object]) -> Encoding:
            event_id, time, user = (event.get(name) for name in ("id", "time", "external_user_id"))
            if not event_id or time is None:
                return Rejected("id or time is missing")
            if not user:
                return Rejected("no external_user_id")
            body = orjson.dumps({"id": event_id, "user": user, "what": mapped.name, "at": time})
            if len(body) > RECORD_BYTES_MAX:
                return Rejected(f"the event is {len(body)} bytes, and the server takes {RECORD_BYTES_MAX}")
            return SCOPE, body, 0

        return decoded(schema, encode)

    def request(self, scope: str, bodies: Sequence[bytes]) -> Request:
        body = b"".join(body + b"\n" for body in bodies)
        return Request("POST", f"{self._base}/lines", {"Content-Type": "application/x-ndjson"}, body)

    def interpret(self, response: Response, request: Request, records: int) -> Verdict:
        return self._answers.verdict(response, request, records)

    def probe(self, scope: str, nonce: str, now_ms: int) -> Request:
        return self.request(scope, [])

    def _accepted(self, response: Response, request: Request, records: int) -> Verdict:
        content = _json(response)
        taken, errors = content.get("taken"), content.get("errors")
        if not isinstance(taken, int) or not isinstance(errors, list):
            return Misconfigured("status 200 with a body that is not the server's")
        details: dict[int, str] = {}
        for error in errors:
            line = error.get("line") if isinstance(error, dict) else None
            if not isinstance(line, int) or not 0 <= line < records:
                return Undetermined("an error without a line", 200)
            details[line] = masked(str(error.get("message", "refused")), self._secrets)
        if taken + len(details) != records:
            return Undetermined("lines are missing from the answer", 200)
        return Refused(details) if details else Delivered()

    def _words(self, response: Response) -> str:
        return masked(str(_json(response).get("error", "")), self._secrets)


class _ClientCredentials:
    """OAuth 2.0's client credentials grant."""

    def __init__(self, base: str, settings: NewlineSettings) -> None:
        self._url = f"{base}/token"
        secret = settings.client_secret.reveal()
        form = {"grant_type": "client_credentials", "client_id": settings.client_id, "client_secret": secret}
        self._body = urlencode(form).encode()
        self._answers = Answers("the token server", self._granted, accepts=frozenset({200}))

    def ask(self, scope: str) -> Request:
        return Request("POST", self._url, {"Content-Type": "application/x-www-form-urlencoded"}, self._body)

    def read(self, response: Response) -> Token | Retry | Unauthorised | Misconfigured:
        match self._answers.verdict(response, self.ask(SCOPE), 1):
            case Delivered():
                content = _json(response)
                return Token(str(content["access_token"]), float(content["expires_in"]))
            case Retry() | Unauthorised() | Misconfigured() as verdict:
                return verdict
            case _:  # RFC 6749 5.2: a client that is not known may be 400
                return Unauthorised(401, f"status {response.status} in place of a token")

    def sign(self, request: Request, token: Token) -> Request:
        return replace(request, headers={**request.headers, "Authorization": f"Bearer {token.text}"})

    def _granted(self, response: Response, request: Request, records: int) -> Verdict:
        content = _json(response)
        if isinstance(content.get("access_token"), str) and isinstance(content.get("expires_in"), int | float):
            return Delivered()
        return Misconfigured("status 200 without a token")


def _json(response: Response) -> dict[str, Any]:
    try:
        content = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}
