"""The state of connectors, as their keepers wrote it to the state topic."""

from __future__ import annotations

from streams.operations.installation import Installation
from streams.operations.letter_topics import forget_deleted
from streams.state.state_view import StateView


def state_view_of(installation: Installation, name: str) -> StateView:
    """A connector, `source`, or one that left the configuration. Raises `KafkaUnreachable` and `StateError`."""
    return state_views_of(installation, [name])[name]


def state_views_of(installation: Installation, names: list[str]) -> dict[str, StateView]:
    """Several of them, by name. If the state topic does not exist, all have the state of the beginning."""
    views = {name: StateView(name) for name in names}
    if installation.settings.topics.state not in installation.cluster.topic_names():
        return views
    journal = installation.open_journal()
    try:
        for record in journal.read_to_end():
            connector = record.key.split("/", 2)[1:2]
            if connector and connector[0] in views:
                views[connector[0]].apply(record.key, record.value)
    finally:
        journal.close()
    for view in views.values():
        forget_deleted(view, installation.settings.topics, installation.cluster.topic_ids)
    return views
