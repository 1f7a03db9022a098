"""One reader of the state topic behind many views."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streams.adapters.kafka.shared_journal import SharedJournal
from streams.ports.errors import JournalBegan, KafkaUnreachable
from streams.ports.state import JournalRecord


class Topic:
    """A state topic that counts its readers, and may be away."""

    def __init__(self) -> None:
        self.records: list[JournalRecord] = []
        self.opened = self.closed = 0
        self.is_away = self.was_made_again = False

    def write(self, key: str, value: bytes | None) -> None:
        self.records.append(JournalRecord(key, value, None))

    def open(self) -> Reader:
        self.opened += 1
        return Reader(self)


class Reader:
    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._read = 0

    def read_to_end(self) -> Sequence[JournalRecord]:
        if self._topic.is_away:
            raise KafkaUnreachable("away")
        if self._topic.was_made_again:
            self._topic.was_made_again, self._read = False, 0
            raise JournalBegan("made again")
        new = self._topic.records[self._read :]
        self._read = len(self._topic.records)
        return new

    def poll(self) -> Sequence[JournalRecord]:
        return self.read_to_end()

    def close(self) -> None:
        self._topic.closed += 1


def keys(records: Sequence[JournalRecord]) -> list[tuple[str, bytes | None]]:
    return [(record.key, record.value) for record in records]


def test_each_view_begins_at_the_beginning_and_all_share_one_reader() -> None:
    topic = Topic()
    shared = SharedJournal(topic.open)
    topic.write("a", b"1")
    topic.write("b", b"2")
    first, second = shared.open(), shared.open()
    assert keys(first.read_to_end()) == [("a", b"1"), ("b", b"2")]
    topic.write("a", b"3")
    topic.write("b", None)
    assert keys(first.read_to_end()) == [("a", b"3"), ("b", None)]
    assert keys(first.poll()) == []
    assert keys(second.read_to_end()) == [("a", b"3"), ("b", None)]
    first.close()
    assert keys(shared.open().read_to_end()) == [("a", b"3"), ("b", None)]
    assert (topic.opened, topic.closed) == (1, 0)
    shared.close()
    assert topic.closed == 1


def test_after_an_outage_a_new_reader_begins_and_nothing_is_missed() -> None:
    topic = Topic()
    shared = SharedJournal(topic.open)
    topic.write("a", b"1")
    view = shared.open()
    view.read_to_end()
    topic.is_away = True
    with pytest.raises(KafkaUnreachable):
        view.read_to_end()
    topic.is_away = False
    topic.write("b", b"2")
    assert dict(keys(view.read_to_end()))["b"] == b"2"
    assert (topic.opened, topic.closed) == (2, 1)
    assert keys(shared.open().read_to_end()) == [("a", b"1"), ("b", b"2")]


def test_each_view_learns_once_that_the_topic_was_made_again_and_begins_at_its_beginning() -> None:
    topic = Topic()
    shared = SharedJournal(topic.open)
    topic.write("old", b"1")
    views = [shared.open(), shared.open()]
    for view in views:
        view.read_to_end()
    topic.records.clear()
    topic.was_made_again = True
    topic.write("new", b"2")
    for view in views:
        with pytest.raises(JournalBegan):
            view.read_to_end()
        assert keys(view.read_to_end()) == [("new", b"2")]
    assert keys(shared.open().read_to_end()) == [("new", b"2")]
