"""Names of our topics, groups and transactional ids, all under one prefix."""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = "source"
"""Stands for the router's dead letters where a connector's name is expected: no connector may have it."""


@dataclass(frozen=True, slots=True)
class Topics:
    """Topic names; `prefix` is `kafka.topic_prefix`."""

    prefix: str

    def connector(self, name: str) -> str:
        return f"{self.prefix}connector.{name}"

    def dead_letter_rejected(self, name: str) -> str:
        return f"{self.prefix}dead-letter.{name}.rejected"

    def dead_letter_credentials(self, name: str, scope: str) -> str:
        """With an empty scope: what the names of all of them begin with."""
        return f"{self.prefix}dead-letter.{name}.credentials.{scope}"

    @property
    def dead_letters(self) -> str:
        """What the names of all dead-letter topics begin with."""
        return f"{self.prefix}dead-letter."

    @property
    def dead_letter_source(self) -> str:
        return f"{self.prefix}dead-letter.{SOURCE}"

    @property
    def schemas(self) -> str:
        return f"{self.prefix}schemas"

    @property
    def state(self) -> str:
        return f"{self.prefix}state"

    @property
    def audit(self) -> str:
        return f"{self.prefix}audit"

    def is_ours(self, topic: str) -> bool:
        """Whether the topic is one of ours, which the router never reads."""
        return topic.startswith(self.prefix)


@dataclass(frozen=True, slots=True)
class Groups:
    """Consumer group names; a transactional id is a group's name, a dash and the instance's name."""

    prefix: str

    @property
    def router(self) -> str:
        return f"{self.prefix}router"

    def sink(self, name: str) -> str:
        return f"{self.prefix}sink.{name}"

    def keeper(self, name: str) -> str:
        """A transactional id: the same for every process, so that a new process shuts the old one out."""
        return f"{self.prefix}keeper.{name}"
