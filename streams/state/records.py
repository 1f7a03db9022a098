"""Records of the topic `streams.state` that keepers and commands write: values as JSON with `v` and `epoch`.

`kinds` has the key of each record, and `worker_records` those that sinks and routers write. Times are milliseconds
since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from streams.delivery.handover import HandedOver

REJECTED = "rejected"
"""Letters that people look at one by one: those with the causes `rejected` and `gave-up`, and all of the source."""
CREDENTIALS = "credentials."
"""The prefix of the letters of a credential scope."""
PURGED = "purged"
"""Not letters of their own: which settled letters of `rejected` were purged. `replay --again` cannot send these."""
DELIVERIES = "connector"
"""The connector's own topic, in a place where the name of dead letters is expected."""

Partition = tuple[str, int]
"""Letters (the end of a dead-letter topic's name) and partition number."""


class StateError(ValueError):
    """A record of the state topic that this program does not understand."""


class StateTooNew(StateError):
    """A record that a newer version of this program wrote."""


class Record(BaseModel):
    """One value. `at` is the time of its writer's clock when it was written. `epoch` is the number of the
    keeper's lease, 0 for others."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)
    kind: ClassVar[str]

    v: Literal[1] = 1
    epoch: int = 0
    at: int = 0

    def to_bytes(self) -> bytes:
        return self.model_dump_json().encode()


class LeaseHolder(Record):
    """Who holds the lease: the right to write this connector's state."""

    kind = "keeper"
    instance: str


class ConnectorState(Record):
    """Whether a connector delivers. `suspensions` are past ones as (from, to), oldest first."""

    kind = "connector"
    state: Literal["RUNNING", "SUSPENDED"] = "RUNNING"
    by: Literal["operator", "flood", "configuration"] | None = None
    reason: str = ""
    who: str = ""
    since: int = 0
    suspensions: tuple[tuple[int, int], ...] = ()
    alerted: bool = False
    """Whether the alert about its suspension was sent."""


class Evidence(BaseModel):
    """What a destination answered: the HTTP status (0: no answer), its own words, and when."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    status: int
    detail: str
    at: int


class ScopeState(Record):
    """Whether a scope's credentials are good. `since` is when the state began (0: it never changed).

    `probe` is the newest probe's answer; `probe_began` is when the probe was sent. `extended_ms` is what people added
    to the grace. `alerts` are those that were sent for this INVALID episode: `invalid`, `half`, `most`, and `recovered`
    after its end; and `refused` while traffic is refused although probes are accepted.
    """

    kind = "scope"
    state: Literal["VALID", "INVALID"] = "VALID"
    since: int = 0
    evidence: Evidence | None = None
    extended_ms: int = 0
    alerts: tuple[str, ...] = ()
    probe: Evidence | None = None
    probe_began: int = 0
    overdue: str = ""
    """Why letters after their deadline are not purged; empty if there are none."""
    refused_though_good: int = 0
    """Since when traffic is refused although probes are accepted; 0 if it is not refused."""


class Cursor(Record):
    """Everything before `offset` is settled."""

    kind = "cursor"
    offset: int


class SettledBlock(Record):
    """Settled letters of one block of offsets: base64 of a bitmap (see `settled`), or `all`."""

    kind = "settled"
    bits: str


class KnownTopic(Record):
    """The id of the topic that has this name: a topic that was made again has another id.

    `is_uncounted`: the topic before it was deleted, and its records still count as parked or as waiting.
    """

    kind = "topic"
    topic_id: str
    is_uncounted: bool = False


class Totals(Record):
    """How many letters left a connector's dead-letter topics, by cause. `revision` counts the changes."""

    kind = "totals"
    redriven: Mapping[str, int] = {}
    """Written back to the connector's topic automatically."""
    replayed: Mapping[str, int] = {}
    """Written back because a person ordered it."""
    purged: Mapping[str, int] = {}
    """Deleted after the deadline (`credentials`), or because a person ordered it."""
    expired: Mapping[str, int] = {}
    """Deleted because of their age: 14 days in the topic of rejected letters."""
    refused: Mapping[str, int] = {}
    """The connector's topic refused them on the way back. Now they are rejected letters."""
    passed: Mapping[str, int] = {}
    """The topic of rejected letters refused them, too: skipped, `refused_by_kafka`."""
    deleted: Mapping[str, int] = {}
    """Deleted with their topic, not by the keeper: lost."""
    undelivered: int = 0
    """Records of the connector's topic that were deleted with it: lost."""
    again: int = 0
    """Copies of settled letters that `replay --again` wrote to the connector's topic, and orders about cohorts and
    audiences, one record a partition. Also records that a process read twice because their topic was made again."""
    routed: Mapping[str, int] = {}
    """Source letters: how many records their replay wrote to each connector's topic."""
    skipped: Mapping[str, int] = {}
    """Source letters: those of `replayed` that no connector gets, by the router's reason."""
    overcounted: int = 0
    """The sinks' `lost` counts offsets. This is the number of those offsets that held no record."""
    reconciled: int = 0
    """The value of the sinks' `lost` for which `overcounted` is exact."""
    revision: int = 0


class Told(Record):
    """Letters that were purged after their deadline, and how many of these and of lost records alerts have told.

    `purged_at` is when the last alert about purged letters was sent (ms).
    """

    kind = "told"
    purged: int = 0
    purged_told: int = 0
    purged_at: int = 0
    lost_told: int = 0


class Copy(Record):
    """What a group committed for a topic: for each partition number the offset and the metadata.

    `topic_id` is the topic's id; empty in copies of earlier versions.
    """

    kind = "copy"
    partitions: Mapping[str, tuple[int, str]] = {}
    topic_id: str = ""


class Retired(Record):
    """Counts of connectors that left the configuration, per partition number of a Currents topic."""

    kind = "retired"
    partitions: Mapping[str, HandedOver] = {}


class Deletion(Record):
    """Bytes of settled letters that could not be deleted yet: since when, and why. Removed after they are deleted."""

    kind = "deletion"
    since: int
    reason: str = ""


class Imported(Record):
    """How many letters an import wrote, by cause, and whether it is done."""

    kind = "imported"
    file: str
    letters: Mapping[str, int] = {}
    refused: int = 0
    """Letters of the file that Kafka did not take."""
    done: bool = False


GROUP_ORDERS = ("clear", "resend")
"""Requests about a cohort or audience of the way back."""


class Request(Record):
    """What a person orders: `what` and its `arguments`. After `expires` the keeper refuses it."""

    kind = "request"
    what: Literal["suspend", "resume", "probe", "extend", "replay", "purge", "cancel", "clear", "resend", "forget"]
    who: str
    reason: str = ""
    expires: int
    arguments: Mapping[str, Any] = {}


class Answer(Record):
    """The result of a request. `outcome` is `done`, `refused` or `stale`; `detail` is a sentence."""

    kind = "answer"
    outcome: Literal["done", "refused", "stale"]
    detail: str = ""
    content: Mapping[str, Any] = {}


class Job(Record):
    """A replay or purge that a person ordered, from `queued` to its end.

    `selection` says which letters; `ends`, where each partition ended when the job was planned; `positions`, how far
    the job has read; `done` and `left_out` (by reason), what it did so far.
    """

    kind = "job"
    action: Literal["replay", "purge", "forget"]
    status: Literal["queued", "running", "done", "cancelled", "failed"]
    who: str
    reason: str = ""
    created: int
    selection: Mapping[str, Any] = {}
    ends: Mapping[str, int] = {}
    """`<letters>/<partition>` to the offset after the last letter that was planned."""
    positions: Mapping[str, int] = {}
    planned: int = 0
    done: int = 0
    left_out: Mapping[str, int] = {}
    rate: float | None = None
    detail: str = ""


def key(kind: str, connector: str, *rest: object) -> str:
    """A record's key."""
    return "/".join((kind, connector, *map(str, rest)))
