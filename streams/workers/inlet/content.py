"""Reads a container whole before its first record is written, and gives its records again for writing."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

from streams.inlets.prints import Printing, Prints
from streams.workers.ingest import File, UnreadableFile, record_key

HELD_BYTES_MAX = 32_000_000
"""Records of a container that are kept in memory after it was validated. A larger one is read a second time."""
ROUND_RECORDS = 2_000
"""So many records are read until others may do something."""

KeyedDatum = tuple[bytes | None, bytes]
"""The Kafka key of an event, and its bytes as they stand in the file."""


@dataclass(frozen=True, slots=True)
class Content:
    """A container that was read to its end. `known` of its first records were in an earlier content of the object."""

    file: File
    records: int
    known: int
    damage: UnreadableFile | None
    """What ends it before its end; only where its good part is wanted."""
    held: list[KeyedDatum] | None

    def datums(self) -> Iterator[KeyedDatum]:
        """Its records, in their order."""
        if self.held is not None:
            yield from self.held
            return
        for number, (datum, record) in enumerate(self.file.datums(), 1):
            if number > self.records:
                return
            yield record_key(record), datum


def read_content(file: File, told: Prints, *, salvages: bool) -> Generator[None, None, Content]:
    """Read a container to its end, compared with an earlier content. Raises `UnreadableFile`, unless it `salvages`."""
    printing = Printing(told) if told.records else None
    held: list[KeyedDatum] | None = []
    held_bytes = records = 0
    damage = None
    try:
        for datum, record in file.datums():
            records += 1
            if printing is not None:
                printing.add(datum)
            if held is not None:
                held.append((record_key(record), datum))
                held_bytes += len(datum)
                if held_bytes > HELD_BYTES_MAX:
                    held = None
            if records % ROUND_RECORDS == 0:
                yield
    except UnreadableFile as error:
        if not salvages:
            raise
        damage = error
    return Content(file, records, 0 if printing is None else printing.known, damage, held)
