"""Records of the state topic that sinks and routers write: what they suspect and what they wait for.

Keepers and commands read them; `kinds` has their keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from streams.state.moments import clock_time, iso, told
from streams.state.records import Record


class Suspect(Record):
    """A sink sends nothing for a scope (with scope `-`: for its connector) until the keeper has checked this."""

    kind = "suspect"
    what: Literal["credentials", "configuration", "flood"]
    status: int = 0
    detail: str = ""


class LastCommit(Record):
    """What a process had committed for a partition when its topic was deleted. It is newer than a copy that counts
    less."""

    kind = "last"
    offset: int
    metadata: str


class Began(Record):
    """The counts with which a router began a partition of a Currents topic that was made again (commit metadata).
    Of what is told later of the topic before, it already has so much."""

    kind = "began"
    metadata: str


class PartitionWait(BaseModel):
    """A partition that waits at an offset.

    `why` is `schema` (it is unknown), `registry` (it does not answer), `memory` (what a sink remembers of the
    partition cannot be opened) or `counts` (of connectors that left the configuration: Kafka takes no more of them in a
    commit, and the keeper has not taken them over yet).
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    why: str
    detail: str
    since: int
    offset: int

    def to_json(self, place: str) -> dict[str, Any]:
        """The form that listings show."""
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
        said = f"last answer {self.status}" if self.status else self.detail or "no answer"
        wait = f"in {told((self.next_try - now_ms) / 1000)}" if self.next_try > now_ms else "now"
        return f"backing off since {clock_time(self.since, now_ms)}, {said}, next try {wait}"


class Waits(Record):
    """What one process waits for. It is written again each minute while the process waits, and removed afterwards.

    A process that was killed cannot remove it: so a record that is older than `WAITS_FRESH_MS_MAX` is ignored.
    """

    kind = "waits"
    partitions: Mapping[str, PartitionWait] = {}
    """By `<topic>/<partition>`."""
    back_offs: Mapping[str, BackOff] = {}
    """By credential scope."""


WAITS_FRESH_MS_MAX = 180_000
"""Three minutes: one or two records may be missing."""


class Dropped(Record):
    """Fields whose values a sink dropped or cut, by why and name (`type/colour`), with counts. Never a value.

    Of the records of one partition of the connector's topic; only the names that come most often.
    """

    kind = "dropped"
    names: Mapping[str, int] = {}


class Withheld(Record):
    """A sink delivers nothing any more of the users that were to be forgotten at `obeyed` (ms) or before.

    Of one partition of the connector's topic.
    """

    kind = "withheld"
    obeyed: int = 0
