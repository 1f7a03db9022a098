"""What an inlet needs for very many objects, and for a very large one: `python -m tests.inlets.large objects|file N`.

Prints the peak of resident memory in MiB. The store is made up while it is read, and Kafka takes everything.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import fastavro

from streams.inlets.objects import StoredObject
from streams.ports.objects import Level
from streams.testing.ports import FakeKafka, FakeTransactions
from tests.bench.measurement import peak_mib
from tests.cli.files import OPEN_SCHEMA
from tests.inlets import desk
from tests.inlets.desk import EVENT_TYPE, Desk

SYNC = b"s" * 16
BLOCK_RECORDS = 200
RECORD_CHARACTERS = 5_000


class Forgetful(FakeTransactions):
    """Takes records, and keeps only how many."""

    records = 0

    def write(self, topic: str, value: bytes | None, *_more: Any, **_named: Any) -> None:
        if topic == desk.TOPIC:
            Forgetful.records += 1

    def commit(self, *_what: object) -> None:
        """Nothing is kept."""


class ManyObjects:
    """So many objects of one event type; they are refused when they are read."""

    def __init__(self, count: int, now_ms: int) -> None:
        self._count = count
        self._now_ms = now_ms
        self._root = f"dataexport.a/event_type={EVENT_TYPE}"

    def level(self, folder: str) -> Level:
        return Level((self._root,) if folder else ("dataexport.a",), ())

    def pages(self, folder: str, after: str = "") -> Iterator[Sequence[StoredObject]]:
        for start in range(0, self._count, 1_000):
            yield [self._object(number) for number in range(start, min(self._count, start + 1_000))]

    def read(self, wanted: StoredObject) -> Iterator[bytes]:
        content = desk.avro([{"id": wanted.key, "time": 1}])
        yield content

    def _object(self, number: int) -> StoredObject:
        key = f"{self._root}/date=2026-11-24-{number % 24:02}/version=3/prod/file+{number:010}.avro"
        return StoredObject(key, 1_000, f"etag-{number:032}", self._now_ms)


class OneLargeFile:
    """A container file of about so many bytes, made of the same block again and again."""

    def __init__(self, size_bytes: int, now_ms: int) -> None:
        stream = io.BytesIO()
        record = {"id": "e", "user_id": "u", "time": 1, "subject_of_tests": "x" * RECORD_CHARACTERS}
        fastavro.writer(stream, OPEN_SCHEMA, [record] * BLOCK_RECORDS, sync_marker=SYNC, sync_interval=1 << 30)
        content = stream.getvalue()
        start = content.index(SYNC) + len(SYNC)
        self._header, self._block = content[:start], content[start:]
        self._blocks = max(1, size_bytes // len(self._block))
        self.records = self._blocks * BLOCK_RECORDS
        size = len(self._header) + self._blocks * len(self._block)
        self._one = StoredObject(desk.key("large.avro"), size, "etag", now_ms)

    def level(self, folder: str) -> Level:
        return Level((), (self._one,))

    def pages(self, folder: str, after: str = "") -> Iterator[Sequence[StoredObject]]:
        yield [self._one]

    def read(self, wanted: StoredObject) -> Iterator[bytes]:
        yield self._header
        for _ in range(self._blocks):
            yield self._block


def main(what: str, count: int) -> None:
    desk.FakeTransactions = Forgetful  # type: ignore[attr-defined]
    desk.STEPS_MAX = 1 << 60
    with tempfile.TemporaryDirectory() as folder:
        inlet = Desk(Path(folder), scratch_max=1 << 60)
        inlet.kafka = FakeKafka()
        now_ms = inlet.clock.epoch_ms()
        store: Any = ManyObjects(count, now_ms) if what == "objects" else OneLargeFile(count, now_ms)
        inlet.store = store
        inlet.restart()
        if what == "objects":
            for _ in range(3 * count // 1_000 + 3):  # the look-back is listed to its end, and nothing is read
                inlet.listing_alone()
        else:
            inlet.run()
            assert Forgetful.records == store.records, (Forgetful.records, store.records)
    print(f"{peak_mib():.0f}")


if __name__ == "__main__":
    main(sys.argv[1], int(float(sys.argv[2])))
