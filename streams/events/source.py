"""What an encoder reads: events of one type in one encoding."""

from __future__ import annotations

from typing import Any, Protocol

from streams.events.schema import Field


class EventSource(Protocol):
    """Events of one type that lie in their values in one way. `WriterSchema` is the one for Avro."""

    @property
    def event_type(self) -> str: ...

    @property
    def fields(self) -> tuple[Field, ...]:
        """The event's fields, in the order of the encoding."""
        ...

    @property
    def is_walkable(self) -> bool:
        """Whether values are Avro that the walker reads; else `decode` is the way."""
        ...

    def decode(self, value: bytes, start: int) -> dict[str, Any]:
        """The event whose datum begins at `start`. Raises `ValueError` where the bytes are none.

        The start is 10 after a single-object header, 5 after Confluent's, 0 for a bare value.
        """
        ...
