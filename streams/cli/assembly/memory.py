"""Gives a sink what it remembers, where its destination composes; refuses to start where that cannot work."""

from __future__ import annotations

from streams.adapters.clock import SystemClock
from streams.adapters.kafka.admin import Administration
from streams.adapters.kafka.sent import SentTopic
from streams.adapters.memories import KafkaMemories, check_folder
from streams.cli.errors import CommandError, ExitCode
from streams.config import Connector, Settings
from streams.operations.memory_topics import unequal
from streams.ports.memory import Memories


def memories(settings: Settings, connector: Connector, client_id: str) -> Memories | None:
    """None where nothing is remembered. Raises `CommandError` for a folder or topics that cannot be used, and what
    the cluster does."""
    folder = connector.scratch
    if folder is None:
        return None
    options = settings.kafka.client_config(client_id)
    try:
        check_folder(folder)
    except OSError as error:
        raise CommandError(
            f"connectors.{connector.name}.scratch: {folder} cannot be written ({error.strerror or error}); name a "
            "folder that this process may write, with room for what the sink remembers",
            ExitCode.USAGE,
        ) from None
    for one in unequal(settings, Administration(options).partitions):
        if one.connector == connector.name:
            raise CommandError(f"{one.sentence}; {one.fix}", ExitCode.USAGE)
    topic = SentTopic(options, settings.topics.sent(connector.name), f"{client_id}-memory")
    return KafkaMemories(topic, folder, SystemClock())
