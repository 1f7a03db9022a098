"""What sinks remember, one file a partition on a scratch folder, filled from the rows that Kafka keeps.

    streams.sent.<connector> --rows from the position on--> <folder>/<connector>/<partition>.sqlite

A file goes on at its position. The position may stand before rows that the file has, never behind rows that it lacks:
rows that are read again in their order change nothing. A file is made again where its position means nothing any more:
the topic was made again or is shorter, or tombstones may be gone that the file never saw.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import structlog

from streams.adapters.kafka.sent import Beat, SentTopic
from streams.adapters.scratch import Position, Scratch
from streams.adapters.scratch_memory import ScratchMemory, seconds, told
from streams.ports.clock import Clock
from streams.ports.memory import Room, RowsNotUnderstood

log = structlog.get_logger(__name__)

FRESH_SECONDS_MAX = 12 * 3_600
"""Kafka keeps the tombstone of a deleted row for 24 h (`delete.retention.ms`): a file that was left for longer may have
missed one, and would keep the row for ever."""


class KafkaMemories:
    """The `Memories` of one connector. One thread uses it."""

    def __init__(self, topic: SentTopic, folder: Path, clock: Clock) -> None:
        self._topic = topic
        self._folder = folder
        self._clock = clock

    @property
    def topic(self) -> str:
        """The topic of the rows."""
        return self._topic.name

    def open(self, partition: int, beat: Beat) -> ScratchMemory:
        """The partition's memory with every committed row of the topic."""
        beat()
        name = self._topic.identity(beat)
        first, end = self._topic.bounds(partition, beat)
        path = self._folder / f"{partition}.sqlite"
        with told(path):
            scratch = Scratch(path)
        try:
            with told(path):
                self._bring_forward(scratch, partition, Position(first, name), end, beat)
                scratch.unstage_all()
        except BaseException:  # Ctrl-C, too: the file must not stay open
            scratch.close()
            raise
        return ScratchMemory(scratch, path, lambda: self._topic.ask_end(partition), name, self._clock)

    def _bring_forward(self, scratch: Scratch, partition: int, start: Position, end: int, beat: Beat) -> None:
        now_s = seconds(self._clock)
        position = scratch.position
        if why := _useless(position, start, end, now_s):
            log.info("memory is filled from the first row", topic=self.topic, partition=partition, why=why)
            scratch.clear()
            with scratch.filling():
                self._read(scratch, partition, start, end, beat)
        else:
            self._read(scratch, partition, position, end, beat)
        scratch.apply((), Position(end, start.topic, now_s))

    def _read(self, scratch: Scratch, partition: int, position: Position, end: int, beat: Beat) -> None:
        for rows, reached in self._topic.read(partition, position.next_offset, end, beat):
            try:
                scratch.apply(rows, position._replace(next_offset=reached))
            except ValueError as error:
                raise RowsNotUnderstood(
                    f"a row before offset {reached} of partition {partition} of {self.topic} cannot be read: {error}; "
                    "a newer version of streams wrote it, or another program: upgrade, or give streams topics of its "
                    "own with kafka.topic_prefix"
                ) from error


def check_folder(folder: Path) -> None:
    """Raises `OSError` where files cannot be written there. Leaves none behind."""
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".probe-{os.getpid()}"
    try:
        probe.write_bytes(b"streams")
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def room_in(folder: Path) -> Room:
    """What there is, of the folder or of the nearest one above it that exists. Writes nothing."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir():
        return Room(f"{there} is not a folder", 0)
    if not os.access(there, os.W_OK | os.X_OK):
        return Room(f"this user may not write to {there}", 0)
    return Room("", shutil.disk_usage(there).free)


def _useless(position: Position, start: Position, end: int, now_s: int) -> str:
    """Why the file must be filled again; empty if it can go on."""
    if position.fresh_s == 0:
        return "there was no file"
    if position.topic != start.topic:
        return "the topic was deleted and made again"
    if position.next_offset > end:
        return "the topic ends before the offset that the file reached"
    if position.next_offset < start.next_offset:
        return "rows that the file has not read were deleted from the topic"
    if not 0 <= now_s - position.fresh_s < FRESH_SECONDS_MAX:
        return f"the file was not brought up to date for {FRESH_SECONDS_MAX // 3_600} hours"
    return ""
