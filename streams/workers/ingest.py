"""Puts records of Currents files onto Currents topics, each once, however often it is killed and started again.

Order of effects, in one transaction of up to `BATCH_RECORDS_MAX` records:
1. a writer's schema that is not known yet, onto the topic of schemas;
2. the records, each as it stands in its file;
3. how far each file is, onto the topic of state, under the file's identity.

A record that its topic does not take is found, named and passed.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from streams.events.encodings import Datum, encode_single_object, single_object_header
from streams.events.schema import WriterSchema
from streams.ports.errors import RecordsRefused
from streams.ports.kafka import Transactions
from streams.workers.bisection import write_in_parts

BATCH_RECORDS_MAX = 2_000
BATCH_BYTES_MAX = 8_000_000
BATCH_SECONDS_MAX = 2.0
"""What is gathered is written after so long: progress is seen, and a kill costs little."""
RESTAMP_SECONDS = 3_600
"""Restamped events spread over this time before the start."""
RESTAMP_STEP_SECONDS = 1_009
"""Neighbours land far apart; prime to RESTAMP_SECONDS, so that all seconds are used."""


class UnreadableFile(Exception):
    """The file is damaged at this record (counted from 1), or before its first (None)."""

    def __init__(self, record: int | None, reason: str) -> None:
        super().__init__(reason)
        self.record = record
        self.reason = reason


class File(Protocol):
    """A Currents file, found and opened by an adapter. All raise `UnreadableFile`."""

    @property
    def name(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def path_event_type(self) -> str | None: ...
    def identity(self) -> str: ...
    def schema(self) -> dict[str, Any]: ...
    def datums(self) -> Iterator[Datum]: ...


@dataclass(frozen=True, slots=True)
class Broken:
    """A file or folder that cannot even be opened."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a file is. `started_ms` dates restamped events, so that going on gives the same ones."""

    records: int
    is_done: bool
    started_ms: int

    def to_json(self, name: str) -> bytes:
        return orjson.dumps(
            {
                "v": 1,
                "epoch": 0,
                "file": name,
                "records": self.records,
                "done": self.is_done,
                "started": self.started_ms,
            }
        )

    @classmethod
    def from_json(cls, value: bytes) -> Progress:
        """Raises `ValueError`, `KeyError` or `TypeError` on what this program did not write."""
        content = orjson.loads(value)
        return cls(int(content["records"]), bool(content["done"]), int(content["started"]))


@dataclass(frozen=True, slots=True)
class Failure:
    """A file, or one record of it (counted from 1), that could not be taken."""

    file: str
    record: int | None
    reason: str


@dataclass(slots=True)
class Outcome:
    """What an ingest did."""

    files: int = 0
    files_before: int = 0
    """Files that were wholly ingested earlier."""
    records: int = 0
    records_before: int = 0
    topics: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    size_bytes: int = 0
    """Of the files that are done with."""
    is_stopped: bool = False
    """Whether it was stopped: files that it did not reach are no failure."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file's records go, and the schema that they go with."""

    topic: str
    schema: WriterSchema


@dataclass(frozen=True, slots=True)
class Target:
    """Where records go, and what is known there.

    `place_of` sees that a file's topic exists; it raises `UnreadableFile`. `is_known` says of a fingerprint whether
    every reader knows its schema already.
    """

    place_of: Callable[[File], Place]
    is_known: Callable[[bytes], bool]
    state_topic: str
    schemas_topic: str


class _Stopped(Exception):
    """The ingest was stopped; everything that was written is committed."""


_Record = tuple[str, bytes | None, bytes, WriterSchema]
"""Topic, key, value, and the writer's schema."""


@dataclass(frozen=True, slots=True)
class _Step:
    """How far a file is after one record of it, or at its end."""

    file: str
    key: str
    progress: Progress
    record: _Record | None = None


class Ingest:
    """The loop. `progress` is what `state_topic` holds, by key; `again` names a further ingest of the same bytes."""

    def __init__(
        self,
        target: Target,
        transactions: Transactions,
        progress: Mapping[str, Progress],
        *,
        monotonic: Callable[[], float],
        now_ms: int,
        restamp: bool = False,
        again: str = "",
        report: Callable[[Outcome], None] = lambda _outcome: None,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._target = target
        self._transactions = transactions
        self._progress = dict(progress)
        self._monotonic = monotonic
        self._now_ms = now_ms
        self._restamp = restamp
        self._again = again
        self._report = report
        self._is_stopped = is_stopped
        self._outcome = Outcome()
        self._written_schemas: set[bytes] = set()
        self._batch: list[_Step] = []
        self._batch_records = 0
        self._batch_bytes = 0
        self._batch_began = 0.0

    def run(self, files: Iterable[File]) -> Outcome:
        """Ingest these files, until all are done or `is_stopped` says so: it is asked after each transaction.

        Raises `TransactionAborted`, `Fenced` and `KafkaUnreachable`; then start again.
        """
        try:
            for file in files:
                self._take_whole(file)
            self._commit()
        except _Stopped:
            self._outcome.is_stopped = True
        return self._outcome

    def _take_whole(self, file: File) -> None:
        if self._is_due() or self._is_stopped():
            self._commit()
            self._go_on()
        try:
            self._take(file)
        except UnreadableFile as damage:
            self._outcome.failures.append(Failure(file.name, damage.record, damage.reason))
        self._outcome.size_bytes += file.size_bytes

    def _go_on(self) -> None:
        """Raises `_Stopped` where the ingest is to stop. Only after a commit."""
        if self._is_stopped():
            raise _Stopped

    def _take(self, file: File) -> None:
        key = "/".join(
            part for part in ("ingest", file.identity(), "restamp" if self._restamp else "", self._again) if part
        )
        before = self._progress.get(key, Progress(0, False, self._now_ms))
        self._outcome.records_before += before.records
        if before.is_done:
            self._outcome.files_before += 1
            return
        place = self._target.place_of(file)
        number = 0
        for datum in file.datums():
            number += 1
            if number <= before.records:
                continue
            progress = Progress(number, False, before.started_ms)
            self._gather(_Step(file.name, key, progress, self._record(key, progress, place, datum)))
            if self._is_due():
                self._commit()
                self._go_on()
        self._gather(_Step(file.name, key, Progress(number, True, before.started_ms)))
        self._outcome.files += 1

    def _record(self, key: str, progress: Progress, place: Place, datum: Datum) -> _Record:
        schema, topic, (content, record) = place.schema, place.topic, datum
        if self._restamp:
            number = progress.records
            stamped = restamped(record, f"{key}/{number}", number, progress.started_ms)
            value = encode_single_object(schema, _as_utf8(stamped))
        else:
            value = single_object_header(schema) + content
        return topic, record_key(record), value, schema

    def _gather(self, step: _Step) -> None:
        if not self._batch:
            self._batch_began = self._monotonic()
        self._batch.append(step)
        self._progress[step.key] = step.progress
        if step.record is not None:
            self._batch_records += 1
            self._batch_bytes += len(step.record[2])

    def _is_due(self) -> bool:
        return bool(self._batch) and (
            self._batch_records >= BATCH_RECORDS_MAX
            or self._batch_bytes >= BATCH_BYTES_MAX
            or self._monotonic() - self._batch_began >= BATCH_SECONDS_MAX
        )

    def _commit(self) -> None:
        if self._batch:
            write_in_parts(self._batch, self._write, self._refuse)
        self._batch, self._batch_records, self._batch_bytes = [], 0, 0
        self._report(self._outcome)

    def _write(self, steps: Sequence[_Step]) -> None:
        """One transaction: new schemas, records, and how far their files are with them."""
        self._transactions.begin()
        schemas = set[bytes]()
        for step in steps:
            if step.record is None:
                continue
            topic, key, value, schema = step.record
            mark = schema.fingerprint
            if mark not in schemas and mark not in self._written_schemas and not self._target.is_known(mark):
                schemas.add(mark)
                definition = orjson.dumps(schema.definition)
                self._transactions.write(self._target.schemas_topic, definition, mark.hex().encode())
            self._transactions.write(topic, value, key)
        for step in {step.key: step for step in steps}.values():
            self._transactions.write(self._target.state_topic, step.progress.to_json(step.file), step.key.encode())
        self._transactions.commit((), None)
        self._written_schemas |= schemas
        for step in steps:
            if step.record is not None:
                topic = step.record[0]
                self._outcome.records += 1
                self._outcome.topics[topic] = self._outcome.topics.get(topic, 0) + 1

    def _refuse(self, step: _Step, error: RecordsRefused) -> None:
        """The record is passed: its file goes on behind it with what is written next."""
        if step.record is None:
            raise error
        self._outcome.failures.append(Failure(step.file, step.progress.records, f"Kafka does not take it: {error}"))


def record_key(record: Mapping[str, Any]) -> bytes | None:
    """The Kafka key of an event: its external_user_id, else its user_id, else none. Bytes as they stand in the file."""
    for name in ("external_user_id", "user_id"):
        if (text := record.get(name)) and isinstance(text, str):
            return text.encode(errors="surrogateescape")
    return None


def _as_utf8(value: Any) -> Any:
    """Bytes that are not UTF-8 become U+FFFD: Avro allows only UTF-8 in a record that is encoded again."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode(errors="surrogateescape").decode(errors="replace")
    if isinstance(value, dict):
        return {_as_utf8(key): _as_utf8(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_utf8(inner) for inner in value]
    return value


def restamped(record: Mapping[str, Any], name: str, number: int, started_ms: int) -> dict[str, Any]:
    """The event with an id made from `name`, at one of the seconds of the hour before `started_ms`."""
    before_seconds = number * RESTAMP_STEP_SECONDS % RESTAMP_SECONDS
    time_seconds = started_ms // 1000 - before_seconds
    stamps: dict[str, Any] = {
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, name)),
        "time": time_seconds,
        "time_ms": time_seconds * 1000,
    }
    return {**record, **{field: value for field, value in stamps.items() if field in record}}
