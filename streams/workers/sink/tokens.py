"""Tokens of a destination that wants one: fetched before a scope's first request, and again before they expire."""

from __future__ import annotations

from dataclasses import dataclass

from streams.delivery.contract import Request, Response, Retry, SignIn, Token, Verdict

EARLY_SECONDS_MAX = 60.0
EARLY_SHARE = 0.1
"""A new token is fetched a tenth of its life before it expires, a minute at most: requests take time to arrive."""


@dataclass(slots=True)
class _Held:
    token: Token
    until: float
    is_proved: bool = False


class Tokens:
    """One token per scope. Seconds are of the monotonic clock."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}
        self._asked: dict[int, tuple[str, float]] = {}

    def current(self, scope: str, now: float) -> Token | None:
        """The scope's token, if it is good for a while."""
        held = self._held.get(scope)
        return held.token if held is not None and now < held.until else None

    def awaits(self, scope: str) -> bool:
        return any(asked == scope for asked, _ in self._asked.values())

    def asked(self, ticket: int, scope: str, now: float) -> None:
        """A token was asked for with this ticket."""
        self._asked[ticket] = scope, now

    def asker(self, ticket: int) -> tuple[str, float] | None:
        """The scope that asked with this ticket and when; None: the ticket is no token's. Told once."""
        return self._asked.pop(ticket, None)

    def take(self, scope: str, sign_in: SignIn, response: Response, now: float) -> Verdict | None:
        """Keep the token of an answer; else what the answer means."""
        match sign_in.read(response):
            case Token() as token:
                early = min(EARLY_SECONDS_MAX, token.seconds * EARLY_SHARE)
                self._held[scope] = _Held(token, now + token.seconds - early)
                return None
            case verdict:
                return verdict

    def proved(self, scope: str, token: Token | None) -> None:
        """A request with this token was accepted."""
        held = self._held.get(scope)
        if held is not None and held.token is token:
            held.is_proved = True

    def refused(self, scope: str, token: Token | None) -> Retry | None:
        """A 401 for a request with this token: try again with a new one, unless this one was new and never accepted:
        then it is the credentials that are refused."""
        held = self._held.get(scope)
        if held is not None and held.token is token:
            del self._held[scope]
            if not held.is_proved:
                return None
        return Retry("the token was refused, a new one is fetched", status=401)

    def forget(self) -> None:
        """The secrets were read again."""
        self._held.clear()


def signed(request: Request, sign_in: SignIn | None, token: Token | None) -> Request:
    """The request as it leaves."""
    return request if sign_in is None or token is None else sign_in.sign(request, token)
