"""Why partitions of the Currents topics wait: one cause each, with its topics, how much waits, and its own next step.

Pure: `RouterOverview` gives what was read. The command line and the console say the same words.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streams.events.catalogue import canonical_name
from streams.events.schemas import shipped
from streams.state.moments import iso, told
from streams.state.worker_records import PartitionWait

BY_ITSELF = "routing goes on by itself, in order; nothing has to be restarted"
NAMED_MAX = 3
"""Topics that a sentence names; of more it says how many."""


@dataclass(frozen=True, slots=True)
class Behind:
    """What is to be read of one Currents topic: records by partition, when the oldest was written, and how long Kafka
    keeps a record at least (ms); None: for ever, or not known here."""

    records: Mapping[int, int]
    oldest_ms: int | None = None
    kept_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What of the configuration a wait is about. `unknown_schema_ms` is how long a record waits for a schema."""

    topic_prefix: str = ""
    registry_url: str = ""
    unknown_schema_ms: int = 0


@dataclass(frozen=True, slots=True)
class WaitCause:
    """One cause. `records` are those up to the ends of the partitions that wait for it; times are ms since 1970.

    `step` says what to do, and `command` does it or shows more.
    """

    why: str
    what: str
    topics: tuple[str, ...]
    records: int
    since_ms: int
    consequence: str
    deadline_ms: int | None
    step: str
    command: str
    afterwards: str = BY_ITSELF

    def to_json(self) -> dict[str, Any]:
        return {
            "why": self.why,
            "what": self.what,
            "topics": list(self.topics),
            "records": self.records,
            "since": iso(self.since_ms),
            "consequence": self.consequence,
            "deadline": iso(self.deadline_ms),
            "step": self.step,
            "command": self.command,
            "afterwards": self.afterwards,
        }


def wait_causes(
    waits: Mapping[str, PartitionWait], behind: Mapping[str, Behind], around: Surroundings
) -> tuple[WaitCause, ...]:
    """The causes of these waits (by `<topic>/<partition>`), the one that has lasted longest first."""
    found: defaultdict[tuple[str, str], dict[str, PartitionWait]] = defaultdict(dict)
    for place, wait in waits.items():
        # Each unknown schema is a cause of its own. A registry that is away is one, whatever it answered last.
        found[wait.why, wait.detail if wait.why == "schema" else ""][place] = wait
    causes = [_cause(why, places, behind, around) for (why, _), places in found.items()]
    return tuple(sorted(causes, key=lambda cause: (cause.since_ms, cause.what)))


def _cause(
    why: str, places: Mapping[str, PartitionWait], behind: Mapping[str, Behind], around: Surroundings
) -> WaitCause:
    first = min(places.values(), key=lambda wait: wait.since)
    topics = tuple(dict.fromkeys(_topic(place) for place in sorted(places)))
    records = sum(_records(place, behind) for place in places)
    kept_until_ms = min(_kept_until(topics, behind), default=None)
    names = tuple(_named(topic, around.topic_prefix) for topic in topics)
    words = {
        "what": f"{_told(names)} {_is(names)} not routed: {_said(why, first.detail, around)}",
        "consequence": _waiting(records, kept_until_ms),
        "step": "look at what the router waits for",
        "command": "streams connectors show router",
    }
    deadline_ms = kept_until_ms
    match why:
        case "registry":
            words |= {"step": _ask_registry(around), "command": "streams doctor"}
        case "schema":
            words |= _for_schema(first.detail, names, around)
            deadline_ms = first.since + around.unknown_schema_ms
            words["consequence"] = _then_letters(records, around)
        case "counts":
            words["step"] = "look whether a keeper of source runs: it takes the counts over"
    return WaitCause(why=why, topics=topics, records=records, since_ms=first.since, deadline_ms=deadline_ms, **words)


def _said(why: str, detail: str, around: Surroundings) -> str:
    if why == "registry" and around.registry_url:
        return f"the schema registry at {around.registry_url}: {detail}"
    return detail or why


def _ask_registry(around: Surroundings) -> str:
    if not around.registry_url:
        return "look why schemas cannot be read"
    return "start the schema registry, or correct source.schema_registry; the events themselves are good"


def _for_schema(detail: str, names: tuple[str, ...], around: Surroundings) -> dict[str, str]:
    """A registry has schemas by id. By fingerprint they are added here."""
    if "schema id" in detail:
        where = f" at {around.registry_url}" if around.registry_url else ""
        return {"step": f"register the schema with this id in the registry{where}", "command": "streams doctor"}
    has = ", ".join(
        f"{name} as {schema.fingerprint.hex()}"
        for name in names
        if (schema := shipped().by_event_type(canonical_name(name))) is not None
    )
    known = f" This version knows {has}: the events were written with another one." if has else ""
    step = "get the Avro schema (.avsc) with this fingerprint from who writes the topic, and add it."
    return {"step": step + known, "command": "streams schemas add FILE"}


def _then_letters(records: int, around: Surroundings) -> str:
    wait = told(around.unknown_schema_ms / 1000)
    return (
        f"{_count(records)} on the Currents topic. A record waits {wait} for its schema at most; then it is a dead "
        f"letter of the source, cause unknown-schema, and can be replayed for 14 days"
    )


def _waiting(records: int, kept_until_ms: int | None) -> str:
    until = "Kafka deletes the oldest at the deadline" if kept_until_ms else "as long as Kafka keeps them there"
    return f"{_count(records)} on the Currents topic; {until}"


def _count(records: int) -> str:
    return "1 record waits" if records == 1 else f"{records:,} records wait"


def _kept_until(topics: tuple[str, ...], behind: Mapping[str, Behind]) -> Iterator[int]:
    for topic in topics:
        one = behind.get(topic)
        if one is not None and one.oldest_ms is not None and one.kept_ms is not None:
            yield one.oldest_ms + one.kept_ms


def _records(place: str, behind: Mapping[str, Behind]) -> int:
    one = behind.get(_topic(place))
    return 0 if one is None else one.records.get(int(place.rpartition("/")[2]), 0)


def _topic(place: str) -> str:
    return place.rpartition("/")[0]


def _named(topic: str, prefix: str) -> str:
    """A topic as the event type in its name, where it has one."""
    return topic.removeprefix(prefix) if prefix else topic


def _told(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= NAMED_MAX else f"{len(names)} topics"


def _is(names: tuple[str, ...]) -> str:
    return "is" if len(names) == 1 else "are"
