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

OPERATOR_COMMANDS = "streams connectors, dlq, audiences, inlets, explain, audit, schemas"
READERS_PREFIX = "streams-"
"""Readers that join no group commit nothing, but their client names one like this, and the broker looks it up."""
ANY = "*"
CLUSTER = "kafka-cluster"
"""Kafka's own name of the resource that is the whole cluster."""


OPERATED = "streams connectors, dlq, audiences, explain, audit, schemas"


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
        *([Role("router", "streams run router", tuple(_router(settings)))] if settings.needs_router else []),
        *(
            Role(f"sink {connector.name}", f"streams run sink {connector.name}", tuple(_sink(settings, connector)))
            for connector in settings.connectors.values()
        ),
        *((Role("receiver", "streams run receiver", tuple(_receiver(settings))),) if settings.receives else ()),
        *((Role("inlets", "streams run ingest", tuple(_inlets(settings))),) if settings.storage_inlets else ()),
        Role("ingest", "streams ingest", tuple(_ingest(settings))),
        Role("topics", "streams topics plan, apply", tuple(_topics(settings))),
        Role(
            "operator",
            "streams connectors, dlq, audiences, inlets, explain, audit, schemas; run console",
            tuple(_operator(settings)),
        ),
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
    for name in settings.routed:
        yield Grant("topic", topics.connector(name), ("Write",), "routed events")
    if settings.routed:
        letters: tuple[Operation, ...] = ("Read", "Write", "Delete")
        yield Grant("topic", topics.dead_letter_source, letters, "parks what it cannot decode; keeper")
    else:
        yield from _events_over_http(settings, "replay of what came over HTTP")
        yield Grant("topic", topics.dead_letter_source, ("Read", "Delete"), "keeper; chooses the process that has it")
    if settings.http_inlets:
        yield Grant(
            "topic", topics.schemas, ("Read", "Write"), "schemas that were added; replay of what came over HTTP"
        )
    else:
        yield Grant("topic", topics.schemas, ("Read",), "schemas that were added")
    yield Grant("topic", topics.state, ("Read", "Write"), "keeper")
    yield Grant("topic", topics.forgotten, ("Read", "Write"), "keeper: users who are to be forgotten")
    yield Grant("topic", topics.audit, ("Write",), "receipts, first starts")
    yield Grant("group", group, ("Read",), "its consumer group")
    if settings.routed:
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
    yield Grant("topic", topics.forgotten, ("Read", "Write"), "users whose records are skipped; keeper")
    yield Grant("topic", topics.audit, ("Write",), "receipts, first starts")
    if connector.kind.is_received:
        yield Grant("topic", topics.sent(name), ("Read", "Write"), "what was sent, so that only changes are")
        yield Grant("topic", topics.received, ("Read",), "keeper's account: what was received")
    yield Grant("group", group, ("Read",), "its consumer group")
    yield Grant("group", f"{group}-", ("Describe",), "readers without a group", is_prefix=True)
    if not connector.kind.is_received:
        yield from _source(settings, ("Describe",), "keeper's account: what was routed")
        yield Grant("group", settings.groups.router, ("Describe",), "keeper's account: what was routed")
    yield Grant("transactional-id", f"{group}-", ("Write",), "parking, one id per instance", is_prefix=True)
    yield from _keeper(settings, name)


def _receiver(settings: Settings) -> Iterable[Grant]:
    topics, name = settings.topics, settings.groups.receiver
    for connector in settings.entries:
        yield Grant("topic", topics.connector(connector), ("Write",), "what vendors send")
    if settings.http_inlets:
        yield from _events_over_http(settings, "events that Braze sends")
        yield Grant("topic", topics.schemas, ("Write",), "schemas of these events")
        yield Grant("topic", topics.dead_letter_source, ("Write",), "what cannot be read of them")
    yield Grant("topic", topics.received, ("Read", "Write"), "counts of it")
    yield Grant("group", f"{name}-", ("Describe",), "readers without a group", is_prefix=True)
    yield Grant("transactional-id", f"{name}-", ("Write",), "receiving, one id per instance", is_prefix=True)


def _events_over_http(settings: Settings, why: str) -> Iterable[Grant]:
    operations: tuple[Operation, ...] = ("Write", "Create") if settings.kafka.topics.create else ("Write",)
    for prefix in dict.fromkeys(settings.inlet_prefix(inlet) for inlet in settings.http_inlets.values()):
        yield Grant("topic", prefix, operations, why, is_prefix=True)


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
    if settings.storage_inlets:
        yield Grant("topic", settings.topics.inlets, ("Read",), "files that inlets took")
    yield Grant("group", name, ("Describe",), "readers without a group")
    yield Grant("transactional-id", name, ("Write",), "one ingest at a time")


def _inlets(settings: Settings) -> Iterable[Grant]:
    """Of storage inlets, all in one role: processes may run any of them."""
    topics, name = settings.topics, settings.groups.inlet("")
    operations: tuple[Operation, ...] = ("Write", "Create") if settings.kafka.topics.create else ("Write",)
    for prefix in dict.fromkeys(settings.inlet_prefix(inlet) for inlet in settings.storage_inlets.values()):
        yield Grant("topic", prefix, operations, "events of the files", is_prefix=True)
    yield Grant("topic", topics.inlets, ("Read", "Write"), "how far each inlet is; chooses the active process")
    yield Grant("topic", topics.schemas, ("Read", "Write"), "schemas of the files")
    yield Grant("topic", topics.state, ("Read",), "files that were ingested by hand")
    yield Grant("topic", topics.audit, ("Write",), "what people ordered")
    yield Grant("group", name, ("Read",), "chooses the active process; readers without a group", is_prefix=True)
    yield Grant("transactional-id", name, ("Write",), "a new active process shuts the old one out", is_prefix=True)


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
    yield Grant("topic", topics.forgotten, ("Read",), "forget, explain")
    if settings.receives:
        yield Grant("topic", topics.received, ("Read",), "accounts: what was received")
    if settings.entries:
        yield Grant("topic", topics.sent(""), ("Read",), "audiences", is_prefix=True)
    if settings.storage_inlets:
        yield Grant("topic", topics.inlets, ("Read", "Write"), "inlets: how they stand; orders")
        yield Grant("group", groups.inlet(""), ("Describe",), "inlets: whether one is active", is_prefix=True)
        yield Grant("transactional-id", groups.inlet(""), ("Write",), "inlets: orders", is_prefix=True)
    yield Grant("group", groups.sink(""), ("Describe",), "accounts", is_prefix=True)
    yield Grant("group", groups.router, ("Describe",), "accounts")
    yield _readers()
    yield Grant("group", topics.schemas, ("Describe",), "schemas add")
    yield Grant("transactional-id", topics.schemas, ("Write",), "schemas add")
    if settings.console.reveal:
        yield Grant("transactional-id", f"{settings.kafka.topic_prefix}reveal", ("Write",), "console: who saw a letter")


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
    for pattern in dict.fromkeys(settings.source_topics):
        prefix = literal_prefix(pattern)
        is_prefix = pattern.startswith("^") and bool(prefix)
        yield Grant("topic", prefix or ANY, operations, why, is_prefix)
