"""Reads letters for the commands: where each partition begins, what a letter is about, progress on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from streams.cli.output import note

if TYPE_CHECKING:
    from streams.adapters.kafka.admin import Administration
    from streams.adapters.kafka.scan import Stretch
    from streams.cli.dlq.place import DeadLetters
    from streams.ports.kafka import Message, Partition
    from streams.state.standing import Standing
    from streams.workers.reading.event_reader import EventReader

CLIENT_ID = "streams-dlq"
TERMINAL_SECONDS = 0.2
LOG_SECONDS = 5.0
"""How often progress is told: on a terminal in place, else as a line that a log can take."""
TYPES_MAX = 10_000
"""Corrupt values begin with ever new bytes: beyond this many, what was remembered is forgotten."""


class Progress:
    """Tells how many letters were read, on stderr, not too often."""

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._is_terminal = sys.stderr.isatty()
        self._next_at = time.monotonic() + (TERMINAL_SECONDS if self._is_terminal else LOG_SECONDS)
        self._is_told = False

    def __call__(self, count: int) -> None:
        now = time.monotonic()
        if now < self._next_at:
            return
        self._is_told = True
        if self._is_terminal:
            self._next_at = now + TERMINAL_SECONDS
            print(f"\r{self._doing}: {count:,} letters", end="", file=sys.stderr, flush=True)
        else:
            self._next_at = now + LOG_SECONDS
            note(f"{self._doing}: {count:,} letters")

    def end(self) -> None:
        """Take the line back."""
        if self._is_told and self._is_terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def starts_of(
    administration: Administration,
    dead: DeadLetters,
    standing: Standing,
    letters: Collection[str],
    *,
    from_cursor: bool = True,
) -> dict[Partition, int]:
    """Where to begin reading each partition of these letters' topics: at its cursor, or at the earliest there is."""
    return {
        partition: standing.cursor((name, partition[1])) if from_cursor else 0
        for name in letters
        for partition in administration.partitions(dead.topics[name])
    }


def names_by_topic(dead: DeadLetters) -> dict[str, str]:
    """A topic's name to the end of it by which its letters go."""
    return {topic: letters for letters, topic in dead.topics.items()}


def scanned(dead: DeadLetters, starts: Mapping[Partition, int], doing: str) -> Iterator[Stretch]:
    """The letters from these offsets on, with progress."""
    from streams.adapters.kafka.scan import scan

    progress = Progress(doing)
    try:
        yield from scan(dead.settings.kafka.client_config(CLIENT_ID), starts, progress)
    finally:
        progress.end()


class EventTypes:
    """Event types of letters; remembered by the first bytes of a value, where those tell."""

    def __init__(self, events: EventReader) -> None:
        from streams.events.encodings import SINGLE_OBJECT_HEADER_BYTES, SINGLE_OBJECT_MARK

        self._events = events
        self._mark, self._bytes = SINGLE_OBJECT_MARK, SINGLE_OBJECT_HEADER_BYTES
        self._known: dict[bytes, str] = {}

    def of(self, message: Message) -> str:
        value = message.value() or b""
        header = value[: self._bytes]
        if not header.startswith(self._mark):
            return self._events.event_type(message)
        event_type = self._known.get(header)
        if event_type is None:
            if len(self._known) >= TYPES_MAX:
                self._known.clear()
            event_type = self._known[header] = self._events.event_type(message)
        return event_type
