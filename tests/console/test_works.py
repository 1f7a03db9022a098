"""Work that takes longer than a page: it can be left, its failure is told, and memory of it is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, cast

import pytest

from streams.operations.installation import Installation
from streams.ports.errors import KafkaUnreachable
from streams.testing.clock import MovableClock
from streams.web.console.client_threads import RECENT_SECONDS, ClientThread, Recent
from streams.web.console.works import WORKS_MAX, Work, Works

NOBODY = cast(Installation, None)
"""These works ask no Kafka."""


class OneAtATime:
    """A thread that does what it was given when it is told to."""

    def __init__(self) -> None:
        self.given: list[Callable[[Installation], Any]] = []

    def submit(self, ask: Callable[[Installation], Any]) -> Future[Any]:
        self.given.append(ask)
        return Future()

    def go_on(self) -> None:
        while self.given:
            self.given.pop(0)(NOBODY)


@pytest.fixture
def thread() -> OneAtATime:
    return OneAtATime()


@pytest.fixture
def works() -> Works:
    return Works(lambda: 1_000, lambda: None)


def begin(works: Works, thread: OneAtATime, do: Callable[[Installation, Work], Any]) -> Work:
    return works.begin(cast(ClientThread, thread), "plan", "growth", "ada", do)


def test_work_that_is_left_ends_at_its_next_report_and_comes_to_nothing(works: Works, thread: OneAtATime) -> None:
    read = []

    def count(_installation: Installation, work: Work) -> int:
        for number in range(1_000):
            read.append(number)
            work.is_left = work.is_left or number == 9
            work.report(number)
        return len(read)

    work = begin(works, thread, count)
    assert (work.is_running, work.to_json()["state"]) == (True, "running")
    thread.go_on()
    assert (len(read), work.result, work.to_json()["state"]) == (10, None, "left")


def test_a_failure_is_told_with_its_fix_and_a_fault_without_its_insides(works: Works, thread: OneAtATime) -> None:
    def away(_installation: Installation, _work: Work) -> None:
        raise KafkaUnreachable("nobody answers at kafka:9092")

    def wrong(_installation: Installation, _work: Work) -> None:
        raise RuntimeError("the insides")

    told, fault = begin(works, thread, away), begin(works, thread, wrong)
    thread.go_on()
    assert (told.status, told.failure) == (503, "nobody answers at kafka:9092")
    assert "streams doctor" in told.fix
    assert (fault.status, "the insides" in fault.failure) == (500, False)


def test_the_oldest_of_many_ended_works_is_forgotten_first_and_one_under_way_never(
    works: Works, thread: OneAtATime
) -> None:
    waits = begin(works, OneAtATime(), lambda _installation, _work: None)
    ended = []
    for _ in range(WORKS_MAX + 20):
        ended.append(begin(works, thread, lambda _installation, _work: None))
        thread.go_on()
    assert works.find(waits.id) is waits
    assert works.find(ended[0].id) is None
    assert works.find(ended[-1].id) is ended[-1]
    assert sum(works.find(one.id) is not None for one in ended) <= WORKS_MAX


class Asking:
    """A thread whose questions the test answers."""

    def __init__(self) -> None:
        self.asked: list[Future[int]] = []

    def submit(self, _ask: Callable[[Installation], int]) -> Future[int]:
        self.asked.append(Future())
        return self.asked[-1]


def test_an_old_answer_is_shown_while_kafka_is_asked_again_and_none_after_a_failure() -> None:
    thread, clock = Asking(), MovableClock()
    recent = Recent(cast(ClientThread, thread), lambda _installation: 0, clock)

    async def answered(number: int, answer: int | Exception) -> int:
        page = asyncio.create_task(recent.get())
        await asyncio.sleep(0)
        if isinstance(answer, int):
            thread.asked[number].set_result(answer)
        else:
            thread.asked[number].set_exception(answer)
        return await page

    async def pages() -> None:
        assert await answered(0, 1) == 1
        clock.advance(RECENT_SECONDS)
        assert (await recent.get(), len(thread.asked)) == (1, 1)
        clock.advance(1)
        assert (await recent.get(), len(thread.asked)) == (1, 2)
        thread.asked[1].set_result(2)
        assert await recent.get() == 2
        clock.advance(RECENT_SECONDS + 1)
        assert await recent.get() == 2
        thread.asked[2].set_exception(KafkaUnreachable("away"))
        with pytest.raises(KafkaUnreachable):
            await answered(3, KafkaUnreachable("still away"))
        assert await answered(4, 3) == 3

    asyncio.run(pages())
