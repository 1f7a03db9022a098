"""How connectors stand: what their keepers wrote to the state topic."""

from __future__ import annotations

from streams.operations.installation import Installation
from streams.operations.letter_topics import forget_deleted
from streams.state.standing import Standing


def standing_of(installation: Installation, name: str) -> Standing:
    """A connector, `source`, or one that left the configuration. Raises `KafkaUnreachable` and `StateError`."""
    return standings_of(installation, [name])[name]


def standings_of(installation: Installation, names: list[str]) -> dict[str, Standing]:
    """The same of several, by name. Where the state topic was never made, nothing was ever said of any of them."""
    standings = {name: Standing(name) for name in names}
    if installation.settings.topics.state not in installation.cluster.topic_names():
        return standings
    journal = installation.open_journal()
    try:
        for record in journal.read_to_end():
            connector = record.key.split("/", 2)[1:2]
            if connector and connector[0] in standings:
                standings[connector[0]].apply(record.key, record.value)
    finally:
        journal.close()
    for standing in standings.values():
        forget_deleted(standing, installation.settings.topics, installation.cluster.topic_ids)
    return standings
