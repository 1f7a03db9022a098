"""Failures that watchers of other people have had, and that no other test here plays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from streams.inlets.objects import StoredObject
from streams.ports.errors import StoreUnreachable
from streams.testing.ports import FakeNotices
from tests.inlets.desk import Desk, avro, events, ids_of, key
from tests.inlets.test_wake import written


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_an_ordinary_poll_lists_no_hours_that_are_long_past(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Aiven's S3 source #502: each look scans everything."""
    for hour in range(24):
        desk.store.put(key("a.avro", f"2026-11-23-{hour:02}"), avro(events(1, f"old{hour}")))
    desk.run()
    seen: list[str] = []
    pages = desk.store.pages

    def watched(folder: str, after: str = "") -> Iterator[Sequence[StoredObject]]:
        for page in pages(folder, after):
            seen.extend(one.key for one in page)
            yield page

    monkeypatch.setattr(desk.store, "pages", watched)
    desk.store.put(key("new.avro"), avro(events(1, "new")))
    desk.poll()
    assert (seen, desk.ids[-1]) == ([key("new.avro")], "new-0")


def test_a_listing_that_breaks_off_in_the_middle_misses_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """RisingWave #11391: a listing of very many objects timed out."""
    monkeypatch.setattr("streams.testing.ports.objects.PAGE_OBJECTS", 2)
    desk.run()
    whole = [events(1, f"f{number}") for number in range(7)]
    for number, records in enumerate(whole):
        desk.store.put(key(f"{number}.avro"), avro(records))
    pages = desk.store.pages
    left = [2]

    def cut(folder: str, after: str = "") -> Iterator[Sequence[StoredObject]]:
        for number, page in enumerate(pages(folder, after)):
            if number and left[0]:
                left[0] -= 1
                raise StoreUnreachable("s3://bucket: timed out")
            yield page

    monkeypatch.setattr(desk.store, "pages", cut)
    for _ in range(4):
        desk.poll(60)
    assert (left, sorted(desk.ids)) == ([0], sorted(ids_of(*whole)))


def test_a_message_that_comes_twice_and_one_that_comes_late_double_no_record(tmp_path: Path) -> None:
    """Redpanda Connect #4468: a queue gives messages at least once."""
    queue = FakeNotices()
    desk = Desk(tmp_path, notices=queue)
    desk.run()
    desk.store.put(key("a.avro"), avro(events(3)))
    for _ in range(2):
        queue.send(written(key("a.avro")))
        queue.send(written(key("a.avro")))
        desk.poll(3)
    assert (desk.ids, queue.taken, queue.waiting) == (ids_of(events(3)), {}, [])


def test_a_message_about_an_object_that_is_not_there_yet_loses_no_object(tmp_path: Path) -> None:
    """Redpanda Connect #4474: a missing object was dropped with its message."""
    queue = FakeNotices()
    desk = Desk(tmp_path, notices=queue)
    desk.run()
    queue.send(written(key("a.avro")))
    desk.poll(3)
    assert (desk.ids, queue.taken) == ([], {})
    desk.store.put(key("a.avro"), avro(events(3)))
    desk.poll()
    assert desk.ids == ids_of(events(3))
