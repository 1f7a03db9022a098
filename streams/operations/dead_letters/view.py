"""What every operation on letters looks at: whose they are, how their connector stands, and how to read them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from streams.operations.dead_letters.topics import DeadLetters, dead_letters
from streams.operations.installation import Installation
from streams.operations.standings import standing_of
from streams.ports.kafka import Message, Partition
from streams.ports.letters import Stretch
from streams.state.plan import is_purged
from streams.state.standing import Standing
from streams.workers.reading.event_reader import EventReader
from streams.workers.reading.schema_resolver import SchemaResolver

Report = Callable[[int], None]
"""Told now and then how many letters were read in all."""


def silent(_count: int) -> None:
    """Reports to nobody."""


@dataclass(frozen=True, slots=True)
class View:
    """The dead letters of one connector, as they are now. Valid while its installation and its resolver are open."""

    installation: Installation
    dead: DeadLetters
    standing: Standing
    resolver: SchemaResolver

    @property
    def events(self) -> EventReader:
        return EventReader(self.resolver)

    def starts(self, letters: Collection[str]) -> dict[Partition, int]:
        """Where to begin reading each partition of these letters' topics: at its cursor."""
        return {
            partition: self.standing.cursor((name, partition[1]))
            for name in letters
            for partition in self.installation.cluster.partitions(self.dead.topics[name])
        }

    def scan(self, starts: Mapping[Partition, int], report: Report) -> Iterator[Stretch]:
        return self.installation.letters.scan(starts, report)

    def letters_of(self, message: Message) -> str:
        """By which name the letter's topic goes: `rejected` or `credentials.<scope>`."""
        return self.dead.names[message.topic()]

    def place(self, message: Message) -> str:
        return f"{self.letters_of(message)}/{message.partition()}/{message.offset()}"

    def is_settled(self, partition: Partition, offset: int) -> bool:
        return self.standing.is_settled((self.dead.names[partition[0]], partition[1]), offset)

    def is_gone(self, message: Message) -> bool:
        """What lies before a cursor left for good; of the letters after it, those that a person purged."""
        letters, number, offset = self.letters_of(message), message.partition(), message.offset()
        before_cursor = offset < self.standing.cursor((letters, number))
        return before_cursor or is_purged(self.standing, letters, number, offset)


@contextmanager
def view(installation: Installation, name: str) -> Iterator[View]:
    """Raises `BadRequest` where there is no such connector, `KafkaUnreachable` and `StateError`."""
    with view_of(installation, dead_letters(installation.settings, name)) as opened:
        yield opened


@contextmanager
def view_of(installation: Installation, dead: DeadLetters) -> Iterator[View]:
    """The same of letters whose connector may have left the configuration."""
    standing = standing_of(installation, dead.name)
    with installation.open_schemas() as resolver:
        yield View(installation, dead, standing, resolver)
