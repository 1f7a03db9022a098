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
from streams.delivery.ledger import ParkedRecord
from streams.ports.http import Answer
from streams.ports.kafka import Message
from streams.state.records import ConnectorState, ScopeState
from streams.state.worker_records import Waits

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


@dataclass(frozen=True, slots=True)
class Memorized:
    """What one process remembers of all partitions that it has."""

    rows: int
    scratch_bytes: int
    open_copies: int
    """Full copies that are not complete."""
    oldest_copy_seconds: int
    """Since the oldest of them began; 0 where there is none."""


class SinkMeter(Protocol):
    """Of one connector's requests and commits."""

    def sent(self, ticket: int, batch: Batch[Message]) -> None:
        """The batch's request went out."""
        ...

    def answered(self, batch: Batch[Message], answer: Answer, verdict: Verdict) -> None:
        """What came of the request."""
        ...

    def committed(self, skipped: Mapping[str, int], letters: Sequence[ParkedRecord[Message]]) -> None:
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

    def remembers(self, memorized: Memorized) -> None:
        """Of a destination that composes: twice a minute, and when partitions come or go."""
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
    """By kind: `invalid`, `half`, `most`, `recovered`, `refused`, `suspended`, `purged`, `lost`."""


class KeeperMeter(Protocol):
    """Of one connector's keeper, on its own thread."""

    def lease_held(self, is_held: bool) -> None: ...

    def stands(self, state: Kept, /) -> None: ...

    def moved(self, moved: Moved) -> None: ...


class ReceiverMeter(Protocol):
    """Of what vendors send. `entry` is `-` where no entry was meant."""

    def answered(self, connector: str, entry: str, code: str, seconds: float) -> None:
        """A request was answered with this status; `none` where its sender went away."""
        ...

    def in_hand(self, requests: int) -> None:
        """So many requests wait for their answer now."""
        ...

    def read(self, connector: str, entry: str, body_bytes: int) -> None:
        """A whole body came; its size as inflated."""
        ...

    def not_admitted(self, connector: str, entry: str) -> None:
        """A wrong key, or none."""
        ...

    def written(self, connector: str, entry: str, records: int, skipped: Mapping[str, int]) -> None:
        """Records of a request that were committed, and its items that were left out, by reason."""
        ...

    def aborted(self) -> None:
        """Nothing is left of a transaction: its senders try again."""
        ...

    def inlet_answered(self, inlet: str, code: str, seconds: float) -> None:
        """A request of Braze was answered; `inlet` is `-` where none has this name."""
        ...

    def inlet_read(self, inlet: str, body_bytes: int) -> None:
        """A whole body came; its size as inflated."""
        ...

    def inlet_not_admitted(self, inlet: str) -> None:
        """A wrong token, or none."""
        ...

    def inlet_written(self, inlet: str, events: int, skipped: Mapping[str, int]) -> None:
        """Events of a request that were committed; `undecodable` ones are letters, `repeated` ones are left out."""
        ...


@dataclass(frozen=True, slots=True)
class InletState:
    """How an inlet stands, as its active process tells it."""

    pending: int
    pending_bytes: int
    oldest_pending_seconds: float
    """Age of the oldest object that waits to be taken, by the store's time; 0 where none waits."""
    parked: int
    damaged: int
    listing_seconds: float
    """Since the last listing that was finished."""
    failing: str
    """Why the store does not serve us: `forbidden`, `throttled`, `unreachable`; empty while it does."""
    silence_seconds: Mapping[str, float]
    """Since the last object of each event type was written."""


class InletMeter(Protocol):
    """Of one inlet from a bucket."""

    def lease_held(self, is_held: bool) -> None: ...

    def committed(self, topics: Mapping[str, int], objects: Mapping[str, int]) -> None:
        """Records written, by topic; and objects `taken`, `rewritten`, `copies`, `lost`, and records `passed`."""
        ...

    def noticed(self, worth: str) -> None:
        """A message of the bucket's queue, by what it is worth."""
        ...

    def stands(self, state: InletState, /) -> None:
        """Every few seconds, while the lease is held."""
        ...


class Unmeasured:
    """Every meter, for who does not want to know."""

    def began(self, _messages: Sequence[Message]) -> bytes:
        return b""

    def aborted(self) -> None: ...
    def sent(self, _ticket: int, _batch: Batch[Message]) -> None: ...
    def answered(self, *_what: object) -> None: ...
    def in_hand(self, _requests: int) -> None: ...
    def read(self, _connector: str, _entry: str, _body_bytes: int) -> None: ...
    def not_admitted(self, _connector: str, _entry: str) -> None: ...
    def written(self, *_what: object) -> None: ...
    def inlet_answered(self, *_what: object) -> None: ...
    def inlet_read(self, _inlet: str, _body_bytes: int) -> None: ...
    def inlet_not_admitted(self, _inlet: str) -> None: ...
    def inlet_written(self, *_what: object) -> None: ...
    def committed(self, *_what: object) -> None: ...
    def truncated(self, _strings: int) -> None: ...
    def lost(self, _records: int) -> None: ...
    def remembers(self, _memorized: Memorized) -> None: ...
    def lease_held(self, _is_held: bool) -> None: ...
    def noticed(self, _worth: str) -> None: ...
    def stands(self, _state: Kept | InletState) -> None: ...
    def waits(self, _waits: Waits) -> None: ...
    def moved(self, _moved: Moved) -> None: ...


UNMEASURED = Unmeasured()
