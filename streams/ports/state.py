"""The state topic as its readers see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One record of the state topic. `written_ms` is the broker's time of writing; None where the topic keeps none."""

    key: str
    value: bytes | None
    written_ms: int | None


class Journal(Protocol):
    """A reader of the state topic, from its beginning on, as committed. One thread uses it."""

    def read_to_end(self) -> Sequence[JournalRecord]:
        """What was not read yet, up to the end as it is now. Raises `KafkaUnreachable`."""
        ...

    def poll(self) -> Sequence[JournalRecord]:
        """What has come since, without waiting; perhaps nothing."""
        ...

    def close(self) -> None: ...
