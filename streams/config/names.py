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

    def sent(self, name: str) -> str:
        """What the sink of a connector remembers of what it sent, for destinations that need it."""
        return f"{self.prefix}sent.{name}"

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

    @property
    def forgotten(self) -> str:
        """Whose records are not delivered any more, as salted hashes."""
        return f"{self.prefix}forgotten"

    @property
    def received(self) -> str:
        """What receivers count."""
        return f"{self.prefix}received"

    @property
    def inlets(self) -> str:
        """How far storage inlets are."""
        return f"{self.prefix}inlets"

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

    @property
    def receiver(self) -> str:
        """No group: only what its transactional ids begin with."""
        return f"{self.prefix}receiver"

    def keeper(self, name: str) -> str:
        """A transactional id: the same for every process, so that a new process shuts the old one out."""
        return f"{self.prefix}keeper.{name}"

    def inlet(self, name: str) -> str:
        """The group that chooses the active process of a storage inlet, and its transactional id."""
        return f"{self.prefix}inlet.{name}"
