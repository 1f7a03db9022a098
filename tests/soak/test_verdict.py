"""A soak's verdict: what is a leak, and what is not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from random import Random

from tests.soak.readings import ProcessReading, Reading, process_reading
from tests.soak.verdict import Judgement, judged
from tests.soak.world import roles_of

WARM_UP = 10.0
OUTAGE_MINUTES = 10
"""Between two outages, in a soak that has some."""


def soak(
    rss: Callable[[int], float],
    minutes: int = 120,
    *,
    threads: Callable[[int], int] = lambda _: 12,
    pid: Callable[[int], int] = lambda _: 1,
    roles: Callable[[int], tuple[str, ...]] = lambda _: (),
    outages: Callable[[int], int] = lambda _: 0,
) -> list[Judgement]:
    """The verdict over one process with this memory in each minute."""
    return judged(
        [
            Reading(
                float(minute),
                outages(minute),
                {"sink": ProcessReading(pid(minute), rss(minute), 30, threads(minute), roles(minute))},
                40,
                9_000,
                {},
                {},
            )
            for minute in range(minutes)
        ],
        WARM_UP,
    )


def outages(minute: int) -> int:
    return minute // OUTAGE_MINUTES


def noise(minute: int) -> float:
    """Up to 4 MiB more or less, the same in each run."""
    return Random(minute).uniform(-4.0, 4.0)


def leaks(found: list[Judgement]) -> list[tuple[str, str, str]]:
    return [(one.subject, one.quantity, one.leaks) for one in found if one.leaks]


def memory(found: list[Judgement]) -> Judgement:
    (one,) = (one for one in found if one.quantity == "rss_mib")
    return one


def test_memory_that_grows_all_the_time_is_a_leak() -> None:
    assert leaks(soak(lambda minute: 80.0 + 0.5 * minute)) == [("sink", "rss_mib", "while calm")]


def test_a_slow_leak_is_found_between_outages_and_is_not_taken_for_one_by_them() -> None:
    assert leaks(soak(lambda minute: 80.0 + 0.5 * minute, outages=outages)) == [("sink", "rss_mib", "while calm")]


def test_a_slow_leak_is_found_in_noise() -> None:
    assert "while calm" in memory(soak(lambda minute: 80.0 + 0.5 * minute + noise(minute), outages=outages)).leaks


def test_memory_that_grew_in_the_warm_up_only_is_none() -> None:
    assert leaks(soak(lambda minute: 80.0 + 20 * min(minute, WARM_UP))) == []


def test_noise_is_none() -> None:
    assert leaks(soak(lambda minute: 80.0 + noise(minute))) == []
    assert leaks(soak(lambda minute: 80.0 + noise(minute), outages=outages)) == []


def test_one_busy_minute_at_the_end_is_none() -> None:
    assert leaks(soak(lambda minute: 200.0 if minute == 119 else 80.0)) == []


def test_what_each_outage_leaves_for_ever_is_a_leak() -> None:
    found = soak(lambda minute: 80.0 + 3 * outages(minute) + noise(minute), outages=outages)
    assert leaks(found) == [("sink", "rss_mib", "by outages")]
    found = soak(lambda _: 80.0, threads=lambda minute: 12 + 3 * outages(minute), outages=outages)
    assert leaks(found) == [("sink", "threads", "by outages")]


def test_what_the_first_outages_leave_and_the_later_ones_do_not_is_none() -> None:
    found = soak(lambda minute: 80.0 + 5 * min(4, outages(minute)) + noise(minute), outages=outages)
    assert leaks(found) == []
    assert memory(found).last - memory(found).first > 10


def test_what_waited_in_an_outage_and_is_worked_off_in_minutes_is_none_though_outages_come_faster() -> None:
    moments = (0, 25, 50, 65, 75, 85, 92, 98, 103, 108, 113)

    def so_far(minute: int) -> int:
        return sum(moment <= minute for moment in moments)

    found = soak(lambda minute: 80.0 + max(0, 30 - 10 * (minute - moments[so_far(minute) - 1])), outages=so_far)
    assert leaks(found) == []


def test_after_three_outages_nothing_is_said_of_them() -> None:
    few = memory(soak(lambda minute: 80.0 + 30 * (minute // 35), outages=lambda minute: minute // 35))
    enough = memory(soak(lambda minute: 80.0 + 30 * (minute // 25), outages=lambda minute: minute // 25))
    assert (few.by_outages, few.leaks) == (None, "")
    assert enough.leaks == "by outages"


def test_a_client_that_hangs_since_the_last_outage_is_none() -> None:
    """Its five threads end after ten minutes."""
    found = soak(lambda _: 80.0, threads=lambda minute: 17 if minute >= 110 else 12, outages=outages)
    assert leaks(found) == []


def test_who_takes_over_a_keeper_needs_more_and_leaks_nothing() -> None:
    found = soak(
        lambda minute: 80.0 if minute < 50 else 120.0,
        threads=lambda minute: 12 if minute < 50 else 32,
        roles=lambda minute: ("keeper/a",) if minute < 50 else ("keeper/a", "keeper/b"),
    )
    assert leaks(found) == []


def test_what_each_change_of_a_keeper_leaves_is_a_leak() -> None:
    """The first time is the only one that begins anew."""
    found = soak(
        lambda minute: 80.0 + 2 * (minute // 5),
        roles=lambda minute: ("keeper/a",) if minute // 5 % 2 else (),
    )
    assert leaks(found) == [("sink", "rss_mib", "while calm")]


def test_a_process_that_was_killed_is_judged_by_the_life_that_was_longest() -> None:
    found = memory(soak(lambda minute: 80.0 + minute, pid=lambda minute: 1 if minute < 20 else 2))
    assert found.calm.over == 119 - 20 - WARM_UP
    assert found.first == 80.0 + (20 + WARM_UP + 119) / 2


def test_the_record_of_a_keeper_and_of_an_inlet_name_their_process() -> None:
    rows = {b"keeper/cdp": b'{"instance": "cdp-0"}', b"inlet/bucket": b'{"instance": "ingest-1"}', b"told/cdp": b"{}"}
    assert roles_of(rows) == [("keeper/cdp", "cdp-0"), ("inlet/bucket", "ingest-1")]


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
