"""Waits while an object store does not serve us: for ever, asked again at most every minute, and told."""

from __future__ import annotations

from random import Random

import structlog

from streams.delivery.backoff import wait_seconds
from streams.ports.clock import Clock

log = structlog.get_logger(__name__)

BASE_SECONDS = 1.0
SAY_SECONDS = 60.0


class Trouble:
    """One back-off for all requests to a store."""

    def __init__(self, inlet: str, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._random = random
        self._failures = 0
        self._until = 0.0
        self._say_at = float("-inf")
        self._log = log.bind(inlet=inlet)
        self.reason = ""
        """Why the store does not serve us, in one word; empty while it does."""
        self.detail = ""

    @property
    def waits(self) -> bool:
        return self._clock.monotonic() < self._until

    def failed(self, reason: str, detail: str) -> None:
        """A request was not served: ask again later."""
        now = self._clock.monotonic()
        self._failures += 1
        self._until = now + wait_seconds(BASE_SECONDS, self._failures, self._random)
        self.reason, self.detail = reason, detail
        if now >= self._say_at:
            self._say_at = now + SAY_SECONDS
            self._log.warning("the inlet waits and tries again", reason=reason, error=detail)

    def served(self) -> None:
        """A request was served."""
        if self._failures:
            self._log.info("the inlet continues", failures=self._failures)
        self._failures, self._until, self.reason, self.detail = 0, 0.0, "", ""
        self._say_at = float("-inf")
