"""Who is forgotten, as the topic `streams.forgotten` tells."""

from __future__ import annotations

from collections.abc import Mapping

from streams.delivery.forgotten import ForgottenUsers
from streams.operations.installation import Installation
from streams.ports.errors import TopicMissing


def forgotten_users(installation: Installation) -> Mapping[str, ForgottenUsers]:
    """By connector; nobody where the topic is missing. Raises `KafkaUnreachable`."""
    try:
        latest = installation.read_latest(installation.settings.topics.forgotten, b"")
    except TopicMissing:
        return {}
    found: dict[str, ForgottenUsers] = {}
    for key, value in latest.items():
        name = key.decode()
        connector = name.partition("/")[0]
        found.setdefault(connector, ForgottenUsers(connector)).apply(name, value)
    return found
