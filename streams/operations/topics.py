"""The topics that the configuration needs: compared with the cluster's, and made; and who needs access to them."""

from __future__ import annotations

from collections.abc import Callable

from streams.config import Settings
from streams.config.access import Role, roles
from streams.config.explanation import suggestion
from streams.config.topology import Change, Plan, plan, wanted_topics
from streams.operations.errors import BadRequest
from streams.operations.installation import Installation


def compared(installation: Installation) -> Plan:
    """What `apply` would do now. Raises `KafkaUnreachable` and `KafkaRefusal`."""
    settings, cluster = installation.settings, installation.cluster
    wanted = wanted_topics(settings, cluster.brokers())
    return plan(settings, wanted, cluster.topics(settings.kafka.topic_prefix))


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
        raise BadRequest(f"--role {name} is no role; {suggestion(name, (role.name for role in known))}")
    return chosen
