"""Puts records of Currents files onto Currents topics, each once, however often it is killed and started again.

Order of effects, in one transaction of up to `BATCH_RECORDS_MAX` records:
1. a writer's schema that nobody knows yet, onto the topic of schemas;
2. the records, each as it stands in its file;
3. how far each file is, onto the topic of state, under the file's identity.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from streams.events.encodings import Datum, encode_single_object, single_object_header
from streams.events.schema import WriterSchema
from streams.ports.kafka import Transactions

BATCH_RECORDS_MAX = 2_000
BATCH_BYTES_MAX = 8_000_000
BATCH_SECONDS_MAX = 2.0
"""Far below the 10 s after which Kafka aborts a transaction: finding the next file's identity comes on top."""
LONG_FILE_BYTES = 16_000_000
"""Reading a file of this size for its identity takes about a second: no transaction stays open meanwhile."""
VALUE_BYTES_MAX = 1_900_000
"""Topics take 2 MB with key and headers."""
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
    """Whether somebody stopped it: what was not reached is no failure."""


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
    """Somebody stopped the ingest, and everything that was written is committed."""


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
        self._touched: dict[str, str] = {}
        self._is_open = False
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
        if file.size_bytes > LONG_FILE_BYTES or self._is_due() or self._is_stopped():
            self._commit()
            self._go_on()
        try:
            self._take(file)
        except UnreadableFile as damage:
            self._fail(file, damage.record, damage.reason)
        self._outcome.size_bytes += file.size_bytes

    def _go_on(self) -> None:
        """Raises `_Stopped` where nobody wants more. Only after a commit."""
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
            self._write(file, key, number, place, datum, before.started_ms)
            self._advance(key, file, Progress(number, False, before.started_ms))
            if self._is_due():
                self._commit()
                self._go_on()
        self._begin()
        self._advance(key, file, Progress(number, True, before.started_ms))
        self._outcome.files += 1

    def _advance(self, key: str, file: File, progress: Progress) -> None:
        self._progress[key] = progress
        self._touched[key] = file.name

    def _write(
        self,
        file: File,
        key: str,
        number: int,
        place: Place,
        datum: Datum,
        started_ms: int,
    ) -> None:
        schema, topic, (content, record) = place.schema, place.topic, datum
        self._begin()
        if schema.fingerprint not in self._written_schemas:
            self._written_schemas.add(schema.fingerprint)
            if not self._target.is_known(schema.fingerprint):
                name = schema.fingerprint.hex().encode()
                self._produce(self._target.schemas_topic, name, orjson.dumps(schema.definition))
        if self._restamp:
            stamped = restamped(record, f"{key}/{number}", number, started_ms)
            value = encode_single_object(schema, _as_utf8(stamped))
        else:
            value = single_object_header(schema) + content
        if len(value) > VALUE_BYTES_MAX:
            self._fail(file, number, f"is larger than {VALUE_BYTES_MAX} bytes: no topic takes it")
            return
        self._produce(topic, record_key(record), value)
        self._batch_records += 1
        self._batch_bytes += len(value)
        self._outcome.records += 1
        self._outcome.topics[topic] = self._outcome.topics.get(topic, 0) + 1

    def _fail(self, file: File, record: int | None, reason: str) -> None:
        self._outcome.failures.append(Failure(file.name, record, reason))

    def _produce(self, topic: str, key: bytes | None, value: bytes) -> None:
        while True:
            try:
                self._transactions.produce(topic, value=value, key=key, headers=[])
            except BufferError:
                self._transactions.flush_queue()
            else:
                return

    def _begin(self) -> None:
        if not self._is_open:
            self._transactions.begin()
            self._is_open = True
            self._batch_began = self._monotonic()

    def _is_due(self) -> bool:
        return self._is_open and (
            self._batch_records >= BATCH_RECORDS_MAX
            or self._batch_bytes >= BATCH_BYTES_MAX
            or self._monotonic() - self._batch_began >= BATCH_SECONDS_MAX
        )

    def _commit(self) -> None:
        if not self._is_open:
            return
        for key, name in self._touched.items():
            self._produce(self._target.state_topic, key.encode(), self._progress[key].to_json(name))
        self._transactions.commit((), None)
        self._touched.clear()
        self._is_open = False
        self._batch_records = self._batch_bytes = 0
        self._report(self._outcome)


def record_key(record: Mapping[str, Any]) -> bytes | None:
    """The Kafka key of an event: its external_user_id, else its user_id, else none. Bytes as they stand in the file."""
    for name in ("external_user_id", "user_id"):
        if (text := record.get(name)) and isinstance(text, str):
            return text.encode(errors="surrogateescape")
    return None


def _as_utf8(value: Any) -> Any:
    """What is no UTF-8 becomes U+FFFD: a record that is written anew is written as Avro wants it."""
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
