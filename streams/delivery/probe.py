"""One probe of a scope's credentials: the requests it takes, and what the answers say. Decides only; others send.

A destination that wants a token takes two requests: one for the token, one with it.
"""

from __future__ import annotations

from typing import assert_never

from streams.delivery.contract import (
    Destination,
    Misconfigured,
    NoResponse,
    Request,
    Response,
    Retry,
    Token,
    Unauthorised,
)

SPEAKING = frozenset({401, 403})
"""Statuses that refuse credentials, unless a proxy answered in the destination's place."""


class Probe:
    """Send `request`, give the answer to `answered`, and so on until `request` is None; then `status` and `detail`
    tell. 2xx: the credentials are good. 401, 403: bad. Anything else says nothing, and 0 is no answer or a proxy's."""

    __slots__ = ("_destination", "_probe", "detail", "request", "status")

    def __init__(self, destination: Destination, scope: str, nonce: str, now_ms: int) -> None:
        self.status = 0
        self.detail = ""
        self._destination = destination
        self._probe: Request | None = destination.probe(scope, nonce, now_ms)
        self.request: Request | None = self._probe
        if destination.sign_in is not None:
            self.request = destination.sign_in.ask(scope)

    def answered(self, answer: Response | NoResponse) -> None:
        """The answer to `request`."""
        request, sign_in = self.request, self._destination.sign_in
        assert request is not None, "nothing was asked"
        self.request = None
        if isinstance(answer, NoResponse):
            self.detail = answer.detail
        elif sign_in is None or request is self._probe:
            self._take(answer, request)
        else:
            match sign_in.read(answer):
                case Token() as token:
                    assert self._probe is not None
                    self.request = self._probe = sign_in.sign(self._probe, token)
                case Unauthorised(status=status, detail=detail):
                    self.status, self.detail = status, detail
                case Retry(status=status, detail=detail):
                    self.status, self.detail = status, detail
                case Misconfigured(detail=detail):
                    self.detail = detail
                case other:
                    assert_never(other)

    def _take(self, answer: Response, request: Request) -> None:
        verdict = self._destination.interpret(answer, request, 1)
        is_foreign = isinstance(verdict, Misconfigured)
        speaks = 200 <= answer.status < 300 or answer.status in SPEAKING
        self.status = 0 if is_foreign and speaks else answer.status
        if not 200 <= self.status < 300:
            self.detail = getattr(verdict, "detail", "")
