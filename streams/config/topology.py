"""The topics that a configuration needs, what each must be set to, and how the cluster's topics differ from that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from streams.config.connector import Connector
from streams.config.kafka import MESSAGE_BYTES_MAX, TopicDefaults
from streams.config.loader import Settings
from streams.config.names import Topics

DAY_MS = 86_400_000
CONNECTOR_RETENTION_MS_MIN = 14 * DAY_MS
"""A connector's records wait here while its destination is down: two weeks, and never less than twice the grace."""
AUDIT_RETENTION_MS = 400 * DAY_MS
"""Receipts outlive a year's audit."""
FOR_EVER = -1


@dataclass(frozen=True, slots=True)
class WantedTopic:
    """One topic of ours. `exactly` are settings that must be so, `at_least` those that may be larger or -1."""

    name: str
    partitions: int
    replication: int
    exactly: Mapping[str, str]
    at_least: Mapping[str, int] = field(default_factory=dict)

    @property
    def configuration(self) -> dict[str, str]:
        """Settings of the topic when it is created."""
        return {**self.exactly, **{name: str(value) for name, value in self.at_least.items()}}

    def differences(self, actual: Mapping[str, str], replication: int) -> dict[str, tuple[str, str]]:
        """Settings that must change, as (is, must be); a topic with fewer replicas is not asked for more in sync."""
        changes = {
            name: (actual.get(name, ""), wanted) for name, wanted in self.exactly.items() if actual.get(name) != wanted
        }
        for name, least in self.at_least.items():
            wanted = min(least, replication) if name == "min.insync.replicas" else least
            value = actual.get(name, "")
            if value != str(FOR_EVER) and (not value.isdigit() or int(value) < wanted):
                changes[name] = (value, str(wanted))
        return changes


def wanted_topics(settings: Settings, brokers: int, source_bytes_max: int = 0) -> tuple[WantedTopic, ...]:
    """Every topic of ours that this configuration needs, on a cluster of so many brokers.

    `source_bytes_max` is the largest batch of records that a Currents topic takes: where its records go takes it too.
    """
    names = settings.topics
    shape = _Shape(settings.kafka.topics, brokers)
    records = max(MESSAGE_BYTES_MAX, source_bytes_max)
    topics: list[WantedTopic] = []
    for connector in settings.connectors.values():
        topics += _connector_topics(names, connector, shape, records)
    topics.append(shape.topic(names.dead_letter_source, "delete", FOR_EVER, bytes_max=records))
    topics.append(shape.topic(names.schemas, "compact"))
    state = shape.topic(names.state, "compact", partitions=1)
    # The broker's time of writing: a keeper whose clock differs from it purges nothing.
    topics.append(replace(state, exactly={**state.exactly, "message.timestamp.type": "LogAppendTime"}))
    topics.append(shape.topic(names.forgotten, "compact", partitions=1))
    if settings.receives:
        topics.append(shape.topic(names.received, "compact", partitions=1))
    if settings.storage_inlets:
        topics.append(shape.topic(names.inlets, "compact", partitions=1))
    topics.append(shape.topic(names.audit, "delete", AUDIT_RETENTION_MS))
    return tuple(topics)


def connector_retention_ms(connector: Connector) -> int:
    """How long a record waits on the connector's topic at least, before Kafka deletes it."""
    return max(CONNECTOR_RETENTION_MS_MIN, int(2 * connector.grace_seconds * 1000))


def kept_ms(settings: Settings) -> int:
    """After how long no connector's topic holds a record any more, with a day's margin, in milliseconds."""
    return DAY_MS + max(map(connector_retention_ms, settings.connectors.values()), default=0)


def _connector_topics(names: Topics, connector: Connector, shape: _Shape, bytes_max: int) -> list[WantedTopic]:
    """The connector's own topic, and those of its dead letters."""
    retention_ms = connector_retention_ms(connector)
    letters = [
        names.dead_letter_rejected(connector.name),
        *(names.dead_letter_credentials(connector.name, scope) for scope in connector.scopes),
    ]
    found = [shape.topic(names.connector(connector.name), "delete", retention_ms, bytes_max=bytes_max)]
    found += [shape.topic(name, "delete", FOR_EVER, bytes_max=bytes_max) for name in letters]
    if connector.kind.is_received:  # rows of a partition lie in the partition of the same number
        sent = shape.topic(names.sent(connector.name), "compact")
        found.append(replace(sent, at_least={**sent.at_least, "delete.retention.ms": DAY_MS}))
    return found


class _Shape:
    """What the topics of one cluster have in common."""

    def __init__(self, configured: TopicDefaults, brokers: int) -> None:
        self._partitions = configured.partitions
        self._replication = 1 if brokers == 1 else configured.replication
        self._in_sync = {"min.insync.replicas": 1 if brokers == 1 else configured.min_insync_replicas}

    def topic(
        self,
        name: str,
        policy: str,
        retention_ms: int | None = None,
        *,
        partitions: int | None = None,
        bytes_max: int = MESSAGE_BYTES_MAX,
    ) -> WantedTopic:
        exactly = {"cleanup.policy": policy}
        at_least = {"max.message.bytes": bytes_max, **self._in_sync}
        if retention_ms == FOR_EVER:
            exactly |= {"retention.ms": str(FOR_EVER), "retention.bytes": str(FOR_EVER)}
        elif retention_ms is not None:
            at_least["retention.ms"] = retention_ms
        return WantedTopic(name, partitions or self._partitions, self._replication, exactly, at_least)


@dataclass(frozen=True, slots=True)
class ActualTopic:
    """A topic as the cluster has it."""

    name: str
    partitions: int
    replication: int
    configuration: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a plan: create the topic, or set what differs, as (is, must be)."""

    topic: WantedTopic
    is_missing: bool
    settings: Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Unequal:
    """A connector whose two topics differ in their numbers of partitions."""

    connector: str
    topic: str
    partitions: int
    sent: str
    sent_partitions: int

    def to_json(self) -> dict[str, object]:
        """Partitions by topic."""
        return {
            "connector": self.connector,
            "partitions": {self.topic: self.partitions, self.sent: self.sent_partitions},
        }

    @property
    def sentence(self) -> str:
        return (
            f"{self.topic} has {self.partitions} partitions and {self.sent} has {self.sent_partitions}: they must be "
            "the same, for what is remembered of a user lies in the partition of the user's records"
        )

    @property
    def fix(self) -> str:
        """What makes them equal again. What is remembered is lost with the topic, so all is sent once more."""
        return (
            f"stop the sink, delete {self.sent}, and make it again with `streams topics apply`: every attribute is "
            f"then sent once more. Do not add partitions to {self.topic}: users would change their partition"
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What `topics apply` would do, and topics of connectors that left the configuration, which it leaves alone.

    `unread` are Currents topics whose settings may not be read: how large their records may be is not known.
    `unequal` are connectors whose topics differ in their numbers of partitions and must not.
    """

    changes: tuple[Change, ...]
    orphaned: tuple[str, ...]
    unread: tuple[str, ...] = ()
    unequal: tuple[Unequal, ...] = ()


def plan(settings: Settings, wanted: tuple[WantedTopic, ...], actual: Mapping[str, ActualTopic]) -> Plan:
    """Compare. Partitions of a topic that exists stay as they are: adding some would break the order per key."""
    changes = []
    for topic in wanted:
        there = actual.get(topic.name)
        if there is None:
            changes.append(Change(topic, True, {name: ("", to) for name, to in topic.configuration.items()}))
        elif differences := topic.differences(there.configuration, there.replication):
            changes.append(Change(topic, False, differences))
    names = {topic.name for topic in wanted}
    prefixes = (settings.topics.connector(""), settings.topics.sent(""), settings.topics.dead_letters)
    orphaned = (name for name in actual if name.startswith(prefixes) and name not in names)
    return Plan(tuple(changes), tuple(sorted(orphaned)))
