"""May a scope send now: the transition table as it is documented, and what holds after any events."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.delivery import gate
from streams.delivery.gate import (
    BackingOff,
    Cleared,
    CredentialsRefused,
    Event,
    Failed,
    Gate,
    Held,
    Invalid,
    Open,
    Parking,
    Running,
    Stopped,
    Succeeded,
    Suspended,
    Valid,
    moved,
)

BASE = 1.0
STATES: dict[str, gate.Underlying] = {
    "open": Open(),
    "backing off": BackingOff(2, 90.0, 100.0, 104.0, 503, "status 503"),
    "held": Held(401, "no", 2),
    "parking": Parking(401, "no"),
}
EVENTS: dict[str, Event] = {
    "Succeeded": Succeeded(105.0),
    "Failed": Failed(105.0, 106.0, 503, "status 503"),
    "CredentialsRefused": CredentialsRefused(403, "still no"),
    "Cleared": Cleared(106.0),
    "Invalid": Invalid(401, "dead"),
    "Valid": Valid(),
    "Suspended": Suspended("flood"),
    "Running": Running(),
}
NAMES = {Open: "open", BackingOff: "backing off", Held: "held", Parking: "parking", Stopped: "stopped"}
PHRASES = {"a longer wait": "backing off"}


def documented() -> list[tuple[str, str, str]]:
    """Event, state and cell of each row of the docstring's table."""
    assert gate.__doc__ is not None
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in gate.__doc__.splitlines() if line[:1] == "|"]
    states = rows[0][1:]
    return [(row[0].strip("`"), state, cell) for row in rows[2:] for state, cell in zip(states, row[1:], strict=True)]


@pytest.mark.parametrize(("event", "state", "cell"), documented())
def test_each_cell_of_the_documented_table_holds(event: str, state: str, cell: str) -> None:
    after = moved(STATES[state], EVENTS[event], BASE, Random(1))
    first = cell.split(",")[0].split(";")[0]
    assert NAMES[type(after)] == PHRASES.get(first, first)


def test_the_documented_table_has_every_event_and_state() -> None:
    assert {(event, state) for event, state, _ in documented()} == {(e, s) for e in EVENTS for s in STATES}


def test_requests_that_were_in_flight_before_the_wait_began_neither_end_nor_lengthen_it() -> None:
    state = STATES["backing off"]
    assert moved(state, Succeeded(99.0), BASE, Random(1)) == state
    after = moved(state, Failed(99.0, 101.0, 429, "status 429", retry_after=30.0), BASE, Random(1))
    assert isinstance(after, BackingOff)
    assert (after.failures, after.next_try, after.status) == (2, 131.0, 429)


def test_a_back_off_tells_since_when_with_the_newest_answer() -> None:
    one = Gate(BASE, Random(1))
    one.take(Failed(100.0, 101.0, 503, "status 503"))
    one.take(Failed(103.0, 104.0, 0, "no answer in time"))
    found = one.back_off()
    assert found is not None
    assert (found.since, found.status, found.detail, found.failures) == (101.0, 0, "no answer in time", 2)
    assert found.next_try > 104.0


seconds = st.floats(0.0, 1_000.0)
events = st.one_of(
    st.builds(Succeeded, seconds),
    st.builds(Failed, seconds, seconds, st.just(503), st.just("x"), st.integers(1, 9), st.none() | seconds),
    st.just(CredentialsRefused(401, "no")),
    st.builds(Cleared, seconds),
    st.just(Invalid(403, "dead")),
    st.just(Valid()),
    st.builds(Suspended, st.sampled_from(["operator", "flood"])),
    st.just(Running()),
)


@given(st.lists(events, max_size=40), st.integers(1, 20))
def test_whatever_happens_nothing_is_sent_while_stopped_held_or_parking(happened: list[Event], pace: int) -> None:
    one = Gate(BASE, Random(1))
    is_suspended = is_invalid = False
    for event in happened:
        before = one.state
        after = one.take(event)
        is_suspended = (is_suspended or isinstance(event, Suspended)) and not isinstance(event, Running)
        is_invalid = (is_invalid or isinstance(event, Invalid)) and not isinstance(event, Valid)
        assert isinstance(after, Stopped) == is_suspended
        assert isinstance(one.underlying, Parking) == is_invalid
        allowed = {Open: pace, BackingOff: 1}.get(type(after), 0)
        assert one.requests_max(pace) == allowed
        assert one.closed_until() == (after.next_try if isinstance(after, BackingOff) else 0.0)
        if isinstance(event, Valid) and not is_suspended:
            assert after == Open()
        if isinstance(event, Failed) and isinstance(after, BackingOff):
            assert after.next_try >= event.now + min(event.retry_after or 0.0, 900.0)
            assert (after.status, after.detail) == (event.status, event.detail)
        if isinstance(before, Held) and not is_suspended and not is_invalid:
            let_go = isinstance(event, Cleared | Valid)
            assert isinstance(after, Held) != let_go
