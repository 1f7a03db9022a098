"""The topics that a configuration needs, what each must be set to, and how the cluster's topics differ from that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from streams.config.kafka import MESSAGE_BYTES_MAX
from streams.config.loader import Settings

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
        """Settings that must change, as (is, shall be); a topic with fewer replicas is not asked for more in sync."""
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
    shape = settings.kafka.topics
    replication = 1 if brokers == 1 else shape.replication
    in_sync = {"min.insync.replicas": 1 if brokers == 1 else shape.min_insync_replicas}
    records = max(MESSAGE_BYTES_MAX, source_bytes_max)

    def topic(
        name: str,
        policy: str,
        retention_ms: int | None = None,
        partitions: int = shape.partitions,
        bytes_max: int = MESSAGE_BYTES_MAX,
    ) -> WantedTopic:
        exactly = {"cleanup.policy": policy}
        at_least = {"max.message.bytes": bytes_max, **in_sync}
        if retention_ms == FOR_EVER:
            exactly |= {"retention.ms": str(FOR_EVER), "retention.bytes": str(FOR_EVER)}
        elif retention_ms is not None:
            at_least["retention.ms"] = retention_ms
        return WantedTopic(name, partitions, replication, exactly, at_least)

    topics = []
    for connector in settings.connectors.values():
        retention_ms = max(CONNECTOR_RETENTION_MS_MIN, int(2 * connector.grace_seconds * 1000))
        topics.append(topic(names.connector(connector.name), "delete", retention_ms, bytes_max=records))
        topics.append(topic(names.dead_letter_rejected(connector.name), "delete", FOR_EVER, bytes_max=records))
        topics += [
            topic(names.dead_letter_credentials(connector.name, scope), "delete", FOR_EVER, bytes_max=records)
            for scope in connector.scopes
        ]
    topics.append(topic(names.dead_letter_source, "delete", FOR_EVER, bytes_max=records))
    topics.append(topic(names.schemas, "compact"))
    state = topic(names.state, "compact", partitions=1)
    # The broker's time of writing: a keeper whose clock differs from it purges nothing.
    topics.append(replace(state, exactly={**state.exactly, "message.timestamp.type": "LogAppendTime"}))
    topics.append(topic(names.audit, "delete", AUDIT_RETENTION_MS))
    return tuple(topics)


@dataclass(frozen=True, slots=True)
class ActualTopic:
    """A topic as the cluster has it."""

    name: str
    partitions: int
    replication: int
    configuration: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a plan: create the topic, or set what differs, as (is, shall be)."""

    topic: WantedTopic
    is_missing: bool
    settings: Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What `topics apply` would do, and topics of connectors that left the configuration, which it leaves alone.

    `unread` are Currents topics whose settings may not be read: how large their records may be is not known.
    """

    changes: tuple[Change, ...]
    orphaned: tuple[str, ...]
    unread: tuple[str, ...] = ()


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
    prefixes = (settings.topics.connector(""), settings.topics.dead_letters)
    orphaned = (name for name in actual if name.startswith(prefixes) and name not in names)
    return Plan(tuple(changes), tuple(sorted(orphaned)))
