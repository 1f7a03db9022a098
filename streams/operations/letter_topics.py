"""Dead-letter topics by their letters, and what is known of one that was deleted and made again: nothing.

While its keeper is away, the state still has the cursors of the topic that was deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from streams.config.names import SOURCE, Topics
from streams.state.records import CREDENTIALS, DELIVERIES, REJECTED
from streams.state.standing import Standing

TopicIds = Callable[[Collection[str]], Mapping[str, str]]
"""Which topics these names stand for now, as far as Kafka tells."""


def topic_of(topics: Topics, connector: str, letters: str) -> str:
    """The topic of `rejected` or `credentials.<scope>` letters of a connector, or of `source`."""
    if connector == SOURCE:
        return topics.dead_letter_source
    if letters == REJECTED:
        return topics.dead_letter_rejected(connector)
    return topics.dead_letter_credentials(connector, letters.removeprefix(CREDENTIALS))


def forget_deleted(standing: Standing, topics: Topics, topic_ids: TopicIds) -> None:
    """Forget the cursors and settled letters of topics that were deleted, as the keeper will once it is there.

    Raises what `topic_ids` raises.
    """
    names = {
        letters: topic_of(topics, standing.connector, letters)
        for letters in standing.known_topics
        if letters != DELIVERIES
    }
    if not names:
        return
    found = topic_ids(list(names.values()))
    for letters in standing.of_other_topics({name: found[topic] for name, topic in names.items() if topic in found}):
        standing.forget_letters(letters)
