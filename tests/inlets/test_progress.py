"""What is remembered of objects: records that come back as they were written, prints, and what closes."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.inlets.inlet_view import SLOT_BYTES_MAX, InletView
from streams.inlets.layout import Slot, is_file, place_of
from streams.inlets.prints import Printing, Prints
from streams.inlets.progress import Closed, Container, Counts, Entry, Head, State, slot_from_bytes, slot_to_bytes
from streams.inlets.schedule import Pass, Schedule
from streams.state.records import StateError, StateTooNew


def prints_of(data: list[bytes], told: Prints = Prints()) -> Printing:  # noqa: B008 - frozen
    printing = Printing(told)
    for datum in data:
        printing.add(datum)
    return printing


@given(st.lists(st.binary(min_size=1, max_size=4), min_size=1, max_size=400), st.integers(0, 300))
def test_a_longer_content_is_known_as_far_as_the_earlier_one_went(data: list[bytes], more: int) -> None:
    told = prints_of(data).prints
    assert prints_of([*data, *[b"new"] * more], told).known == len(data)


@given(st.integers(1, 700), st.data())
def test_a_longer_content_that_differs_anywhere_before_is_not_known(count: int, draw: st.DataObject) -> None:
    data = [b"%d" % number for number in range(count)]
    told = prints_of(data).prints
    place = draw.draw(st.integers(0, count - 1))
    assert prints_of([*data[:place], b"other", *data[place + 1 :], b"new"], told).known == 0


@given(st.integers(1, 1_000), st.data())
def test_a_shorter_content_that_is_the_beginning_is_known_whole(count: int, draw: st.DataObject) -> None:
    data = [b"%d" % number for number in range(count)]
    told = prints_of(data).prints
    shorter = draw.draw(st.integers(1, count))
    assert prints_of(data[:shorter], told).known == shorter
    assert len(told.marks) <= 64 * 4


ENTRY = Entry(
    "etag", 10, 1_700, State.PARKED, 3, (Container(b"s" * 32, 3, True),), prints_of([b"a", b"b"]).prints, "why", 9, True
)


def test_an_entry_comes_back_as_it_was_written() -> None:
    assert slot_from_bytes("key", slot_to_bytes({"a": ENTRY})) == {"a": ENTRY}


def test_a_head_comes_back_as_it_was_written() -> None:
    head = Head(3, "one", 5, 6, 7, 8, 9, "forbidden", Counts(1, 2, 3, 4, 5, 6))
    assert Head.from_bytes("key", head.to_bytes()) == head


@pytest.mark.parametrize("value", [b"no json", b"{}", b'{"v":1}', b'{"v":1,"objects":{"a":{}}}'])
def test_what_cannot_be_read_is_named_by_its_key(value: bytes) -> None:
    with pytest.raises(StateError, match="taken/bucket/T/h/0"):
        slot_from_bytes("taken/bucket/T/h/0", value)


def test_what_a_newer_version_wrote_stops_this_one() -> None:
    with pytest.raises(StateTooNew, match="upgrade"):
        Head.from_bytes("inlet/bucket", orjson.dumps({"v": 2}))


def test_an_hour_with_very_many_files_takes_several_records() -> None:
    view = InletView("bucket")
    keys = [f"event_type=T/date=2026-11-29-10/version=1/{number:05}{'x' * 300}.avro" for number in range(3_000)]
    for start in range(0, len(keys), 500):
        for key, value in view.rows(dict.fromkeys(keys[start : start + 500], ENTRY)).items():
            view.apply(key, value)
            assert len(value) < 2_000_000
    assert len(set(view.rows({keys[0]: ENTRY, keys[-1]: ENTRY}))) == 2
    assert all(view.entry(key) == ENTRY for key in keys)
    assert SLOT_BYTES_MAX < 2_000_000


def test_keys_of_braze_have_their_event_type_and_hour_and_others_a_bucket() -> None:
    place = place_of("p/dataexport.a/event_type=users.Open/date=2026-11-29-10/version=1/prod/a.avro")
    assert (place.root, place.slot) == ("p/dataexport.a/event_type=users.Open", Slot("users.Open", "2026-11-29-10"))
    other = place_of("2026/11/29/a.avro")
    assert (other.root, other.hour, other.slot.event_type) == ("", "", "-")


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a/b.avro", True),
        ("b.avro.gz", True),
        ("b.zip", True),
        ("b.avro.tmp", False),
        ("_b.avro", False),
        ("a/", False),
    ],
)
def test_what_counts_as_a_file(key: str, expected: bool) -> None:
    assert is_file(key) is expected


def test_closed_hours_hold_what_was_not_modified_since() -> None:
    closed = Closed("2026-11-20-00", 1_000)
    assert closed.holds("2026-11-19-23", 1_000)
    assert not closed.holds("2026-11-19-23", 1_001)
    assert not closed.holds("2026-11-20-00", 1_000)


def test_the_look_back_comes_first_then_recent_hours_and_once_a_day_everything() -> None:
    schedule = Schedule(30.0, 8 * 86_400.0)
    day_ms, made = 86_400_000, []
    now = 0.0
    everything_ms = 0
    for _ in range(6):
        due = schedule.due(now, int(now * 1000) + day_ms, everything_ms, lambda _pass: True)
        made.append(due)
        if due is not None:
            schedule.done(due, now, is_cut=False)
        if due is Pass.EVERYTHING:
            everything_ms = int(now * 1000) + day_ms
        now += 31.0 if due is not Pass.LOOKBACK else 0.0
    assert made == [Pass.LOOKBACK, Pass.EVERYTHING, Pass.RECENT, Pass.RECENT, Pass.RECENT, Pass.RECENT]
