"""Who asks: people with tokens and a cookie, people that a proxy names, or the user of this machine."""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from streams.config.console import Console, ConsoleProxy
from streams.ports.clock import Clock
from streams.values import Secret
from streams.web.console.failures import PageError

COOKIE = "streams_session"
SESSION_SECONDS = 12 * 3_600
SESSIONS_MAX = 1_000
"""The oldest is forgotten first: its owner signs in again."""
FREE_FAILURES = 3
"""Wrong tokens before an attempt has to wait."""
WAIT_SECONDS_MAX = 60.0
FORGET_SECONDS = 900.0
"""Without another failure for so long, attempts are free again."""
USER_CHARACTERS_MAX = 120


@dataclass(frozen=True, slots=True)
class User:
    """`name` goes to the audit. `csrf` must be in every form that this user sends."""

    name: str
    csrf: str
    can_sign_out: bool = False


class Slowness:
    """How long the next attempt has to wait: doubled with each failure. Of all senders together: a proxy hides them."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._failures = 0
        self._failed_at = float("-inf")

    def wait_seconds(self) -> float:
        """0 if an attempt may be made now."""
        now = self._monotonic()
        if now - self._failed_at > FORGET_SECONDS:
            self._failures = 0
        over = self._failures - FREE_FAILURES
        wait = 0.0 if over < 0 else min(WAIT_SECONDS_MAX, 2.0**over)
        return max(0.0, self._failed_at + wait - now)

    def failed(self) -> None:
        self._failures += 1
        self._failed_at = self._monotonic()

    def succeeded(self) -> None:
        self._failures = 0


class Sessions:
    """Identifies requests by the configuration's `auth`. One loop uses it."""

    def __init__(self, settings: Console, machine_user: str, clock: Clock) -> None:
        """`machine_user` acts where there is no `auth`."""
        auth = settings.auth
        self._tokens: Mapping[str, Secret] = {} if auth is None or auth.tokens is None else auth.tokens
        self._proxy: ConsoleProxy | None = None if auth is None else auth.proxy
        self._machine_user = machine_user
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._sessions: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self.slowness = Slowness(clock.monotonic)

    @property
    def has_sign_in(self) -> bool:
        return bool(self._tokens)

    def user(self, cookie: str | None, authorization: str, headers: Mapping[str, str]) -> User | None:
        """Who asks; None if nobody that is known. Raises `PageError` for a request that passed the proxy by."""
        if self._proxy is not None:
            return self._of_proxy(self._proxy, headers)
        if not self._tokens:
            return User(self._machine_user, self._csrf("machine"))
        if authorization.lower().startswith("bearer "):
            name = self._named_by(authorization[7:].strip())
            return None if name is None else User(name, self._csrf(f"bearer {name}"))
        return self._of_cookie(cookie)

    def sign_in(self, token: str) -> str | None:
        """A new session's id for the cookie; None for a token that nobody has. Raises `PageError` where it is too
        soon after failures."""
        name = self._named_by(token.strip())
        if name is None:
            return None
        session = secrets.token_urlsafe(32)
        while len(self._sessions) >= SESSIONS_MAX:
            self._sessions.popitem(last=False)
        self._sessions[session] = name, self._clock.monotonic() + SESSION_SECONDS
        return session

    def sign_out(self, cookie: str | None) -> None:
        self._sessions.pop(cookie or "", None)

    def is_own_form(self, user: User, csrf: str) -> bool:
        return hmac.compare_digest(user.csrf.encode(), csrf.encode())

    def _named_by(self, token: str) -> str | None:
        wait = self.slowness.wait_seconds()
        if wait > 0:
            raise PageError(
                429, "Too many attempts", f"wrong tokens were tried; the next attempt is taken in {wait:.0f} s", ""
            )
        found = None
        for name, secret in self._tokens.items():  # every one: how long it takes tells nothing
            try:
                wanted = secret.reveal()
            except ValueError:
                continue
            if hmac.compare_digest(wanted.encode(), token.encode()):
                found = name
        if found is None:
            self.slowness.failed()
        else:
            self.slowness.succeeded()
        return found

    def _of_cookie(self, cookie: str | None) -> User | None:
        name, expires = self._sessions.get(cookie or "", ("", 0.0))
        if cookie is None or self._clock.monotonic() >= expires:
            self.sign_out(cookie)
            return None
        return User(name, self._csrf(cookie), can_sign_out=True)

    def _of_proxy(self, proxy: ConsoleProxy, headers: Mapping[str, str]) -> User:
        try:
            wanted = proxy.secret.reveal()
        except ValueError:
            raise PageError(
                503, "The proxy's secret is missing", "console.auth.proxy.secret cannot be read", "set the secret"
            ) from None
        given = headers.get(proxy.secret_header, "")
        name = headers.get(proxy.user_header, "").strip()
        if not hmac.compare_digest(wanted.encode(), given.encode()) or not name or not name.isprintable():
            raise PageError(
                401, "Not through the proxy", "the request did not come through the proxy that signs people in",
                "open the console at its public address",
            )  # fmt: skip
        return User(name[:USER_CHARACTERS_MAX], self._csrf(f"proxy {name}"))

    def _csrf(self, session: str) -> str:
        return hmac.new(self._key, session.encode(), sha256).hexdigest()
