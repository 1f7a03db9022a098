"""Records of the topic `streams.state`: their keys, and their values as JSON with `v` and `epoch`.

| key | written by | says |
|---|---|---|
| `keeper/<connector>` | keeper | who keeps, since when; its epoch rises with each term of office |
| `connector/<connector>` | keeper | RUNNING or SUSPENDED, and the suspensions that stop the purge clock |
| `scope/<connector>/<scope>` | keeper | VALID or INVALID, evidence, extensions, alerts that were sent |
| `cursor/<connector>/<letters>/<partition>` | keeper | every dead letter before this offset is settled |
| `settled/<connector>/<letters>/<partition>/<block>` | keeper | settled letters after the cursor, one bit an offset |
| `told/<connector>` | keeper | purged and lost records, and how many of them were in alerts |
| `topic/<connector>/<letters>` | keeper | which topic of that name the cursors and settled letters belong to |
| `totals/<connector>` | keeper | what left the dead-letter topics, and how |
| `copy/<connector>/<topic>` | keeper | what the group committed, for Kafka forgets a memberless group after 7 days |
| `deletion/<connector>` | keeper | that bytes of settled letters could not be deleted yet |
| `job/<connector>/<id>` | keeper | a replay or purge that a person ordered |
| `imported/<connector>/<id>` | `dlq import` | letters that came back from a file |
| `suspect/<connector>/<scope>/<instance>` | sinks | a destination's refusal that the keeper shall look into |
| `waits/<connector>/<instance>` | sinks, routers (`source`) | what this process waits for: schemas, a destination |
| `request/<connector>/<id>` | command line | what a person asks of the keeper |
| `answer/<connector>/<id>` | keeper | what became of it |

`<letters>` is the end of a dead-letter topic's name: `rejected` or `credentials.<scope>`. Beside the settled letters of
`rejected`, those of `purged` say which of the same offsets a person purged. A record without a value takes its key
back. Times are milliseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from streams.state.moments import clock_time, iso, told

KEEPER_KINDS = (
    *("keeper", "connector", "scope", "cursor", "settled"),
    *("topic", "totals", "told", "copy", "deletion", "job", "answer"),
)
"""Kinds that only a connector's keeper writes."""

REJECTED = "rejected"
"""The letters that are triaged one by one: causes `rejected` and `gave-up`, and all of the source's."""
CREDENTIALS = "credentials."
"""Begins the letters of a credential scope."""
PURGED = "purged"
"""No letters of their own: which settled letters of `rejected` were purged, so that no `replay --again` brings back."""
DELIVERIES = "connector"
"""Stands for the connector's own topic among the names of its dead letters."""

Partition = tuple[str, int]
"""Letters (the end of a dead-letter topic's name) and partition number."""


class StateError(ValueError):
    """A record of the state topic that this program does not understand."""


class StateTooNew(StateError):
    """A record that a newer version of this program wrote."""


class Record(BaseModel):
    """One value. `at` is when it was written, by its writer's clock; `epoch` the keeper's term, 0 for others."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)
    kind: ClassVar[str]

    v: Literal[1] = 1
    epoch: int = 0
    at: int = 0

    def to_bytes(self) -> bytes:
        return self.model_dump_json().encode()


class Term(Record):
    """A keeper's term of office."""

    kind = "keeper"
    instance: str


class ConnectorState(Record):
    """Whether a connector delivers. `suspensions` are (from, to) of those that ended, oldest first."""

    kind = "connector"
    state: Literal["RUNNING", "SUSPENDED"] = "RUNNING"
    by: Literal["operator", "flood", "configuration"] | None = None
    reason: str = ""
    who: str = ""
    since: int = 0
    suspensions: tuple[tuple[int, int], ...] = ()
    alerted: bool = False
    """Whether the alert of its suspension was sent."""


class Evidence(BaseModel):
    """What a destination answered: HTTP status (0: none came), its own words, when."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    status: int
    detail: str
    at: int


class ScopeState(Record):
    """Whether a scope's credentials are good. `since` is when the state began (0: it never changed).

    `probe` is the newest probe's answer; `probe_began` when it was asked. `extended_ms` is what people added to the
    grace. `alerts` holds the alerts of this INVALID episode that were sent: `invalid`, `half`, `most`, and
    `recovered` once it was over.
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
    """Why letters that are past their deadline are not purged; empty where none is."""
    refused_though_good: int = 0
    """Since when traffic is refused while probes are good; 0: it is not."""


class Cursor(Record):
    """Everything before `offset` is settled."""

    kind = "cursor"
    offset: int


class SettledBlock(Record):
    """Settled letters of one block of offsets: base64 of a bitmap (see `settled`), or `all`."""

    kind = "settled"
    bits: str


class KnownTopic(Record):
    """Which topic stands behind a name: one that is made again has another id.

    `is_uncounted`: the topic before it was deleted, and its records still count as parked or as waiting.
    """

    kind = "topic"
    topic_id: str
    is_uncounted: bool = False


class Totals(Record):
    """What left a connector's dead letters in total, by cause; `revision` counts the changes."""

    kind = "totals"
    redriven: Mapping[str, int] = {}
    """Went back by itself onto the connector's topic."""
    replayed: Mapping[str, int] = {}
    """Went back because a person ordered it."""
    purged: Mapping[str, int] = {}
    """Deleted: by deadline (`credentials`), or because a person ordered it."""
    expired: Mapping[str, int] = {}
    """Deleted by age: 14 days in the topic of rejected letters."""
    refused: Mapping[str, int] = {}
    """On their way back refused by the connector's topic: they are among the rejected letters now."""
    passed: Mapping[str, int] = {}
    """Refused there too: skipped, `refused_by_kafka`."""
    deleted: Mapping[str, int] = {}
    """Deleted with their topic, by somebody else: lost."""
    undelivered: int = 0
    """Records of the connector's topic that were deleted with it: lost."""
    again: int = 0
    """Copies of settled letters that `replay --again` put onto the connector's topic; and records that a process read
    twice because their topic was made again."""
    routed: Mapping[str, int] = {}
    """Of source letters: what their replay put onto each connector's topic."""
    skipped: Mapping[str, int] = {}
    """Of source letters: those of `replayed` that no connector gets, by the router's reason."""
    overcounted: int = 0
    """Offsets of gaps that held no record: the sinks' `lost` counts offsets, this is what it counts too much."""
    reconciled: int = 0
    """The sinks' `lost` of which `overcounted` is the exact excess."""
    revision: int = 0


class Told(Record):
    """Letters that were purged by their deadline, and how many of these and of lost records were in alerts.

    `purged_at` is when an alert of purged letters went out last (ms).
    """

    kind = "told"
    purged: int = 0
    purged_told: int = 0
    purged_at: int = 0
    lost_told: int = 0


class Copy(Record):
    """What a group committed for a topic: per partition number the offset and the metadata.

    `topic_id` says of which topic of that name; empty in copies of earlier versions.
    """

    kind = "copy"
    partitions: Mapping[str, tuple[int, str]] = {}
    topic_id: str = ""


class Deletion(Record):
    """Settled letters whose bytes could not be deleted yet, since when and why. Removed once they are deleted."""

    kind = "deletion"
    since: int
    reason: str = ""


class Imported(Record):
    """Letters that an import wrote, by cause, and how far it is."""

    kind = "imported"
    file: str
    letters: Mapping[str, int] = {}
    refused: int = 0
    """Letters of the file that Kafka did not take."""
    done: bool = False


class Suspect(Record):
    """A sink holds a scope (or, with scope `-`, its connector) until the keeper has looked into this."""

    kind = "suspect"
    what: Literal["credentials", "configuration", "flood"]
    status: int = 0
    detail: str = ""


class PartitionWait(BaseModel):
    """A partition that stands at an offset: `why` is `schema` (it is unknown) or `registry` (it does not answer)."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    why: str
    detail: str
    since: int
    offset: int

    def to_json(self, place: str) -> dict[str, Any]:
        """As listings show it."""
        said = {"why": self.why, "detail": self.detail, "since": iso(self.since)}
        return {"partition": place, "offset": self.offset, **said}


class BackOff(BaseModel):
    """A scope whose destination asked to wait, or did not answer (`status` 0)."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    status: int
    detail: str
    since: int
    next_try: int

    def sentence(self, now_ms: int) -> str:
        """As people read it: `backing off since 14:02, last answer 503, next try in 12 s`."""
        said = f"last answer {self.status}" if self.status else f"no answer: {self.detail}"
        wait = f"in {told((self.next_try - now_ms) / 1000)}" if self.next_try > now_ms else "now"
        return f"backing off since {clock_time(self.since, now_ms)}, {said}, next try {wait}"


class Waits(Record):
    """What one process waits for, told again each minute while it lasts; taken back when it is over.

    A process that was killed cannot take it back: what is older than `WAITS_FRESH_MS_MAX` says nothing any more.
    """

    kind = "waits"
    partitions: Mapping[str, PartitionWait] = {}
    """By `<topic>/<partition>`."""
    back_offs: Mapping[str, BackOff] = {}
    """By credential scope."""


WAITS_FRESH_MS_MAX = 180_000
"""Three times a minute: one tale may be late."""


class Request(Record):
    """What a person asks: `what` and its `arguments`. After `expires` the keeper refuses it."""

    kind = "request"
    what: Literal["suspend", "resume", "probe", "extend", "replay", "purge", "cancel"]
    who: str
    reason: str = ""
    expires: int
    arguments: Mapping[str, Any] = {}


class Answer(Record):
    """What became of a request: `outcome` is `done`, `refused` or `stale`; `detail` a sentence."""

    kind = "answer"
    outcome: Literal["done", "refused", "stale"]
    detail: str = ""
    content: Mapping[str, Any] = {}


class Job(Record):
    """A replay or purge that a person ordered, from `queued` to its end.

    `selection` says which letters, `ends` where each partition ended when it was planned, `positions` how far the job
    has read, `counts` what it did so far: `done`, `left_out` by reason.
    """

    kind = "job"
    action: Literal["replay", "purge"]
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


KINDS: Mapping[str, type[Record]] = {
    model.kind: model
    for model in (
        Term,
        ConnectorState,
        ScopeState,
        Cursor,
        SettledBlock,
        KnownTopic,
        Totals,
        Told,
        Copy,
        Deletion,
        Imported,
        Suspect,
        Waits,
        Request,
        Answer,
        Job,
    )
}


def key(kind: str, connector: str, *rest: object) -> str:
    """A record's key."""
    return "/".join((kind, connector, *map(str, rest)))


def parse(record_key: str, value: bytes) -> Record | None:
    """The record of a key; None where the key is none of ours (an ingest's). Raises `StateError`."""
    model = KINDS.get(record_key.partition("/")[0])
    if model is None:
        return None
    try:
        return model.model_validate_json(value)
    except ValidationError as error:
        places = {".".join(map(str, problem["loc"])) or "value" for problem in error.errors()}
        if "v" in places:
            said = "was written by a newer version of streams: upgrade this process"
            raise StateTooNew(f"{record_key} {said}") from None
        said = "another program wrote it; write a record with this key and no value onto the topic to take it back"
        raise StateError(f"{record_key} is not understood at {', '.join(sorted(places))}: {said}") from None
