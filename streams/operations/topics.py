"""The topics that the configuration needs: compared with the cluster's, and made; and who needs access to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from streams.config import Settings
from streams.config.access import Role, roles
from streams.config.explanation import suggestion
from streams.config.topology import Change, Plan, WantedTopic, plan, wanted_topics
from streams.operations.errors import BadRequest
from streams.operations.installation import Installation
from streams.operations.memory_topics import unequal, with_memory
from streams.ports.cluster import Cluster
from streams.workers.router.routes import source_topics

RECORD_SIZE_SETTING = "max.message.bytes"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Topics as they must be on this cluster. `unread` are Currents topics that do not say how large records may be."""

    topics: tuple[WantedTopic, ...]
    unread: tuple[str, ...]


def wanted(settings: Settings, cluster: Cluster) -> Wanted:
    """What the configuration needs on this cluster; records of its Currents topics fit onto ours.

    Raises `KafkaUnreachable` and `KafkaRefusal`.
    """
    sources = source_topics(cluster.topic_names(), settings.source_topics, settings.kafka.topic_prefix)
    sizes = cluster.topic_setting(RECORD_SIZE_SETTING, sources)
    largest = max((int(size) for size in sizes.values() if size.isdigit()), default=0)
    topics = _beside_what_is_there(settings, cluster, wanted_topics(settings, cluster.brokers(), largest))
    return Wanted(topics, tuple(sorted(sources - sizes.keys())))


def _beside_what_is_there(
    settings: Settings, cluster: Cluster, topics: tuple[WantedTopic, ...]
) -> tuple[WantedTopic, ...]:
    """Topics of what sinks remember get as many partitions as the connectors' topics have already."""
    counts = {
        settings.topics.sent(name): len(cluster.partitions(settings.topics.connector(name)))
        for name in with_memory(settings)
    }
    return tuple(replace(topic, partitions=counts.get(topic.name) or topic.partitions) for topic in topics)


def compared(installation: Installation) -> Plan:
    """What `streams topics apply` would do now. Raises `KafkaUnreachable` and `KafkaRefusal`."""
    settings, cluster = installation.settings, installation.cluster
    needed = wanted(settings, cluster)
    found = plan(settings, needed.topics, cluster.topics(settings.kafka.topic_prefix))
    return replace(found, unread=needed.unread, unequal=tuple(unequal(settings, cluster.partitions)))


def unread_sentence(unread: tuple[str, ...]) -> str:
    """The warning for Currents topics whose settings may not be read."""
    more = f" and {len(unread) - 1} more" if len(unread) > 1 else ""
    return (
        f"{RECORD_SIZE_SETTING} of {unread[0]}{more} may not be read (DescribeConfigs). Records that are "
        "too large for our topics become dead letters; `streams topics acls` prints what each role needs"
    )


def apply(installation: Installation, report: Callable[[Change], None]) -> Plan:
    """Create missing topics and correct settings; deletes nothing, shrinks nothing, adds no partitions.

    `report` is told of each change that was made, when it was. Raises `KafkaUnreachable` and `KafkaRefusal`.
    """
    cluster = installation.cluster
    found = compared(installation)
    for change in found.changes:
        topic = change.topic
        if change.is_missing:
            cluster.create_topic(topic.name, topic.partitions, topic.replication, topic.configuration)
        else:
            cluster.configure_topic(topic.name, {name: to for name, (_, to) in change.settings.items()})
        report(change)
    return found


def access_roles(settings: Settings, name: str | None) -> tuple[Role, ...]:
    """The smallest set of rights of each role, or of one role. Raises `BadRequest` for an unknown role."""
    known = roles(settings)
    if name is None:
        return known
    chosen = tuple(role for role in known if role.name == name)
    if not chosen:
        raise BadRequest(f"{name} is not a role. {suggestion(name, (role.name for role in known))}", field="role")
    return chosen


def listed(found: Plan) -> dict[str, Any]:
    """The fields of `streams topics plan --output json`."""
    return {
        "changes": [_listed(change) for change in found.changes],
        "orphaned": list(found.orphaned),
        "unread": list(found.unread),
        "unequal": [one.to_json() for one in found.unequal],
    }


def _listed(change: Change) -> dict[str, object]:
    action = "create" if change.is_missing else "configure"
    content: dict[str, object] = {"topic": change.topic.name, "action": action}
    if change.is_missing:
        content |= {"partitions": change.topic.partitions, "replication": change.topic.replication}
    settings = {name: {"from": was or None, "to": to} for name, (was, to) in change.settings.items()}
    return {**content, "settings": settings}
