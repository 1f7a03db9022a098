"""Takes objects: one download each into the scratch folder, validated whole, then written with their progress.

Order of effects, in one transaction of up to `BATCH_RECORDS_MAX` records, perhaps of several objects:
1. a writer's schema that is not known yet, onto the topic of schemas;
2. the records, each as it stands in its file;
3. how far each object is, onto the topic of inlets.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

import structlog

from streams.events.encodings import single_object_header
from streams.inlets.layout import place_of
from streams.inlets.objects import StoredObject
from streams.inlets.prints import Printing, Prints
from streams.inlets.progress import Container, Counts, Entry, State
from streams.inlets.schedule import Pass, Schedule
from streams.ports.errors import (
    KafkaRefusal,
    ObjectChanged,
    ObjectVanished,
    StoreUnavailable,
    StoreUnreachable,
    TopicMissing,
)
from streams.ports.objects import ObjectStore
from streams.state.audit import InletOrdered
from streams.workers.ingest import Broken, File, Place, UnreadableFile
from streams.workers.inlet.batch import Batch
from streams.workers.inlet.content import read_content
from streams.workers.inlet.lease import InletLease
from streams.workers.inlet.queue import Queue
from streams.workers.inlet.trouble import Trouble

log = structlog.get_logger(__name__)

ROUND_CHUNKS = 16
"""Pieces of a download until others may do something."""
ASK_SECONDS = 1.0
"""Between two looks at what waits."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """Where an object lies while it is read, and how large one may be."""

    folder: Path
    bytes_max: int


@dataclass(frozen=True, slots=True)
class Opening:
    """How objects are opened. `containers` gives the Avro files in a file, which people call by the name;
    `place_of` says where a container's records go, and sees that the topic exists. It raises `UnreadableFile`."""

    containers: Callable[[Path, str], Iterator[File | Broken]]
    place_of: Callable[[File], Place]


class Transfer:
    """The duty: takes the next object of the queue, a transaction at a time."""

    def __init__(
        self,
        store: ObjectStore,
        queue: Queue,
        schedule: Schedule,
        trouble: Trouble,
        batch: Batch,
        scratch: Scratch,
        opening: Opening,
        url: str,
        damaged_after_seconds: float,
    ) -> None:
        self._store = store
        self._queue = queue
        self._schedule = schedule
        self._trouble = trouble
        self._batch = batch
        self._scratch = scratch
        self._opening = opening
        self._url = url
        self._damaged_after_ms = int(damaged_after_seconds * 1000)
        self._running: Generator[None, None, None] | None = None
        self._current: StoredObject | None = None
        self._has_resumed = False
        self._ask_at = float("-inf")
        self._outdated = set[tuple[str, str]]()
        """Keys and etags of objects that were written again: only a listing tells what they are now."""

    def begin(self) -> None:
        self._leave()
        self._batch.clear()
        self._has_resumed, self._ask_at = False, float("-inf")
        self._outdated.clear()

    def step(self, lease: InletLease) -> bool:
        """Do a little: a piece of a download, some records, or a transaction."""
        self._ask_for_remembered(lease)
        if self._batch.is_due:
            self._commit(lease)
            return True
        if self._running is None and not self._next(lease):
            if self._batch:
                self._commit(lease)
                return True
            return False
        self._go_on(lease)
        return True

    def _next(self, lease: InletLease) -> bool:
        """Begin with the next object; whether there is one."""
        if self._trouble.waits or (one := self._queue.take()) is None:
            return False
        self._current, self._running = one, self._take(lease, one)
        return True

    def _go_on(self, lease: InletLease) -> None:
        one, running = self._current, self._running
        assert one is not None
        assert running is not None
        try:
            next(running)
        except StopIteration:
            self._leave()
        except StoreUnavailable as error:
            self._leave()
            self._queue.put_back(Pass.LOOKBACK, [one])  # behind the others: only this one may be refused
            self._trouble.failed(error.reason, str(error))
        except (TopicMissing, KafkaRefusal) as error:
            self._leave()
            self._queue.put_back(Pass.LOOKBACK, [one])
            self._trouble.failed("topic", str(error))
        except ObjectChanged as error:
            self._leave()
            log.info("written again since it was listed", inlet=lease.inlet, error=str(error))
            self._outdated.add((one.key, one.etag))
            self._schedule.wake_for(place_of(one.key).hour, lease.clock.epoch_ms())
        except ObjectVanished:
            self._leave()
            self._lose(lease, one)
        except UnreadableFile as damage:
            self._leave()
            self._damage(lease, one, damage)

    def _leave(self) -> None:
        if self._running is not None:
            self._running.close()
        self._running = self._current = None

    def _commit(self, lease: InletLease) -> None:
        again = self._batch.commit(lease)
        if again:
            self._leave()
            self._queue.put_back(Pass.RECENT, again)

    def _ask_for_remembered(self, lease: InletLease) -> None:
        """Objects that no listing need show: those under way when the lease was taken, and damaged ones whose wait is
        over."""
        if lease.clock.monotonic() < self._ask_at:
            return
        view, now = lease.view, lease.clock.epoch_ms()
        due = {} if self._has_resumed else dict(view.under_way)
        for key, entry in view.waiting.items():
            if entry.state is State.DAMAGED and now - entry.since_ms >= self._damaged_after_ms:
                due[key] = entry
        for key, entry in due.items():
            is_in_hand = self._batch.entry(key) is not None or (self._current is not None and self._current.key == key)
            if not is_in_hand and (key, entry.etag) not in self._outdated:
                known = StoredObject(key, entry.size_bytes, entry.etag, entry.modified_ms)
                self._queue.put_back(Pass.LOOKBACK, [known])
        self._has_resumed = True
        self._ask_at = lease.clock.monotonic() + ASK_SECONDS

    def _take(self, lease: InletLease, one: StoredObject) -> Generator[None, None, None]:
        before = self._batch.entry(one.key) or lease.view.entry(one.key)
        if before is not None and before.etag == one.etag and before.state in (State.DONE, State.SKIPPED):
            return  # it was listed while it was taken
        if one.size_bytes > self._scratch.bytes_max:
            raise UnreadableFile(
                None,
                f"it has {one.size_bytes:,} bytes, and scratch_max is {self._scratch.bytes_max:,}",
            )
        with self._spool() as spool:
            yield from self._download(one, spool)
            work = _Work(lease, one, before, self._batch, self._opening)
            yield from work.run(self._opening.containers(Path(spool.name), f"{self._url}/{one.key}"))

    def _spool(self) -> IO[bytes]:
        """A file that goes away when it is closed. Raises `StoreUnreachable` where the folder takes none."""
        try:
            return NamedTemporaryFile(dir=self._scratch.folder, prefix="inlet-", suffix=".part")
        except OSError as error:
            raise StoreUnreachable(f"scratch folder {self._scratch.folder}: {error.strerror or error}") from None

    def _download(self, one: StoredObject, spool: IO[bytes]) -> Generator[None, None, None]:
        for number, chunk in enumerate(self._store.read(one)):
            try:
                spool.write(chunk)
            except OSError as error:
                raise StoreUnreachable(f"scratch folder {self._scratch.folder}: {error.strerror or error}") from None
            if number % ROUND_CHUNKS == 0:
                yield
        spool.flush()
        self._trouble.served()

    def _damage(self, lease: InletLease, one: StoredObject, damage: UnreadableFile) -> None:
        """It waits, perhaps Braze replaces it; then it is parked."""
        before = self._batch.entry(one.key) or lease.view.entry(one.key) or _new(one)
        now = lease.clock.epoch_ms()
        is_same = before.etag == one.etag and before.state is State.DAMAGED
        since_ms = before.since_ms if is_same else now
        is_hopeless = one.size_bytes > self._scratch.bytes_max
        is_over = is_hopeless or now - since_ms >= self._damaged_after_ms
        where = "" if damage.record is None else f"record {damage.record:,}: "
        entry = replace(
            before,
            etag=one.etag,
            size_bytes=one.size_bytes,
            modified_ms=one.modified_ms,
            state=State.PARKED if is_over else State.DAMAGED,
            reason=f"{where}{damage.reason}",
            since_ms=since_ms,
            salvages=False,
        )
        self._batch.put(one, entry)
        if is_over:
            log.error("parked: it cannot be read", inlet=lease.inlet, key=one.key, reason=entry.reason)
        else:
            log.warning("damaged, read again later", inlet=lease.inlet, key=one.key, reason=entry.reason)

    def _lose(self, lease: InletLease, one: StoredObject) -> None:
        before = self._batch.entry(one.key) or lease.view.entry(one.key) or _new(one)
        if before.state is State.LOST:
            return
        log.error("lost: it vanished before it was read", inlet=lease.inlet, key=one.key, size_bytes=one.size_bytes)
        self._batch.put(one, replace(before, etag=one.etag, state=State.LOST), Counts(lost=1))


class _Work:
    """One object that lies in the scratch folder: its containers, one after the other."""

    def __init__(
        self, lease: InletLease, one: StoredObject, before: Entry | None, batch: Batch, opening: Opening
    ) -> None:
        self._lease = lease
        self._one = one
        self._before = before or _new(one)
        self._batch = batch
        self._place_of = opening.place_of
        self._is_changed = before is not None and before.etag != one.etag
        self._done: list[Container] = []
        self._number = 0
        """Records of the object so far."""
        self._written = self._before.records
        self._copied = 0
        self._counts = Counts()
        self._prints = Prints()
        self._damage: UnreadableFile | None = None

    def run(self, containers: Iterator[File | Broken]) -> Generator[None, None, None]:
        for container in containers:
            if isinstance(container, Broken):
                raise UnreadableFile(None, container.reason)
            yield from self._container(container)
        if not self._done:
            raise UnreadableFile(None, "no Avro file is in it")
        self._settle()

    def _container(self, file: File) -> Generator[None, None, None]:
        sha256 = bytes.fromhex(file.identity())
        own = next((one for one in self._before.containers if one.sha256 == sha256), None)
        if own is not None and own.is_done:
            self._done.append(own)
            self._prints = self._before.prints
            return
        if own is None and (self._lease.view.is_known(sha256) or self._batch.holds(sha256)):
            self._copied += 1
            self._done.append(Container(sha256, 0, True))
            return
        by_hand = self._lease.ingested(sha256)
        if by_hand is not None and by_hand.is_done:
            self._copied += 1
            self._done.append(Container(sha256, 0, True))
            return
        place = self._place_of(file)
        told = self._before.prints if self._is_changed and own is None and not self._done else Prints()
        content = yield from read_content(file, told, salvages=self._before.salvages)
        self._damage = content.damage
        written = max(content.known, 0 if own is None else own.records, 0 if by_hand is None else by_hand.records)
        if told.records and not content.known:
            self._counts = self._counts.plus(Counts(rewritten=1))
        yield from self._write(content.datums(), place, sha256, written)
        if content.known and content.records < told.records:
            self._prints = told  # a shorter rewrite: what is remembered is of the longer one

    def _write(
        self, datums: Iterator[tuple[bytes | None, bytes]], place: Place, sha256: bytes, written: int
    ) -> Generator[None, None, None]:
        """Records behind the first `written` ones."""
        batch, one, topic = self._batch, self._one, place.topic
        header = single_object_header(place.schema)
        printing = Printing()
        batch.use(place.schema)
        number = 0
        for number, (key, datum) in enumerate(datums, 1):
            printing.add(datum)
            if number <= written:
                continue
            if (one.key, self._number + number) in batch.refused:
                self._pass(number)
                continue
            batch.add(one, self._number + number, topic, key, header + datum)
            self._written += 1
            if batch.is_due:
                container = Container(sha256, number, False)
                batch.put(
                    one, self._entry(State.UNDER_WAY, (*self._done, container), printing.prints), self._taken_counts()
                )
                yield  # the transaction is written now
                batch.use(place.schema)
        self._number += number
        self._done.append(Container(sha256, number, True))
        self._prints = printing.prints

    def _pass(self, number: int) -> None:
        why = self._batch.refused[self._one.key, self._number + number]
        log.error("record skipped: Kafka refuses it", key=self._one.key, record=number, reason=why)
        self._counts = self._counts.plus(Counts(passed=1))

    def _settle(self) -> None:
        is_copy = self._copied == len(self._done) and not self._before.records
        counts = self._taken_counts().plus(Counts(taken=1, copies=int(is_copy)))
        audit = None
        state = State.DONE
        if self._before.salvages:
            state = State.SKIPPED if self._damage else State.DONE
            outcome = "it was read to its end" if self._damage is None else _given_up(self._damage)
            audit = InletOrdered(what="salvage done", key=self._one.key, records=self._written, outcome=outcome)
        self._batch.put(self._one, self._entry(state, tuple(self._done), self._prints), counts, audit)

    def _taken_counts(self) -> Counts:
        counts, self._counts = self._counts, Counts()
        return counts

    def _entry(self, state: State, containers: tuple[Container, ...], prints: Prints) -> Entry:
        one = self._one
        return Entry(
            etag=one.etag,
            size_bytes=one.size_bytes,
            modified_ms=one.modified_ms,
            state=state,
            records=self._written,
            containers=containers,
            prints=prints,
            salvages=self._before.salvages and state is State.UNDER_WAY,
            reason=self._before.reason if state in (State.UNDER_WAY, State.SKIPPED) else "",
        )


def _new(one: StoredObject) -> Entry:
    return Entry(one.etag, one.size_bytes, one.modified_ms, State.UNDER_WAY)


def _given_up(damage: UnreadableFile) -> str:
    begin = "" if damage.record is None else f", from record {damage.record:,} on,"
    return f"the rest{begin} is given up: {damage.reason}"
