"""Readers of topics in memory: the state, and dead letters."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from streams.ports.errors import JournalBegan
from streams.ports.kafka import Message, Partition
from streams.ports.letters import LetterPage
from streams.ports.state import JournalRecord
from streams.testing.ports.topics import FakeKafka


class FakeJournal:
    """Reads one topic of a `FakeKafka`, all partitions in order."""

    def __init__(self, kafka: FakeKafka, topic: str) -> None:
        self._kafka = kafka
        self._topic = topic
        self._id = kafka.topic_id(topic)
        self._positions: dict[Partition, int] = {}

    def read_to_end(self) -> Sequence[JournalRecord]:
        return self.poll()

    def read_whole(self) -> Sequence[JournalRecord]:
        return self.poll()

    def poll(self) -> Sequence[JournalRecord]:
        found = []
        if (topic_id := self._kafka.topic_id(self._topic)) != self._id:
            self._id, self._positions = topic_id, {}
            raise JournalBegan(f"{self._topic} was deleted and made again")
        for place in sorted(place for place in self._kafka.records if place[0] == self._topic):
            log = self._kafka.records[place]
            position = self._positions.get(place, 0)
            self._positions[place] = len(log)
            found += [
                JournalRecord((one.key() or b"").decode(), one.value(), one.written_ms)
                for one in log[position:]
                if not one.is_marker
            ]
        return found

    def position(self, number: int = 0) -> int:
        """Up to which offset a partition was read."""
        return self._positions.get((self._topic, number), 0)

    def close(self) -> None:
        """Nothing to let go."""


class FakeLetters:
    """Reads dead letters of a `FakeKafka`; what was deleted is not there."""

    def __init__(self, kafka: FakeKafka) -> None:
        self._kafka = kafka
        self._positions: dict[Partition, int] = {}
        self._told: set[Partition] = set()
        """Partitions whose end was told since the last letter."""

    def open(self, starts: Mapping[Partition, int]) -> None:
        self._positions = dict(starts)
        self._told = set()

    def read(self, records_max: int, timeout_seconds: float) -> LetterPage:
        letters: list[Message] = []
        ends = {}
        for partition, asked in self._positions.items():
            log, position = self._kafka.records.get(partition, []), max(asked, self._kafka.earliest(partition))
            new = log[position : position + records_max - len(letters)]
            self._positions[partition] = position + len(new)
            found = [one for one in new if not one.is_marker]
            letters += found
            if found:
                self._told.discard(partition)
            if self._positions[partition] >= len(log) and partition not in self._told:
                self._told.add(partition)
                ends[partition] = len(log)
        return LetterPage(letters, ends)

    def close(self) -> None:
        self._positions = {}


class FakeLetterTopics:
    """Topics of a `FakeKafka`: each has so many partitions."""

    def __init__(self, kafka: FakeKafka, partitions: int = 1) -> None:
        self._kafka = kafka
        self._partitions = partitions
        self.refusal = ""
        """While it is set, no deletion succeeds, and this is why."""
        self.refusals: dict[str, str] = {}
        """By topic: why no deletion succeeds there."""
        self.missing: set[str] = set()
        """Topics that do not exist."""
        self.made_again: dict[str, int] = {}
        """How often a topic was made again."""

    def partitions(self, topic: str) -> Sequence[Partition]:
        return [] if topic in self.missing else [(topic, number) for number in range(self._partitions)]

    def make_again(self, topic: str) -> None:
        """Delete a topic with its records, and create it again."""
        self.made_again[topic] = self.made_again.get(topic, 0) + 1
        for number in range(self._partitions):
            self._kafka.records.pop((topic, number), None)
            self._kafka.deleted_before.pop((topic, number), None)

    def ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """Another id, whether the topic was made again here or in the `FakeKafka`."""
        known = [topic for topic in topics if topic not in self.missing]
        return {topic: f"{self._kafka.topic_id(topic)}, {self.made_again.get(topic, 0)}" for topic in known}

    def delete_before(self, offsets: Mapping[Partition, int]) -> Mapping[Partition, str]:
        failed = {}
        for partition, offset in offsets.items():
            if why := self._refusal(partition, offset):
                failed[partition] = why
            elif partition[0] not in self.missing:
                self._kafka.delete_before(partition, offset)
        return failed

    def _refusal(self, partition: Partition, offset: int) -> str:
        if partition[0] in self.missing:
            return ""
        if offset > len(self._kafka.records.get(partition, ())):
            return "Broker: Offset out of range"
        return self.refusal or self.refusals.get(partition[0], "")
