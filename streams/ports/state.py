"""The state topic as its readers see it, and the keepers as those see them who ask something of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from streams.state.records import Answer

What = Literal["suspend", "resume", "probe", "extend", "replay", "purge", "cancel", "clear", "resend", "forget"]


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One record of the state topic. `written_ms` is the broker's time of writing; None where the topic keeps none."""

    key: str
    value: bytes | None
    written_ms: int | None


class Journal(Protocol):
    """A reader of the state topic, from its beginning on, as committed. One thread uses it.

    Both reads raise `JournalBegan`, once, where the topic was deleted and made again.
    """

    def read_to_end(self) -> Sequence[JournalRecord]:
        """What was not read yet, up to the end as it is now. Raises `KafkaUnreachable`."""
        ...

    def poll(self) -> Sequence[JournalRecord]:
        """What has come since, without waiting; perhaps nothing."""
        ...

    def close(self) -> None: ...


class WholeJournal(Journal, Protocol):
    """A `Journal` for who goes on where a process before it ended: nothing that was committed may be missed."""

    def read_whole(self) -> Sequence[JournalRecord]:
        """As `read_to_end`, and waits for what is open. A transaction of another writer, which was killed perhaps,
        hides all that was committed behind it, until Kafka ends it. Raises `KafkaUnreachable`."""
        ...


class Keepers(Protocol):
    """Asks the keeper of a connector, or of `source`."""

    def ask(
        self, connector: str, what: What, arguments: Mapping[str, Any], *, who: str, reason: str, wait_seconds: float
    ) -> Answer:
        """The keeper's answer. A caller that stops waiting withdraws the request.

        Raises `NoKeeperAnswers`, `KafkaUnreachable`, `KafkaRefusal`, `AccessDenied` and `StateError`.
        """
        ...
