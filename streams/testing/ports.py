"""Fakes of the workers' ports: a topic in memory, a transport that answers by a function. Typed, shipped, no mock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from streams.delivery.contract import NoResponse, Request, Response
from streams.ports.clock import Clock
from streams.ports.errors import CommitRefused, Fenced, RecordRefused, RecordsRefused, TransactionAborted
from streams.ports.http import Answer
from streams.ports.kafka import Consumer, Gap, Headers, Listener, Message, Partition, Position, Start
from streams.ports.letters import LetterPage
from streams.ports.state import JournalRecord


@dataclass(frozen=True, slots=True)
class FakeMessage:
    """A record in memory."""

    _topic: str
    _partition: int
    _offset: int
    _key: bytes | None
    _value: bytes | None
    _headers: tuple[tuple[str, bytes | None], ...] = ()
    written_ms: int | None = None

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> Headers | None:
        return list(self._headers) or None

    def timestamp(self) -> tuple[int, int]:
        """As Kafka's client tells it: 2 where the broker's time is known, else 0."""
        return (0, 0) if self.written_ms is None else (2, self.written_ms)


class Killed(BaseException):
    """The process ended here. The test that killed it catches this."""


@dataclass(slots=True)
class Kill:
    """Ends a process at its n-th commit from now on: before it, or right after it."""

    commits: int
    is_committed: bool


@dataclass(slots=True)
class FakeKafka:
    """Topics and one group's commits in memory, shared by the fake consumers and transactions of a test."""

    records: dict[Partition, list[FakeMessage]] = field(default_factory=dict)
    committed: dict[Partition, Position] = field(default_factory=dict)
    record_bytes_max: int = 16_000_000
    """A larger value is refused by the client that is to write it."""
    topic_bytes_max: dict[str, int] = field(default_factory=dict)
    """A larger value is refused by its topic, and its whole transaction with it."""
    policies: dict[str, Callable[[bytes | None], str]] = field(default_factory=dict)
    """By topic: why it does not take a value; empty where it does."""
    refuse_commits: int = 0
    """How many of the next commits are refused, as after a rebalance."""
    clock: Clock | None = None
    """The broker's: with one, records are stamped with its time when they are written."""
    deleted_before: dict[Partition, int] = field(default_factory=dict)
    """Records before these offsets were deleted: no reader gets them."""
    owners: dict[str, FakeTransactions] = field(default_factory=dict)
    """Who holds each transactional id: an earlier holder is fenced."""
    kills: dict[str, Kill] = field(default_factory=dict)
    """By transactional id: whose commits end in death."""

    def write(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        partition: int = 0,
    ) -> FakeMessage:
        log = self.records.setdefault((topic, partition), [])
        written_ms = None if self.clock is None else self.clock.epoch_ms()
        message = FakeMessage(topic, partition, len(log), key, value, tuple(headers), written_ms)
        log.append(message)
        return message

    def refusal(self, topic: str, value: bytes | None) -> str:
        """Why the topic does not take this value; empty where it does."""
        if len(value or b"") > self.topic_bytes_max.get(topic, self.record_bytes_max):
            return "Broker: Message size too large"
        policy = self.policies.get(topic)
        return policy(value) if policy else ""

    def read(self, topic: str) -> list[FakeMessage]:
        """All records of a topic."""
        return [message for (name, _), log in sorted(self.records.items()) if name == topic for message in log]

    def earliest(self, partition: Partition) -> int:
        """The first offset that was not deleted."""
        return self.deleted_before.get(partition, 0)

    def commit(self, positions: Sequence[Position]) -> None:
        for position in positions:
            self.committed[position.topic, position.partition] = position

    def is_killed(self, transactional_id: str, *, is_committed: bool) -> bool:
        """Whether the process dies at this side of the commit."""
        kill = self.kills.get(transactional_id)
        if kill is None or kill.is_committed != is_committed:
            return False
        kill.commits -= 1
        return kill.commits == 0

    def is_refused(self) -> bool:
        if self.refuse_commits:
            self.refuse_commits -= 1
            return True
        return False


class FakeConsumer:
    """A member that owns every partition of what it subscribes to, until a test takes some away."""

    def __init__(self, kafka: FakeKafka) -> None:
        self.kafka = kafka
        self.is_closed = False
        self.paused: set[Partition] = set()
        self._listener: Listener | None = None
        self._positions: dict[Partition, int] = {}
        self._ends: dict[Partition, int] = {}
        self._subscribed: frozenset[str] = frozenset()

    def subscribe(self, topics: Sequence[str], listener: Listener) -> None:
        self._listener = listener
        self._subscribed = frozenset(topics)

    def poll(self, records_max: int, timeout_seconds: float) -> Sequence[Message]:
        self._assign_new()
        messages: list[Message] = []
        for partition in list(self._positions):
            if partition in self.paused:
                continue
            self._pass_deleted(partition)
            log, position = self.kafka.records[partition], self._positions[partition]
            new = log[position : position + records_max - len(messages)]
            self._positions[partition] = position + len(new)
            self._ends[partition] = len(log)
            messages += new
        return messages

    def commit(self, positions: Sequence[Position]) -> None:
        if stray := self.unassigned(positions):
            raise CommitRefused(stray)
        if self.kafka.is_refused():
            raise CommitRefused("the group moved on")
        self.kafka.commit(positions)

    def pause(self, partitions: Sequence[Partition]) -> None:
        self.paused.update(partitions)

    def resume(self, partitions: Sequence[Partition]) -> None:
        self.paused.difference_update(partitions)

    def rewind(self, partition: Partition, offset: int) -> None:
        if partition in self._positions:
            self._positions[partition] = offset

    def topics(self) -> frozenset[str]:
        return frozenset(topic for topic, _ in self.kafka.records)

    def known_end(self, partition: Partition) -> int:
        return self._ends.get(partition, -1)

    def unassigned(self, positions: Sequence[Position]) -> str:
        """Which of these cannot be committed; empty where all can."""
        strays = [one for one in positions if (one.topic, one.partition) not in self._positions]
        return f"{strays[0].topic}/{strays[0].partition} is not assigned" if strays else ""

    def close(self) -> None:
        self.revoke(list(self._positions))
        self.is_closed = True

    def revoke(self, partitions: Sequence[Partition]) -> None:
        """A rebalance takes these partitions away; they come back with the next poll."""
        assert self._listener is not None
        owned = [partition for partition in partitions if partition in self._positions]
        self._listener.revoked(owned)
        for partition in owned:
            del self._positions[partition]

    def _assign_new(self) -> None:
        new = [
            partition
            for partition in sorted(self.kafka.records)
            if partition[0] in self._subscribed and partition not in self._positions
        ]
        if not new or self._listener is None:
            return
        starts = []
        for topic, number in new:
            committed = self.kafka.committed.get((topic, number))
            offset = self.kafka.earliest((topic, number)) if committed is None else committed.offset
            starts.append(Start(topic, number, offset, None if committed is None else committed.metadata))
            self._positions[topic, number] = offset
        self.paused.difference_update(new)
        self._listener.assigned(starts)

    def _pass_deleted(self, partition: Partition) -> None:
        position, earliest = self._positions[partition], self.kafka.earliest(partition)
        if position < earliest and self._listener is not None:
            self._positions[partition] = earliest
            self._listener.gap(Gap(*partition, position, earliest))


class FakeTransactions:
    """Transactions on a `FakeKafka`: what is not committed leaves nothing behind.

    With a `transactional_id` it fences the holder of that id.
    """

    def __init__(self, kafka: FakeKafka, transactional_id: str = "") -> None:
        self.kafka = kafka
        self._id = transactional_id
        if transactional_id:
            kafka.owners[transactional_id] = self
        self.is_closed = False
        self._open: list[tuple[str, bytes | None, bytes | None, Headers, int]] | None = None

    def begin(self) -> None:
        self._open = []

    def write(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers | None = None,
        partition: int = -1,
    ) -> None:
        assert self._open is not None, "no transaction is open"
        if len(value or b"") > self.kafka.record_bytes_max:
            raise RecordRefused(topic, "Unable to produce message: Message size too large")
        self._open.append((topic, value, key, list(headers or ()), max(0, partition)))

    def commit(self, positions: Sequence[Position], consumer: Consumer | None) -> None:
        assert self._open is not None, "no transaction is open"
        written, self._open = self._open, None
        if positions:
            assert isinstance(consumer, FakeConsumer), "offsets are committed for a member"
            if stray := consumer.unassigned(positions):
                raise TransactionAborted(stray)
        if self.kafka.is_killed(self._id, is_committed=False):
            raise Killed
        if self._id and self.kafka.owners[self._id] is not self:
            raise Fenced(f"{self._id} was taken by another")
        if self.kafka.is_refused():
            raise TransactionAborted("the group moved on")
        if refusals := {topic: why for topic, value, *_ in written if (why := self.kafka.refusal(topic, value))}:
            raise RecordsRefused(refusals)
        for topic, value, key, headers, partition in written:
            self.kafka.write(topic, value, key, headers, partition)
        self.kafka.commit(positions)
        if self.kafka.is_killed(self._id, is_committed=True):
            raise Killed

    def abort(self) -> None:
        self._open = None

    def close(self) -> None:
        self.is_closed = True


class FakeJournal:
    """Reads one topic of a `FakeKafka`, all partitions in order."""

    def __init__(self, kafka: FakeKafka, topic: str) -> None:
        self._kafka = kafka
        self._topic = topic
        self._read = 0

    def read_to_end(self) -> Sequence[JournalRecord]:
        return self.poll()

    def poll(self) -> Sequence[JournalRecord]:
        new = self._kafka.read(self._topic)[self._read :]
        self._read += len(new)
        return [JournalRecord((one.key() or b"").decode(), one.value(), one.written_ms) for one in new]

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
            letters += new
            if new:
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
        return {topic: f"{topic}#{self.made_again.get(topic, 0)}" for topic in topics if topic not in self.missing}

    def delete_before(self, offsets: Mapping[Partition, int]) -> Mapping[Partition, str]:
        failed = {}
        for partition, offset in offsets.items():
            if why := self._refusal(partition, offset):
                failed[partition] = why
            elif partition[0] not in self.missing:
                self._kafka.deleted_before[partition] = max(offset, self._kafka.earliest(partition))
        return failed

    def _refusal(self, partition: Partition, offset: int) -> str:
        if partition[0] in self.missing:
            return ""
        if offset > len(self._kafka.records.get(partition, ())):
            return "Broker: Offset out of range"
        return self.refusal or self.refusals.get(partition[0], "")


class FakeNotifier:
    """Remembers what it was told, once each; `is_down` makes it fail."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.is_down = False

    def notify(self, title: str, text: str) -> bool:
        if (title, text) in self.told:
            return True
        if not self.is_down:
            self.told.append((title, text))
        return not self.is_down


class FakeTransport:
    """Answers each request by a function, at once or when the test says so."""

    def __init__(self, answer: Callable[[Request], Response | NoResponse]) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.is_holding = False
        """While true, answers are kept back: requests are in flight."""
        self.is_closed = False
        self._waiting: deque[tuple[int, Request]] = deque()

    def submit(self, ticket: int, request: Request) -> None:
        self.requests.append(request)
        self._waiting.append((ticket, request))

    def answers(self, timeout_seconds: float) -> Sequence[Answer]:
        if self.is_holding:
            return []
        answers = [Answer(ticket, self.answer(request)) for ticket, request in self._waiting]
        self._waiting.clear()
        return answers

    def close(self) -> None:
        self.is_closed = True


def accepted(status: int = 200, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Response:
    """A response for `FakeTransport`."""
    return Response(status, headers or {}, body)
