"""Reads how connectors stand: what their keepers wrote to the state topic."""

from __future__ import annotations

from collections.abc import Iterable

from streams.adapters.kafka.compacted import read_to_end
from streams.config import Settings
from streams.config.names import SOURCE
from streams.ports.errors import TopicMissing
from streams.state.state_view import StateView

CLIENT_ID = "streams-views"


def read_state_views(settings: Settings, others: Iterable[str] = ()) -> dict[str, StateView]:
    """Every connector of the configuration, `source` and these others. Raises `KafkaUnreachable` and `StateError`.

    Where the state topic was never made, nothing was ever said of any of them.
    """
    views = {name: StateView(name) for name in (*settings.connectors, SOURCE, *others)}
    try:
        state = read_to_end(settings.kafka.client_config(CLIENT_ID), settings.topics.state, CLIENT_ID)
    except TopicMissing:
        return views
    for record_key, value in state.items():
        name = record_key.decode("utf-8", "replace")
        connector = name.split("/", 2)[1:2]
        if connector and connector[0] in views:
            views[connector[0]].apply(name, value)
    return views
