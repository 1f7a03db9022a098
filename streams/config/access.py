"""The least that Kafka must allow each of our roles: access control lists computed from the configuration.

`Read`, `Write` and `Delete` imply `Describe`, `AlterConfigs` implies `DescribeConfigs`, so these are not listed next to
them. `IdempotentWrite` on the cluster is not needed: since Kafka 3.0 `Write` on a topic is enough.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from streams.config.connector import Connector
from streams.config.loader import Settings
from streams.config.names import SOURCE

Resource = Literal["topic", "group", "transactional-id", "cluster"]
Operation = Literal["Read", "Write", "Delete", "Create", "Describe", "DescribeConfigs", "AlterConfigs"]

READERS_PREFIX = "streams-"
"""Readers that join no group commit nothing, but their client names one like this, and the broker looks it up."""
ANY = "*"
CLUSTER = "kafka-cluster"
"""Kafka's own name of the resource that is the whole cluster."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Operations on one resource, or on all whose names begin with `name`."""

    resource: Resource
    name: str
    operations: tuple[Operation, ...]
    why: str
    is_prefix: bool = False

    @property
    def pattern(self) -> str:
        """As Kafka calls it: `literal`, which `*` is too, or `prefixed`."""
        return "prefixed" if self.is_prefix else "literal"


@dataclass(frozen=True, slots=True)
class Role:
    """One kind of process, or of command, and all that it must be allowed."""

    name: str
    does: str
    grants: tuple[Grant, ...]


def roles(settings: Settings) -> tuple[Role, ...]:
    """Every role of this configuration."""
    return (
        Role("router", "streams run router", tuple(_router(settings))),
        *(
            Role(f"sink {connector.name}", f"streams run sink {connector.name}", tuple(_sink(settings, connector)))
            for connector in settings.connectors.values()
        ),
        Role("ingest", "streams ingest", tuple(_ingest(settings))),
        Role("topics", "streams topics plan, apply", tuple(_topics(settings))),
        Role("operator", "streams connectors, dlq, explain, audit, schemas", tuple(_operator(settings))),
        Role("import", "streams dlq import", tuple(_import(settings))),
        Role("doctor", "streams doctor", tuple(_doctor(settings))),
    )


def literal_prefix(pattern: str) -> str:
    """What every topic begins with that the pattern matches; empty where that cannot be told."""
    if not pattern.startswith("^"):
        return pattern
    prefix, rest = "", pattern[1:]
    while match := re.match(
        r"\\([^\w\s])|([\w-])", rest
    ):  # a dot alone, brackets and the like match more than one text
        prefix, rest = prefix + (match[1] or match[2]), rest[match.end() :]
    if rest.startswith(("?", "*", "{")):
        prefix = prefix[:-1]  # the last character may be absent
    return "" if _has_alternatives(rest) else prefix


def _has_alternatives(pattern: str) -> bool:
    """Whether a bar stands outside every group, so that the pattern's beginning binds one alternative only."""
    depth = 0
    for character in re.sub(r"\\.", "", pattern):
        depth += (character == "(") - (character == ")")
        if character == "|" and depth == 0:
            return True
    return False


def _router(settings: Settings) -> Iterable[Grant]:
    topics, group = settings.topics, settings.groups.router
    yield from _source(settings, ("Read",), "events to route")
    for name in settings.connectors:
        yield Grant("topic", topics.connector(name), ("Write",), "routed events")
    yield Grant("topic", topics.dead_letter_source, ("Read", "Write", "Delete"), "parks what it cannot decode; keeper")
    yield Grant("topic", topics.schemas, ("Read",), "schemas that were added")
    yield Grant("topic", topics.state, ("Read", "Write"), "keeper")
    yield Grant("topic", topics.audit, ("Write",), "receipts, first starts")
    yield Grant("group", group, ("Read",), "its consumer group")
    yield Grant("group", f"{group}-", ("Describe",), "readers without a group", is_prefix=True)
    yield Grant("transactional-id", f"{group}-", ("Write",), "routing, one id per instance", is_prefix=True)
    yield from _keeper(settings, SOURCE)


def _sink(settings: Settings, connector: Connector) -> Iterable[Grant]:
    name, topics, group = connector.name, settings.topics, settings.groups.sink(connector.name)
    yield Grant("topic", topics.connector(name), ("Read", "Write"), "records to deliver; redrive and replay")
    for letters in _dead_letters(settings, connector):
        yield Grant("topic", letters, ("Read", "Write", "Delete"), "parking; redrive, replay, purge")
    yield Grant("topic", topics.schemas, ("Read",), "schemas that were added")
    yield Grant("topic", topics.state, ("Read", "Write"), "keeper, and what sinks tell it")
    yield Grant("topic", topics.audit, ("Write",), "receipts, first starts")
    yield from _source(settings, ("Describe",), "keeper's books: what was routed")
    yield Grant("group", group, ("Read",), "its consumer group")
    yield Grant("group", f"{group}-", ("Describe",), "readers without a group", is_prefix=True)
    yield Grant("group", settings.groups.router, ("Describe",), "keeper's books: what was routed")
    yield Grant("transactional-id", f"{group}-", ("Write",), "parking, one id per instance", is_prefix=True)
    yield from _keeper(settings, name)


def _keeper(settings: Settings, name: str) -> Iterable[Grant]:
    keeper = settings.groups.keeper(name)
    yield _readers()
    yield Grant("group", f"{keeper}-", ("Describe",), "keeper's readers", is_prefix=True)
    yield Grant("transactional-id", keeper, ("Write",), "keeper: a new keeper shuts the old one out")


def _ingest(settings: Settings) -> Iterable[Grant]:
    name = f"{settings.kafka.topic_prefix}ingest"
    operations: tuple[Operation, ...] = ("Write", "Create") if settings.kafka.topics.create else ("Write",)
    yield Grant("topic", settings.source.topic_prefix, operations, "events of the files", is_prefix=True)
    yield Grant("topic", settings.topics.state, ("Read", "Write"), "how far each file is")
    yield Grant("topic", settings.topics.schemas, ("Read", "Write"), "schemas of the files")
    yield Grant("group", name, ("Describe",), "readers without a group")
    yield Grant("transactional-id", name, ("Write",), "one ingest at a time")


def _topics(settings: Settings) -> Iterable[Grant]:
    operations: tuple[Operation, ...] = ("Describe", "Create", "AlterConfigs")
    yield Grant("topic", settings.kafka.topic_prefix, operations, "topics that are missing or differ", is_prefix=True)
    yield from _source(settings, ("Describe", "DescribeConfigs"), "how large records may be: ours take them too")


def _operator(settings: Settings) -> Iterable[Grant]:
    topics, groups = settings.topics, settings.groups
    yield from _source(settings, ("Read",), "explain; counts of what was routed")
    yield Grant("topic", topics.connector(""), ("Read",), "lag, explain, --verify", is_prefix=True)
    yield Grant(
        "topic", topics.dead_letters, ("Read",), "dlq, explain; those of connectors that left too", is_prefix=True
    )
    yield Grant("topic", topics.schemas, ("Read", "Write"), "decoding; schemas add")
    yield Grant("topic", topics.state, ("Read", "Write"), "states; requests to keepers")
    yield Grant("topic", topics.audit, ("Read", "Write"), "audit, explain; schemas add")
    yield Grant("group", groups.sink(""), ("Describe",), "accounts", is_prefix=True)
    yield Grant("group", groups.router, ("Describe",), "accounts")
    yield _readers()
    yield Grant("group", topics.schemas, ("Describe",), "schemas add")
    yield Grant("transactional-id", topics.schemas, ("Write",), "schemas add")


def _import(settings: Settings) -> Iterable[Grant]:
    topics = settings.topics
    for connector in settings.connectors.values():
        for letters in _dead_letters(settings, connector):
            yield Grant("topic", letters, ("Write",), "letters of the file")
    yield Grant("topic", topics.dead_letter_source, ("Write",), "letters of the file")
    yield Grant("topic", topics.state, ("Read", "Write"), "how far the file is")
    yield _readers()
    prefix = f"{settings.kafka.topic_prefix}import."
    yield Grant("transactional-id", prefix, ("Write",), "one import per connector at a time", is_prefix=True)


def _doctor(settings: Settings) -> Iterable[Grant]:
    topics, groups = settings.topics, settings.groups
    ours: tuple[Operation, ...] = ("Describe", "DescribeConfigs")
    yield Grant("topic", topics.prefix, ours, "topics that are missing or differ", is_prefix=True)
    yield Grant("topic", topics.state, ("Read",), "states")
    yield from _source(settings, ("Read", "DescribeConfigs"), "what the router has to read; how large records may be")
    yield Grant("group", groups.sink(""), ("Describe",), "processes that run", is_prefix=True)
    yield Grant("group", groups.router, ("Describe",), "processes that run")
    yield _readers()
    yield Grant("cluster", CLUSTER, ("DescribeConfigs",), "how long offsets of groups are kept")


def _readers() -> Grant:
    return Grant("group", READERS_PREFIX, ("Describe",), "readers without a group", is_prefix=True)


def _dead_letters(settings: Settings, connector: Connector) -> Iterable[str]:
    yield settings.topics.dead_letter_rejected(connector.name)
    for scope in connector.scopes:
        yield settings.topics.dead_letter_credentials(connector.name, scope)


def _source(settings: Settings, operations: tuple[Operation, ...], why: str) -> Iterable[Grant]:
    """Currents topics as far as Kafka's patterns can tell: names, prefixes, else every topic."""
    for pattern in dict.fromkeys(settings.source.topics):
        prefix = literal_prefix(pattern)
        is_prefix = pattern.startswith("^") and bool(prefix)
        yield Grant("topic", prefix or ANY, operations, why, is_prefix)
