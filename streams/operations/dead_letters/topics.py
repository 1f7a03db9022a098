"""The owner of dead letters, and the topics that hold them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import get_args

from streams.config import Connector, Settings
from streams.config.explanation import suggestion
from streams.config.names import SOURCE
from streams.delivery.account import Cause, SourceCause
from streams.operations.errors import BadRequest
from streams.state.records import CREDENTIALS, REJECTED


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Dead letters of one connector, or of the source (`connector` is None)."""

    settings: Settings
    name: str
    connector: Connector | None
    topics: Mapping[str, str]
    """Maps the name of letters (`rejected`, `credentials.<scope>`) to the topic that holds them."""

    @property
    def names(self) -> dict[str, str]:
        """Maps each topic to the name of its letters."""
        return {topic: letters for letters, topic in self.topics.items()}

    @property
    def scopes(self) -> tuple[str, ...]:
        return tuple(letters.removeprefix(CREDENTIALS) for letters in self.topics if letters.startswith(CREDENTIALS))

    @property
    def causes(self) -> tuple[str, ...]:
        """The causes that these letters can have."""
        return get_args(SourceCause) if self.connector is None else get_args(Cause)

    def letters_of(self, scope: str | None) -> str:
        """The letters of a scope; without a scope, the rejected letters. Raises `BadRequest`."""
        if scope is None:
            return REJECTED
        if CREDENTIALS + scope not in self.topics:
            there_are = ", ".join(self.scopes) or "none"
            raise BadRequest(f"{self.name} has no scope {scope}. Scopes: {there_are}")
        return CREDENTIALS + scope


def dead_letters(settings: Settings, name: str) -> DeadLetters:
    """The dead letters of a connector of the configuration, or of `source`. Raises `BadRequest`."""
    if name == SOURCE:
        return DeadLetters(settings, name, None, {REJECTED: settings.topics.dead_letter_source})
    if name not in settings.connectors:
        known = suggestion(name, (*settings.connectors, SOURCE))
        raise BadRequest(f"there is no connector {name}. {known}")
    connector = settings.connectors[name]
    topics = {REJECTED: settings.topics.dead_letter_rejected(name)}
    for scope in connector.scopes:
        topics[CREDENTIALS + scope] = settings.topics.dead_letter_credentials(name, scope)
    return DeadLetters(settings, name, connector, topics)


def orphaned_topics(settings: Settings, topics: Collection[str]) -> dict[str, str]:
    """Dead-letter topics that belong to nothing in the configuration, and the connector that each names."""
    known = {topic for name in (*settings.connectors, SOURCE) for topic in dead_letters(settings, name).topics.values()}
    prefix = settings.topics.dead_letters
    return {
        topic: topic.removeprefix(prefix).split(".", 1)[0]
        for topic in sorted(topics)
        if topic.startswith(prefix) and topic not in known
    }


def orphaned_letters(settings: Settings, name: str, topics: Collection[str]) -> DeadLetters | None:
    """Dead letters of a connector or scope that left the configuration; None if there are none."""
    left = [topic for topic, owner in orphaned_topics(settings, topics).items() if owner == name]
    if not left:
        return None
    own = f"{settings.topics.dead_letters}{name}."
    there = {topic.removeprefix(own): topic for topic in left}
    return DeadLetters(settings, name, settings.connectors.get(name), there)
