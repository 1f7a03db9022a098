"""Lines of the topic `streams.audit`: who or what did what, when and why. Writers and readers share these models.

| `what` | model | written by |
|---|---|---|
| `suspend`, `resume`, `probe`, `extend`, `replay`, `purge`, `cancel` | `Answered` | keeper, of a person's request |
| `SUSPENDED` | `Stopped` | keeper, of a flood or a configuration that is refused |
| `credentials INVALID`, `credentials VALID` | `CredentialsChanged` | keeper |
| `alerted` | `Alerted` | keeper |
| `redriven` | `Redriven` | keeper |
| `purged`, `expired` | `ReceiptLine` | keeper |
| `replay done`, `purge failed`, … | `JobEnded` | keeper |
| `started at the earliest record`, `started at a copy` | `Started` | router, sinks |
| `records passed that Kafka does not take` | `Passed` | router, sinks |
| `deliveries began again`, `dead letters forgotten` | `TopicMadeAgain` | keeper |
| `records lost` | `RecordsLost` | keeper, of records that were deleted with their topic |
| `state lost` | `StateLost` | keeper, of a state topic that was deleted while no keeper ran |
| `state written again` | `StateWrittenAgain` | keeper, of a state topic that was deleted and made again |
| `schemas added` | `SchemasAdded` | command line |
| `revealed` | `Revealed` | console |
| `retry`, `skip`, `salvage`, `salvage done` | `InletOrdered` | inlet, of a person's order about a parked file |

Times are milliseconds since 1970, event times seconds. No line holds an event's id, key or value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from streams.state.moments import iso
from streams.state.records import CREDENTIALS, REJECTED, Evidence

TYPES_MAX = 3
"""How many event types the short text of a receipt names: the most frequent ones."""


class Line(BaseModel):
    """The fields of every line. A writer may leave out `at`, `who` and `connector`: they are added at the commit.

    Unknown fields, of a newer version, are kept.
    """

    MOMENTS: ClassVar[Mapping[str, int]] = {"at": 1}
    """Fields that are times, and how many milliseconds their unit has."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True)

    v: Literal[1] = 1
    at: int = 0
    who: str = ""
    connector: str = ""
    what: str
    why: str = ""

    def stamped(self, at: int, who: str, connector: str) -> Self:
        """The line as it is written. Adds the time, and `who` and `connector` if the line does not have them."""
        given = {"who": self.who or who, "connector": self.connector or connector}
        given |= {"why": self.why} if self.why else {}  # otherwise a default would be left out
        return self.model_copy(update={"v": 1, "at": at, "what": self.what, **given})

    def to_bytes(self) -> bytes:
        return self.model_dump_json(by_alias=True, exclude_unset=True).encode()

    def to_json(self) -> dict[str, Any]:
        """The line for listings, with times that people can read."""
        content = self.model_dump(mode="json", by_alias=True, exclude_unset=True)
        content |= {name: iso((content[name] or 0) * unit) for name, unit in self.MOMENTS.items() if name in content}
        if content.get("evidence"):
            content["evidence"]["at"] = iso(content["evidence"]["at"])
        return content

    def detail(self) -> str:
        """A short text of the other fields."""
        return self.why


class Answered(Line):
    """A person's order to a keeper, and its result."""

    arguments: Mapping[str, Any] = Field(default_factory=dict)
    outcome: str
    detail_: str = Field(default="", alias="detail")

    def detail(self) -> str:
        return _joined(self.outcome, self.detail_, self.why)


class Stopped(Line):
    """A connector that stopped itself."""

    what: str = "SUSPENDED"
    by: str

    def detail(self) -> str:
        return _joined(f"by {self.by}", self.why)


class CredentialsChanged(Line):
    """A probe changed the state of a scope."""

    MOMENTS = {**Line.MOMENTS, "invalid_since": 1}

    scope: str
    evidence: Evidence
    invalid_since: int

    def detail(self) -> str:
        return _joined(f"scope {self.scope}", f"{self.evidence.status} {self.evidence.detail}".strip())


class Alerted(Line):
    """An alert went out."""

    what: str = "alerted"
    alert: str
    scope: str = ""

    def detail(self) -> str:
        return _joined(self.alert, f"scope {self.scope}" if self.scope.strip("-") else "")


class Redriven(Line):
    """Letters were written back automatically."""

    what: str = "redriven"
    scope: str
    letters: int

    def detail(self) -> str:
        return _joined(f"{self.letters:,} letters of scope {self.scope}", self.why)


class JobEnded(Line):
    """A replay or purge that is done or failed."""

    job: str
    planned: int
    done: int
    left_out: Mapping[str, int]
    detail_: str = Field(default="", alias="detail")

    def detail(self) -> str:
        sent = " sent again (whether they were delivered is not known here)" if self.what == "replay done" else ""
        return _joined(f"job {self.job}", f"{self.done:,} of {self.planned:,} letters{sent}", self.detail_, self.why)


class Started(Line):
    """Partitions that a group started without a commit."""

    partitions: Mapping[str, int]

    def detail(self) -> str:
        return _joined(f"{len(self.partitions)} partitions", self.why)


class Passed(Line):
    """Records that Kafka refused on each of our topics. `records` are the places of the first ones."""

    what: str = "records passed that Kafka does not take"
    count: int
    records: tuple[str, ...]

    def detail(self) -> str:
        return _joined(f"{self.count:,} records, first {self.records[0]}" if self.records else "", self.why)


class TopicMadeAgain(Line):
    """A topic was deleted and made again. The state of the old topic is forgotten. `cursors` are the old cursors."""

    why: str = "the topic was deleted and made again"
    topic: str
    cursors: Mapping[str, int]

    def detail(self) -> str:
        return _joined(self.topic, self.why)


class RecordsLost(Line):
    """Records and letters that were deleted with their topic, counted afterwards. Letters are by cause."""

    what: str = "records lost"
    why: str = "their topic was deleted"
    letters: Mapping[str, int]
    records: int

    def detail(self) -> str:
        return _joined(f"{self.records:,} records, {sum(self.letters.values()):,} letters", self.why)


class StateWrittenAgain(Line):
    """The state topic was deleted and made again. The keeper wrote what it knew of its connector."""

    what: str = "state written again"
    why: str = "the topic was deleted and made again"
    topic: str
    records: int

    def detail(self) -> str:
        return _joined(f"{self.topic}, {self.records:,} records", self.why)


class StateLost(Line):
    """The state topic was deleted while no keeper ran that knew it. Nothing of it is known any more."""

    what: str = "state lost"
    why: str = "the topic was deleted while no keeper ran"
    topic: str

    def detail(self) -> str:
        return _joined(self.topic, self.why)


class SchemasAdded(Line):
    """Schemas that were written to the topic of schemas."""

    what: str = "schemas added"
    schemas: tuple[Mapping[str, str], ...]

    def detail(self) -> str:
        return _joined(", ".join(schema.get("event_type", "") for schema in self.schemas), self.why)


class Revealed(Line):
    """A person looked at the personal data of one letter. `place` is `letters/partition/offset`."""

    what: str = "revealed"
    place: str

    def detail(self) -> str:
        return _joined(self.place, self.why)


class InletOrdered(Line):
    """A person's order about a file that an inlet parked. `records` are those that were written of it.

    The field `connector` holds the inlet's name.
    """

    key: str
    records: int = 0
    outcome: str = ""

    def detail(self) -> str:
        return _joined(self.key, f"{self.records:,} records", self.outcome, self.why)


class ReceiptLine(Line):
    """Letters that were deleted. `offsets` are ranges (from, to exclusive) per partition number.

    A purge after a deadline names its `scope` and the evidence. A person's purge names its `job`, and the letters as
    `from`.
    """

    MOMENTS = {
        **Line.MOMENTS,
        "first_event_time": 1_000,
        "last_event_time": 1_000,
        "invalid_since": 1,
        "probe_began": 1,
    }

    letters: int = 0
    causes: Mapping[str, int] = Field(default_factory=dict)
    offsets: Mapping[int, tuple[tuple[int, int], ...]]
    event_types: Mapping[str, int] = Field(default_factory=dict)
    first_event_time: int | None = None
    last_event_time: int | None = None
    scope: str = ""
    invalid_since: int = 0
    evidence: Evidence | None = None
    probe_began: int = 0
    grace_ms: int = 0
    extended_ms: int = 0
    job: str = ""
    users: Mapping[str, int] = Field(default_factory=dict)
    """Letters by user who was to be forgotten: the salted hash of the external id."""
    letters_name: str = Field(default="", alias="from")
    bytes: str = ""

    @field_validator("offsets", mode="before")
    @classmethod
    def _ranges(cls, offsets: Any) -> Any:
        """Receipts of the first releases hold one range, not a list of ranges."""
        if not isinstance(offsets, Mapping):
            return offsets
        return {
            number: found if found and isinstance(found[0], list | tuple) else [found]
            for number, found in offsets.items()
        }

    @property
    def letters_of(self) -> str:
        """`rejected` or `credentials.<scope>`."""
        if self.letters_name:
            return self.letters_name
        return CREDENTIALS + self.scope if self.scope else REJECTED

    def detail(self) -> str:
        """How many letters of which types and times, and why. For a purge after a deadline also the evidence."""
        types = sorted(self.event_types.items(), key=lambda item: -item[1])
        named = ", ".join(f"{count:,} {name}" for name, count in types[:TYPES_MAX])
        more = f" and {len(types) - TYPES_MAX} more types" if len(types) > TYPES_MAX else ""
        first, last = self.first_event_time, self.last_event_time
        times = "" if first is None or last is None else f"events of {iso(first * 1000)} to {iso(last * 1000)}"
        refused = "" if self.evidence is None else f"answered {self.evidence.status} {self.evidence.detail}".strip()
        return _joined(
            f"{self.letters:,} letters of {self.letters_of}",
            named + more,
            times,
            self.why,
            f"INVALID since {iso(self.invalid_since)}" if self.invalid_since else "",
            refused,
            f"job {self.job}" if self.job else "",
        )


ORDERS = ("suspend", "resume", "probe", "extend", "replay", "purge", "cancel", "clear", "resend", "forget")
JOBS = ("replay", "purge", "forget")

_MODELS: Mapping[str, type[Line]] = {
    **dict.fromkeys(ORDERS, Answered),
    "SUSPENDED": Stopped,
    "credentials INVALID": CredentialsChanged,
    "credentials VALID": CredentialsChanged,
    "alerted": Alerted,
    "redriven": Redriven,
    "purged": ReceiptLine,
    "expired": ReceiptLine,
    **dict.fromkeys((f"{action} {end}" for action in JOBS for end in ("done", "failed")), JobEnded),
    "started at the earliest record": Started,
    "started at a copy": Started,
    "records passed that Kafka does not take": Passed,
    "deliveries began again": TopicMadeAgain,
    "dead letters forgotten": TopicMadeAgain,
    "records lost": RecordsLost,
    "state written again": StateWrittenAgain,
    "state lost": StateLost,
    "schemas added": SchemasAdded,
    "revealed": Revealed,
    **dict.fromkeys(("retry", "skip", "salvage", "salvage done"), InletOrdered),
}


KINDS = tuple(_MODELS)
"""Every `what` that this program knows."""


def parse_line(value: bytes | None) -> Line | None:
    """The line; None if this version does not understand the value."""
    try:
        line = Line.model_validate_json(value or b"")
        return _MODELS.get(line.what, Line).model_validate_json(value or b"")
    except ValidationError:
        return None


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
