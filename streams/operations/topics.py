"""The topics that the configuration needs: compared with the cluster's, and made; and who needs access to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from streams.config import Settings
from streams.config.access import Role, roles
from streams.config.explanation import suggestion
from streams.config.topology import Change, Plan, WantedTopic, plan, wanted_topics
from streams.operations.errors import BadRequest
from streams.operations.installation import Installation
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
    sources = source_topics(cluster.topic_names(), settings.source.topics, settings.kafka.topic_prefix)
    sizes = cluster.topic_setting(RECORD_SIZE_SETTING, sources)
    largest = max((int(size) for size in sizes.values() if size.isdigit()), default=0)
    return Wanted(wanted_topics(settings, cluster.brokers(), largest), tuple(sorted(sources - sizes.keys())))


def compared(installation: Installation) -> Plan:
    """What `apply` would do now. Raises `KafkaUnreachable` and `KafkaRefusal`."""
    settings, cluster = installation.settings, installation.cluster
    needed = wanted(settings, cluster)
    found = plan(settings, needed.topics, cluster.topics(settings.kafka.topic_prefix))
    return replace(found, unread=needed.unread)


def unread_sentence(unread: tuple[str, ...]) -> str:
    """What it means that the settings of these Currents topics may not be read."""
    more = f" and {len(unread) - 1} more" if len(unread) > 1 else ""
    return (
        f"{RECORD_SIZE_SETTING} of {unread[0]}{more} may not be read (DescribeConfigs): larger records than our topics "
        "take become dead letters; `streams topics acls` prints what each role needs"
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
    """The least that Kafka must allow each role, or this one. Raises `BadRequest` for a role that there is not."""
    known = roles(settings)
    if name is None:
        return known
    chosen = tuple(role for role in known if role.name == name)
    if not chosen:
        raise BadRequest(f"{name} is no role; {suggestion(name, (role.name for role in known))}", field="role")
    return chosen
