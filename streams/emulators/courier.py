"""What an emulated vendor sends by itself: requests that are due, and the one that sends them. The vendor decides, with
the emulator's clock; only the courier does I/O."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
from pydantic import BaseModel, ConfigDict

from streams.emulators.clock import Clock

ANSWER_SECONDS_MAX = 20.0
"""A receiver that takes longer counts as silent. Neither vendor says how long it waits."""
TICK_SECONDS = 0.2
"""How often the courier looks at the clock while nobody calls."""
SENDINGS_MAX = 10_000
"""How many sendings are remembered."""
RETRIED = frozenset({408, 429})
"""Statuses under 500 after which a request is sent again."""


@dataclass(frozen=True, slots=True)
class Post:
    """One request to send. `kind` is what the vendor calls it."""

    kind: str
    url: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """`status` is None if there was no whole answer."""

    status: int | None
    body: bytes = b""

    @property
    def is_good(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_worth_another_try(self) -> bool:
        return self.status is None or self.status >= 500 or self.status in RETRIED


class Order(BaseModel):
    """The content of a control call about what is sent."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class WrongOrder(Exception):
    """A control call that names something that is not there. The text says what there is."""


OrderCall = Callable[[Any, int], dict[str, Any]]
"""Gets the parsed body and the time in milliseconds. Raises `WrongOrder` and pydantic's `ValidationError`."""


class Outbox(Protocol):
    """What one vendor sends. Pure: every method gets the time."""

    @property
    def calls(self) -> Mapping[tuple[str, str], OrderCall]:
        """Control calls by method and name."""

    def due(self, now_ms: int) -> Post | None:
        """What has to be sent now; the same object until `answered` was called with it."""

    def answered(self, post: Post, reply: Reply, now_ms: int) -> None:
        """What came of it. Changes nothing if `post` is no longer wanted."""

    def reset(self) -> None: ...


class Courier:
    """Sends what is due, one request after the other, and remembers what was answered."""

    def __init__(self, outbox: Outbox, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock
        self._turn = asyncio.Lock()
        self._sendings: deque[dict[str, Any]] = deque(maxlen=SENDINGS_MAX)
        self._resets = 0

    def sendings(self) -> list[dict[str, Any]]:
        """The newest requests that were sent. No body and no key: only what, where, when and the answer's status."""
        return list(self._sendings)

    def reset(self) -> None:
        """Forget what was sent, and what is under way."""
        self._resets += 1
        self._sendings.clear()

    async def run(self) -> None:
        """Deliver for ever."""
        while True:
            await self.deliver()
            await asyncio.sleep(TICK_SECONDS)

    async def deliver(self) -> None:
        """Send until nothing is due at the time of the emulator's clock."""
        async with self._turn:
            if self._outbox.due(self._clock.now_ms()) is None:
                return
            timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX)
            async with aiohttp.ClientSession(timeout=timeout) as session:
                while (post := self._outbox.due(self._clock.now_ms())) is not None:
                    resets = self._resets
                    reply = await _sent(session, post)
                    if self._resets != resets:
                        continue
                    now_ms = self._clock.now_ms()
                    self._sendings.append(
                        {
                            "sent_at_ms": now_ms,
                            "kind": post.kind,
                            "url": post.url,
                            "bytes": len(post.body),
                            "status": reply.status,
                        }
                    )
                    self._outbox.answered(post, reply, now_ms)


async def _sent(session: aiohttp.ClientSession, post: Post) -> Reply:
    headers = {"Content-Type": "application/json", **post.headers}
    try:
        async with session.post(post.url, data=post.body, headers=headers, allow_redirects=False) as answer:
            return Reply(answer.status, await answer.read())
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return Reply(None)
