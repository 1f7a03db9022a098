"""Whose dead letters a command is about, and in which topics they lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.errors import CommandError, ExitCode
from streams.cli.options import connector_names_and

if TYPE_CHECKING:
    from collections.abc import Collection

    from streams.config import Connector, Settings

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="The connector, or `source` for undecodable source records.",
        autocompletion=connector_names_and("source"),
    ),
]
Scope = Annotated[
    str | None,
    typer.Option("--scope", metavar="SCOPE", help="The letters of a credential scope, instead of rejected ones."),
]


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Dead letters of one connector, or of the source (`connector` is None)."""

    settings: Settings
    name: str
    connector: Connector | None
    topics: Mapping[str, str]
    """The end of a dead-letter topic's name (`rejected`, `credentials.<scope>`) to the topic."""

    @property
    def scopes(self) -> tuple[str, ...]:
        from streams.state.records import CREDENTIALS

        return tuple(letters.removeprefix(CREDENTIALS) for letters in self.topics if letters.startswith(CREDENTIALS))

    @property
    def causes(self) -> tuple[str, ...]:
        """Every cause that a letter here may have."""
        from typing import get_args

        from streams.delivery.account import Cause, SourceCause

        return get_args(SourceCause) if self.connector is None else get_args(Cause)

    def letters_of(self, scope: str | None) -> str:
        """The letters that a command means: a scope's, else the rejected ones. Raises `CommandError`."""
        from streams.state.records import CREDENTIALS, REJECTED

        if scope is None:
            return REJECTED
        if CREDENTIALS + scope not in self.topics:
            there_are = ", ".join(self.scopes) or "none"
            raise CommandError(f"{self.name} has no scope {scope}; there are: {there_are}", ExitCode.USAGE)
        return CREDENTIALS + scope


def dead_letters(settings: Settings, name: str) -> DeadLetters:
    """The dead letters of a connector of the configuration, or of `source`. Raises `CommandError`."""
    from streams.config.explanation import suggestion
    from streams.config.names import SOURCE
    from streams.state.records import CREDENTIALS, REJECTED

    if name == SOURCE:
        return DeadLetters(settings, name, None, {REJECTED: settings.topics.dead_letter_source})
    if name not in settings.connectors:
        there_is = suggestion(name, (*settings.connectors, SOURCE))
        raise CommandError(f"there is no connector {name}; {there_is}", ExitCode.USAGE)
    connector = settings.connectors[name]
    topics = {REJECTED: settings.topics.dead_letter_rejected(name)}
    for scope in connector.scopes:
        topics[CREDENTIALS + scope] = settings.topics.dead_letter_credentials(name, scope)
    return DeadLetters(settings, name, connector, topics)


def orphaned_letters(settings: Settings, name: str, topics: Collection[str]) -> DeadLetters | None:
    """Dead letters that are there though the connector, or one of its scopes, left the configuration."""
    own = f"{settings.topics.dead_letters}{name}."
    there = {topic.removeprefix(own): topic for topic in sorted(topics) if topic.startswith(own)}
    if not there:
        return None
    return DeadLetters(settings, name, settings.connectors.get(name), there)


def orphaned_topics(settings: Settings, topics: Collection[str]) -> dict[str, str]:
    """Dead-letter topics that belong to nothing in the configuration, and the connector that each names."""
    from streams.config.names import SOURCE

    known = {topic for name in (*settings.connectors, SOURCE) for topic in dead_letters(settings, name).topics.values()}
    prefix = settings.topics.dead_letters
    return {
        topic: topic.removeprefix(prefix).split(".", 1)[0]
        for topic in sorted(topics)
        if topic.startswith(prefix) and topic not in known
    }
