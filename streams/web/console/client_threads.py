"""Threads that talk to Kafka for pages: one for each kind of asking, each with clients of its own that stay open."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from streams.operations.installation import Installation
from streams.operations.schemas import known
from streams.operations.topics import compared
from streams.ports.clock import Clock
from streams.ports.errors import KafkaUnreachable

Result = TypeVar("Result")
Connect = Callable[[str], Installation]
"""Builds an installation for a client of this name; nobody is asked yet."""

PAGE_SECONDS_MAX = 12.0
"""A page waits so long for Kafka, then says that it does not answer. The Kafka client gives up after 10 s."""
RECENT_SECONDS = 10.0
QUEUE_MAX = 50
"""Questions that wait for one thread. Further ones are refused: Kafka is slow, and more of them would not help."""


class ClientThread:
    """One thread, and the installation that only it uses."""

    def __init__(self, connect: Connect, name: str) -> None:
        self._connect = connect
        self._name = name
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._installation: Installation | None = None
        self._waiting = 0
        self._lock = threading.Lock()

    def submit(self, ask: Callable[[Installation], Result]) -> Future[Result]:
        """Ask it after what was asked before. Raises `KafkaUnreachable` where too much waits."""
        with self._lock:
            if self._waiting >= QUEUE_MAX:
                raise KafkaUnreachable(f"{QUEUE_MAX} questions wait for Kafka already: try again in a moment")
            self._waiting += 1
        future = self._executor.submit(self._ask, ask)
        future.add_done_callback(self._is_done)
        return future

    async def ask(self, ask: Callable[[Installation], Result], seconds_max: float = PAGE_SECONDS_MAX) -> Result:
        """The same, for a page. Raises what `ask` does, and `KafkaUnreachable` where it takes too long."""
        return await _answered(asyncio.wrap_future(self.submit(ask)), seconds_max)

    def close(self) -> None:
        """What is asked now ends first; what waits is dropped."""
        self._executor.submit(self._let_go)
        self._executor.shutdown(wait=True)

    def _ask(self, ask: Callable[[Installation], Result]) -> Result:
        if self._installation is None:
            self._installation = self._connect(self._name)
        return ask(self._installation)

    def _is_done(self, _future: Future[Result]) -> None:
        with self._lock:
            self._waiting -= 1

    def _let_go(self) -> None:
        if self._installation is not None:
            self._installation.close()
            self._installation = None


async def _answered(answer: Awaitable[Result], seconds_max: float) -> Result:
    try:
        async with asyncio.timeout(seconds_max):
            return await answer
    except TimeoutError:
        raise KafkaUnreachable(f"Kafka did not answer this page within {seconds_max:.0f} s") from None


class Recent(Generic[Result]):
    """The answer to a question about what changes seldom. Pages get the newest one at once, and Kafka is asked again
    beside them once it is old. After a failure a page waits for the next answer. One loop uses it."""

    def __init__(self, thread: ClientThread, ask: Callable[[Installation], Result], clock: Clock) -> None:
        self._thread = thread
        self._ask = ask
        self._clock = clock
        self._newest: Future[Result] | None = None
        self._known: Future[Result] | None = None
        """The answer before the newest, while that one is on its way; None after a failure."""
        self._asked_at = 0.0

    async def get(self) -> Result:
        """Raises what the question does, and `KafkaUnreachable` where the first answer takes too long."""
        now, newest = self._clock.monotonic(), self._newest
        has_failed = newest is not None and newest.done() and newest.exception() is not None
        if newest is None or has_failed or (newest.done() and now - self._asked_at > RECENT_SECONDS):
            self._known = None if has_failed else newest
            newest = self._newest = self._thread.submit(self._ask)
            self._asked_at = now
        shown = newest if newest.done() or self._known is None else self._known
        return await _answered(asyncio.shield(asyncio.wrap_future(shown)), PAGE_SECONDS_MAX)  # others wait for it, too


class ClientThreads:
    """None holds another up.

    `reads` answer pages at once; `audits` read the audit; `orders` wait for a keeper. `scans` do what a person asked
    for with a form: plans and searches. `counts` read what pages ask for by themselves, a million letters, for example.
    """

    def __init__(self, connect: Connect, clock: Clock) -> None:
        self.reads = ClientThread(connect, "streams-console-reads")
        self.orders = ClientThread(connect, "streams-console-orders")
        self.scans = ClientThread(connect, "streams-console-scans")
        self.counts = ClientThread(connect, "streams-console-counts")
        self.audits = ClientThread(connect, "streams-console-audits")
        self.schemas = Recent(self.reads, known, clock)
        self.topics = Recent(self.reads, compared, clock)

    def close(self) -> None:
        for thread in (self.reads, self.orders, self.scans, self.counts, self.audits):
            thread.close()
