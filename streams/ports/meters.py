"""What workers report of their work: per batch, transaction or commit, never per record.

The ports are implemented in `streams.adapters`; `UNMEASURED` measures nothing. A meter never raises and
never waits: the work that it is told of is done already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from streams.delivery.account import RouterCounts
from streams.delivery.batch import Batch
from streams.delivery.contract import Verdict
from streams.delivery.ledger import Parking
from streams.ports.http import Answer
from streams.ports.kafka import Message
from streams.state.records import ConnectorState, ScopeState, Waits

TRACEPARENT_HEADER = "traceparent"


class RouterMeter(Protocol):
    """Of the router's transactions, one at a time."""

    def began(self, messages: Sequence[Message]) -> bytes:
        """A transaction with these records. Gives the `traceparent` of what it writes; empty without a trace."""
        ...

    def committed(self, counts: RouterCounts) -> None:
        """The transaction was committed; these records it counted."""
        ...

    def lost(self, records: int) -> None:
        """Retention deleted these before the group began."""
        ...

    def aborted(self) -> None:
        """Nothing is left of the transaction."""
        ...

    def waits(self, waits: Waits) -> None:
        """What this process waits for now, once a second."""
        ...


class SinkMeter(Protocol):
    """Of one connector's requests and commits."""

    def sent(self, ticket: int, batch: Batch[Message]) -> None:
        """The batch's request went out."""
        ...

    def answered(self, batch: Batch[Message], answer: Answer, verdict: Verdict) -> None:
        """What came of the request."""
        ...

    def committed(self, skipped: Mapping[str, int], letters: Sequence[Parking[Message]]) -> None:
        """Records skipped, by reason, and letters parked by a commit that was accepted."""
        ...

    def truncated(self, strings: int) -> None:
        """Strings that were cut to the destination's limit."""
        ...

    def lost(self, records: int) -> None:
        """Retention deleted these before they were read."""
        ...

    def aborted(self) -> None:
        """Nothing is left of a transaction: what it held is done again."""
        ...

    def waits(self, waits: Waits) -> None:
        """What this process waits for now, once a second."""
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """How a connector stands, as its keeper tells it. Times are milliseconds since 1970."""

    state: ConnectorState
    scopes: Mapping[str, ScopeState]
    deadlines: Mapping[str, int]
    """When the first letter of each INVALID scope may be purged."""
    is_deletion_overdue: bool = False
    """Whether bytes of settled letters could not be deleted yet."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What a keeper did to dead letters, and whom it told, since it said so last."""

    redriven: int
    replayed: int
    purged: Mapping[str, int]
    """By reason: `deadline`, `ordered` by a person, `expired` by age."""
    alerts: Mapping[str, int]
    """By kind: `invalid`, `half`, `most`, `recovered`, `suspended`, `purged`, `lost`."""


class KeeperMeter(Protocol):
    """Of one connector's keeper, on its own thread."""

    def in_office(self, is_held: bool) -> None: ...

    def stands(self, kept: Kept) -> None: ...

    def moved(self, moved: Moved) -> None: ...


class Unmeasured:
    """Every meter, for who does not want to know."""

    def began(self, _messages: Sequence[Message]) -> bytes:
        return b""

    def aborted(self) -> None: ...
    def sent(self, _ticket: int, _batch: Batch[Message]) -> None: ...
    def answered(self, _batch: Batch[Message], _answer: Answer, _verdict: Verdict) -> None: ...
    def committed(self, *_what: object) -> None: ...
    def truncated(self, _strings: int) -> None: ...
    def lost(self, _records: int) -> None: ...
    def in_office(self, _is_held: bool) -> None: ...
    def stands(self, _kept: Kept) -> None: ...
    def waits(self, _waits: Waits) -> None: ...
    def moved(self, _moved: Moved) -> None: ...


UNMEASURED = Unmeasured()
