"""Reads how connectors stand: what their keepers wrote to the state topic."""

from __future__ import annotations

from collections.abc import Iterable

from streams.adapters.kafka.compacted import read_to_end
from streams.config import Settings
from streams.config.names import SOURCE
from streams.ports.errors import TopicMissing
from streams.state.standing import Standing

CLIENT_ID = "streams-standings"


def read_standings(settings: Settings, others: Iterable[str] = ()) -> dict[str, Standing]:
    """Every connector of the configuration, `source` and these others. Raises `KafkaUnreachable` and `StateError`.

    Where the state topic was never made, nothing was ever said of any of them.
    """
    standings = {name: Standing(name) for name in (*settings.connectors, SOURCE, *others)}
    try:
        state = read_to_end(settings.kafka.client_config(CLIENT_ID), settings.topics.state, CLIENT_ID)
    except TopicMissing:
        return standings
    for record_key, value in state.items():
        name = record_key.decode("utf-8", "replace")
        connector = name.split("/", 2)[1:2]
        if connector and connector[0] in standings:
            standings[connector[0]].apply(name, value)
    return standings
