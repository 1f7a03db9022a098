"""Scratch files of the simulated sinks: the shipped ones, with the fake topic of rows behind them.

A process that ends leaves its files as they are at that moment; what waits for them in its memory is lost. One that
takes the name of a zombie runs on another machine, and finds none.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streams.adapters.kafka.sent import SentTopic
from streams.adapters.memories import KafkaMemories
from streams.adapters.scratch_memory import ScratchMemory
from streams.ports.clock import Clock
from streams.ports.memory import Row
from streams.testing.ports import FakeKafka
from tests.simulation.way_back import names


@dataclass(frozen=True, slots=True)
class _End:
    offset: int


class SentInMemory(SentTopic):
    """The topic of rows on a fake Kafka."""

    def __init__(self, kafka: FakeKafka) -> None:
        super().__init__({}, names.SENT, "simulated")
        self._kafka = kafka

    def identity(self, beat: Callable[[], None]) -> str:
        beat()
        return self._kafka.topic_id(self.name)

    def bounds(self, partition: int, beat: Callable[[], None]) -> tuple[int, int]:
        beat()
        return 0, len(self._kafka.records[self.name, partition])

    def ask_end(self, partition: int) -> Future[Any]:
        found: Future[Any] = Future()
        found.set_result(_End(len(self._kafka.records[self.name, partition])))
        return found

    def read(self, partition: int, start: int, end: int, _beat: Callable[[], None]) -> Iterator[tuple[list[Row], int]]:
        records = self._kafka.records[self.name, partition][start:end]
        yield [(one.key() or b"", one.value()) for one in records if not one.is_marker], end


class ScratchMemories(KafkaMemories):
    """The memories of one process."""

    def __init__(self, kafka: FakeKafka, folder: Path, clock: Clock) -> None:
        super().__init__(SentInMemory(kafka), folder, clock)
        self.folder = folder
        self._opened: list[ScratchMemory] = []

    def open(self, partition: int, beat: Callable[[], None]) -> ScratchMemory:
        found = super().open(partition, beat)
        self._opened.append(found)
        return found

    def close(self) -> None:
        """The process is gone."""
        for memory in self._opened:
            memory.close()


class Folders:
    """A folder for each process, which its successor on the same machine finds."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self._made = 0
        self._of: dict[str, Path] = {}
        self._damaged: set[str] = set()

    def of(self, instance: str) -> Path:
        """For a process that starts."""
        folder = self._of.pop(instance, None) or self._new()
        if instance in self._damaged:
            self._damaged.remove(instance)
            for file in folder.glob("*.sqlite"):
                file.write_bytes(b"not a database" * 200)
        return folder

    def lose(self, instance: str, *, is_damaged: bool) -> None:
        """What the process finds when it starts the next time: files that are good for nothing, or none."""
        if is_damaged:
            self._damaged.add(instance)
        else:
            self._of.pop(instance, None)

    def leave(self, instance: str, memories: ScratchMemories, *, keeps: bool) -> None:
        """A process ended. `keeps`: its successor will find its files."""
        if keeps and memories.folder.exists():
            self._of[instance] = self._new()
            shutil.copytree(memories.folder, self._of[instance])
        memories.close()

    def _new(self) -> Path:
        self._made += 1
        return self._top / str(self._made)
