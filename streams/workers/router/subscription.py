"""Which Currents topics the router reads: new ones are looked for while it runs, and those that are gone are left."""

from __future__ import annotations

import structlog

from streams.ports.kafka import Consumer, Listener, Partition
from streams.workers.router.ports import RouterTopics
from streams.workers.router.routes import source_topics

log = structlog.get_logger(__name__)

TOPICS_SECONDS_FIRST = 2.0
TOPICS_FIRST_SECONDS = 120.0
"""Shortly after the start, and after each new topic, more are likely to come: they are looked for often for so long."""
TOPICS_SECONDS = 10.0
"""How often new Currents topics are looked for; they must be seen within 30 s."""
SAY_SECONDS = 60.0
"""How often it is said that there is no topic yet. They are looked for much more often."""
GONE_SECONDS = 60.0
"""A topic that is missing for so long is gone. One that is deleted and made again is back before."""


class Subscription:
    """Subscribes a listener to every Currents topic that there is, and to those that come later."""

    def __init__(self, topics: RouterTopics, consumer: Consumer) -> None:
        self._topics = topics
        self._consumer = consumer
        self._subscribed: frozenset[str] = frozenset()
        self._missing_since: dict[str, float] = {}
        self._looked_at: float | None = None
        self._found_at = 0.0
        self._say_at = float("-inf")

    @property
    def first_partition(self) -> Partition | None:
        """Its owner keeps the source's dead letters."""
        return (min(self._subscribed), 0) if self._subscribed else None

    def look(self, now: float, listener: Listener) -> bool:
        """Whether there are other topics than before. Looks when it is time to."""
        if self._looked_at is None:
            self._found_at = now
        elif now - self._looked_at < self._seconds(now):
            return False
        self._looked_at = now
        found = source_topics(self._consumer.topics(), self._topics.patterns, self._topics.own_prefix)
        if not found:  # none is there, or no broker answers
            if not self._subscribed and now >= self._say_at:
                self._say_at = now + SAY_SECONDS
                log.warning("no Currents topic yet", patterns=list(self._topics.patterns))
            return False
        gone = self._gone(found, now)
        wanted = (self._subscribed | found) - gone
        if wanted == self._subscribed:
            return False
        if gone:
            log.warning("Currents topics are gone", topics=sorted(gone))
        if found - self._subscribed:
            self._found_at = now
        self._subscribed = wanted
        self._consumer.subscribe(sorted(wanted), listener)
        log.info("reading topics", count=len(wanted))
        return True

    def _gone(self, found: frozenset[str], now: float) -> frozenset[str]:
        """Of the topics that are subscribed to, those that have been missing for `GONE_SECONDS`."""
        missing = self._subscribed - found
        self._missing_since = {topic: self._missing_since.get(topic, now) for topic in missing}
        return frozenset(topic for topic, since in self._missing_since.items() if now - since >= GONE_SECONDS)

    def _seconds(self, now: float) -> float:
        """Between two looks."""
        return TOPICS_SECONDS_FIRST if now - self._found_at < TOPICS_FIRST_SECONDS else TOPICS_SECONDS
