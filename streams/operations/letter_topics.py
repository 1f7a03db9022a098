"""The topic of letters. And forgets the state of a dead-letter topic that was deleted and made again.

While no keeper runs, the state still has the cursors of the topic that was deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from streams.config.names import SOURCE, Topics
from streams.state.records import CREDENTIALS, DELIVERIES, REJECTED
from streams.state.state_view import StateView

TopicIds = Callable[[Collection[str]], Mapping[str, str]]
"""The ids that these topics have now, as far as Kafka tells."""


def topic_of(topics: Topics, connector: str, letters: str) -> str:
    """The topic of `rejected` or `credentials.<scope>` letters of a connector, or of `source`."""
    if connector == SOURCE:
        return topics.dead_letter_source
    if letters == REJECTED:
        return topics.dead_letter_rejected(connector)
    return topics.dead_letter_credentials(connector, letters.removeprefix(CREDENTIALS))


def forget_deleted(view: StateView, topics: Topics, topic_ids: TopicIds) -> None:
    """Forget the cursors and settled letters of topics that were deleted, as the keeper will do when it runs.

    Raises what `topic_ids` raises.
    """
    names = {
        letters: topic_of(topics, view.connector, letters) for letters in view.known_topics if letters != DELIVERIES
    }
    if not names:
        return
    found = topic_ids(list(names.values()))
    for letters in view.of_other_topics({name: found[topic] for name, topic in names.items() if topic in found}):
        view.forget_letters(letters)
