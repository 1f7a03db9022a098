"""What every operation on letters needs: their owner, the connector's state, and how to read them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from streams.operations.dead_letters.topics import DeadLetters, dead_letters
from streams.operations.installation import Installation
from streams.operations.state_views import state_view_of
from streams.ports.kafka import Message, Partition
from streams.ports.letters import Stretch
from streams.state.plan import is_purged
from streams.state.state_view import StateView
from streams.workers.reading.event_reader import EventReader
from streams.workers.reading.schema_resolver import SchemaResolver

Report = Callable[[int], None]
"""Called from time to time with the number of letters read so far."""


def silent(_count: int) -> None:
    """Reports to nobody."""


@dataclass(frozen=True, slots=True)
class OpenLetters:
    """The dead letters of one connector, as they are now. Valid while its installation and its resolver are open."""

    installation: Installation
    dead: DeadLetters
    view: StateView
    resolver: SchemaResolver

    @property
    def events(self) -> EventReader:
        return EventReader(self.resolver)

    def starts(self, letters: Collection[str]) -> dict[Partition, int]:
        """Where reading begins in each partition of these letters' topics: at its cursor."""
        return {
            partition: self.view.cursor((name, partition[1]))
            for name in letters
            for partition in self.installation.cluster.partitions(self.dead.topics[name])
        }

    def scan(self, starts: Mapping[Partition, int], report: Report) -> Iterator[Stretch]:
        return self.installation.letters.scan(starts, report)

    def letters_of(self, message: Message) -> str:
        """The name of the letters in this letter's topic: `rejected` or `credentials.<scope>`."""
        return self.dead.names[message.topic()]

    def place(self, message: Message) -> str:
        return f"{self.letters_of(message)}/{message.partition()}/{message.offset()}"

    def is_settled(self, partition: Partition, offset: int) -> bool:
        return self.view.is_settled((self.dead.names[partition[0]], partition[1]), offset)

    def is_gone(self, message: Message) -> bool:
        """Whether the letter left for good: it lies before the cursor, or a person purged it."""
        letters, number, offset = self.letters_of(message), message.partition(), message.offset()
        before_cursor = offset < self.view.cursor((letters, number))
        return before_cursor or is_purged(self.view, letters, number, offset)


@contextmanager
def open_letters(installation: Installation, name: str) -> Iterator[OpenLetters]:
    """Raises `BadRequest` if there is no such connector, `KafkaUnreachable` and `StateError`."""
    with open_letters_of(installation, dead_letters(installation.settings, name)) as opened:
        yield opened


@contextmanager
def open_letters_of(installation: Installation, dead: DeadLetters) -> Iterator[OpenLetters]:
    """As `open_letters`, also for a connector that left the configuration."""
    view = state_view_of(installation, dead.name)
    with installation.open_schemas() as resolver:
        yield OpenLetters(installation, dead, view, resolver)
