"""Topics that were deleted and made again: what was gone with them, and what the checker allows until all have noticed.

A process learns within some seconds that a topic is another one. Meanwhile Kafka has forgotten what the group committed
of it, so counts are compared once all is **calm**: the group committed for the new topic, and a keeper counted what was
deleted. From then on they are exact, but for what `docs/reliability.md` names: counts of a process that was **hurt**
(it died, or was expelled) before it committed for the new topic are those of the keeper's copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.delivery.metadata import is_of_another_topic, records_counted
from streams.ports.kafka import Position
from streams.state.records import DELIVERIES, REJECTED
from streams.state.state_view import StateView
from streams.workers.reading.start_positions import copied
from tests.simulation import names

if TYPE_CHECKING:
    from tests.simulation.world import World

GROUPS = {names.SOURCE: names.ROUTERS, names.TOPIC: names.SINKS}
"""Whose commits are forgotten with a topic."""


class MadeAgain:
    """Which topics were made again, and what follows from it."""

    def __init__(self, world: World, view: StateView, source_view: StateView) -> None:
        self._world = world
        self._kafka = world.kafka
        self._views = {names.SOURCE_LETTERS: (source_view, REJECTED), names.TOPIC: (view, DELIVERIES)}
        self._views |= {topic: (view, letters) for letters, topic in world.topic_of_letters.items()}
        self._copied = {names.ROUTERS: source_view, names.SINKS: view}
        self._restless: dict[str, int] = {}
        """Topics that are not calm: how many records the copies had counted when the topic was deleted."""
        self._hurt: set[str] = set()
        """Of these topics, those whose group was hurt."""
        self.topics: set[str] = set()
        """All that were ever made again."""
        self.removed = 0
        """Records of the connector's topic, and letters, that waited and were deleted: they count as lost."""
        self.uncounted_max: dict[str, int] = {names.ROUTERS: 0, names.SINKS: 0}
        """How many records may be in no count of a group, because it was hurt."""

    def is_known(self, topic: str) -> bool:
        """Whether a keeper knows the topic. Currents topics are in the commits alone."""
        if topic not in self._views:
            return topic == names.SOURCE  # a plan may be shortened to one without this scope
        view, letters = self._views[topic]
        return letters in view.known_topics

    def note(self, topic: str) -> None:
        """It is about to be deleted."""
        group = GROUPS.get(topic)
        self._restless.setdefault(topic, 0 if group is None else self._counted_by_copies(group))
        self.topics.add(topic)
        if group is not None and not self._world.is_looked_after(group, topic):
            self._hurt.add(topic)

    def hurt(self, group: str) -> None:
        """A process of the group lost what it had not committed."""
        self._hurt |= {topic for topic in self._restless if GROUPS.get(topic) == group}

    def look(self, handled: dict[str, int]) -> None:
        """Which topics became calm. `handled` says how many records each group ever had to do with."""
        for topic in [topic for topic in self._restless if self._is_calm(topic)]:
            counted = self._restless.pop(topic)
            if topic in self._hurt:
                self._hurt.discard(topic)
                self.uncounted_max[GROUPS[topic]] += max(0, handled[GROUPS[topic]] - counted)

    def is_restless(self, topic: str) -> bool:
        return topic in self._restless

    @property
    def is_calm(self) -> bool:
        return not self._restless

    def is_of_earlier(self, position: Position) -> bool:
        """Whether this was committed for a topic that is no more."""
        return is_of_another_topic(position.metadata, self._kafka.topic_id(position.topic))

    def _is_calm(self, topic: str) -> bool:
        group = GROUPS.get(topic)
        if group is not None:
            committed = self._kafka.group(group).committed
            found = [committed.get(place) for place in self._world.partitions_of(topic)]
            if any(position is None or self.is_of_earlier(position) for position in found):
                return False
        if topic not in self._views:
            return True
        view, letters = self._views[topic]
        known = view.known_topics[letters]
        return known.topic_id == self._world.letter_topics.ids([topic])[topic] and not known.is_uncounted

    def _counted_by_copies(self, group: str) -> int:
        return sum(records_counted(one.metadata) for one in copied(self._copied[group]).values())
