"""A soak's verdict: what is a leak, and what is not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from tests.soak.readings import ProcessReading, Reading, process_reading
from tests.soak.verdict import Judgement, judged

WARM_UP = 10.0


def soak(rss: Callable[[int], float], minutes: int = 120, pid: Callable[[int], int] = lambda _: 1) -> list[Judgement]:
    """The verdict over one process with this memory in each minute."""
    readings = [
        Reading(float(minute), {"sink": ProcessReading(pid(minute), rss(minute), 30, 12)}, 40, 9_000, {}, {})
        for minute in range(minutes)
    ]
    return judged(readings, WARM_UP)


def leaks(found: list[Judgement]) -> list[tuple[str, str]]:
    return [(one.subject, one.quantity) for one in found if one.is_leak]


def test_memory_that_grows_all_the_time_is_a_leak() -> None:
    assert leaks(soak(lambda minute: 80.0 + 0.5 * minute)) == [("sink", "rss_mib")]


def test_memory_that_grew_in_the_warm_up_only_is_none() -> None:
    assert leaks(soak(lambda minute: 80.0 + 20 * min(minute, WARM_UP))) == []


def test_one_busy_minute_at_the_end_is_none() -> None:
    assert leaks(soak(lambda minute: 200.0 if minute == 119 else 80.0)) == []


def test_a_process_that_was_killed_is_judged_by_the_life_that_was_longest() -> None:
    (memory,) = (
        one
        for one in soak(lambda minute: 80.0 + minute, pid=lambda minute: 1 if minute < 20 else 2)
        if one.quantity == "rss_mib"
    )
    assert (memory.first, memory.minutes) == (80.0 + 20 + WARM_UP, 119 - 20 - WARM_UP)


def test_two_readings_are_no_verdict() -> None:
    assert soak(lambda minute: 80.0 + 50 * minute, minutes=12) == []


def test_what_a_process_holds_is_read_from_the_kernel() -> None:
    """Of another process: threads of this one open and close connections."""
    program = "for step in (0, 5): held = [open('/dev/null') for _ in range(step)]; print(step, flush=True); input()"
    command, pipe = [sys.executable, "-c", program], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "0\n"
        before = process_reading(other.pid)
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.stdout.readline() == "5\n"
        after = process_reading(other.pid)
        other.communicate("\n")
    assert before is not None
    assert after is not None
    assert after.descriptors == before.descriptors + 5
    assert after.rss_mib > 1
    assert after.threads >= 1


def test_a_process_that_ended_has_no_reading() -> None:
    assert process_reading(2**22 + 1) is None
