"""Gathers what `streams explain` tells: looks through the topics and reads how things stood before that."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from streams.adapters.kafka.search import Found, Search, Stretch
from streams.adapters.schemas.resolver import schema_resolver
from streams.adapters.state.standings import read_standings
from streams.cli.assembly.installation import connect
from streams.cli.assembly.keeper import routing_of
from streams.config import Settings
from streams.config.names import SOURCE
from streams.delivery.contract import Destination
from streams.delivery.partitioner import partition_of
from streams.operations.accounts import Accounts
from streams.operations.explain.receipts import NEEDLE, Receipt, receipt_of
from streams.operations.explain.sightings import Place, Sighter
from streams.operations.explain.story import Known, Sighting, Story, stories
from streams.ports.cluster import Commit
from streams.ports.kafka import Partition
from streams.state.credentials import Rules
from streams.state.records import CREDENTIALS, REJECTED
from streams.workers.router.routes import source_topics

CLIENT_ID = "streams-explain"
SIGHTINGS_MAX = 1_000
"""Records that are told of one event: Braze's own samples share one id, and memory is bounded."""
RECEIPTS_MAX = 10_000
"""Of those that may mean the event: a person's purge writes one for each of its transactions."""


@dataclass(frozen=True, slots=True)
class Window:
    """Times of writing, in ms since 1970; `until` is exclusive and None where it is the end."""

    since_ms: int
    until_ms: int | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The stories, how much was looked through for them, and how far a missing one may still exist."""

    stories: Sequence[Story]
    topics: int
    offsets: int
    gaps: Mapping[str, Collection[int]]
    """Topics whose records before the first that is still there are gone though the window reaches there."""
    missing: Sequence[str]
    orphaned: Sequence[str]
    by_key: bool
    """Whether only the partitions of the event's key were looked through, in topics of ours."""
    is_cut: bool
    """Whether more records were seen than are told."""


def explain(
    settings: Settings, event_id: str, window: Window, user: str | None, report: Callable[[int, int], None]
) -> Explanation:
    """Look for the event. Raises `KafkaUnreachable`, `KafkaRefusal`, `MetadataError` and `StateError`."""
    config = settings.kafka.client_config(CLIENT_ID)
    accounts = Accounts(connect(settings, CLIENT_ID))
    # What was committed before the search began was settled before it, so whatever became of it can be seen.
    sinks = {name: _offsets(accounts.sink_commits(name)) for name in settings.connectors}
    router = _offsets(accounts.router_commits())
    standings = read_standings(settings)
    with ExitStack() as stack:
        search = Search(config, report)
        stack.callback(search.close)
        counts = search.topics()
        places = _places(settings, counts)
        resolver = schema_resolver(settings, CLIENT_ID, stack, 0.0)
        sighter = Sighter(event_id, resolver, routing_of(settings), _destinations(settings), places)
        looking = _Looking(search, sighter, event_id.encode())
        currents = {topic: counts[topic] for topic, place in places.items() if place[0] == "currents"}
        keys = {user.encode()} if user else set[bytes | None]()
        looking.look(_partitions(currents, keys), window.since_ms, window.until_ms)
        keys |= looking.keys
        ours = {topic: counts[topic] for topic, place in places.items() if place[0] != "currents"}
        looking.look(_partitions(ours, keys), window.since_ms)
        audit = _partitions({settings.topics.audit: counts.get(settings.topics.audit, 0)}, ())
        known = Known(
            now_ms=time.time_ns() // 1_000_000,
            router=router,
            sinks=sinks,
            standings=standings,
            rules={connector.name: Rules(connector.grace_seconds) for connector in settings.connectors.values()},
            receipts=_receipts(search, audit, window.since_ms, looking.sightings),
            earliest={stretch.partition: stretch.earliest for stretch in looking.stretches},
            letter_topics={topic: place[1:] for topic, place in places.items() if place[0] == "letter"},
        )
    wanted = {settings.topics.audit, settings.topics.dead_letter_source, *_wanted(settings)}
    return Explanation(
        stories=stories(event_id, looking.sightings, known),
        topics=len({stretch.partition[0] for stretch in looking.stretches}),
        offsets=sum(max(0, stretch.end - stretch.start) for stretch in looking.stretches),
        gaps=_gaps(looking.stretches),
        missing=sorted(wanted - counts.keys()),
        orphaned=_orphaned(settings, counts, places),
        by_key=bool(keys) and all(keys),
        is_cut=looking.is_cut,
    )


class _Looking:
    """One search after the other, and what was seen in all."""

    def __init__(self, search: Search, sighter: Sighter, needle: bytes) -> None:
        self._search = search
        self._sighter = sighter
        self._needle = needle
        self.sightings: list[Sighting] = []
        self.stretches: list[Stretch] = []
        self.keys: set[bytes | None] = set()
        self.is_cut = False

    def look(self, partitions: Iterable[Partition], since_ms: int, until_ms: int | None = None) -> None:
        stretches = self._search.stretches(partitions, since_ms, until_ms)
        self.stretches += stretches
        for found in self._search.holding(self._needle, stretches):
            self._take(found)

    def _take(self, found: Found) -> None:
        sighting = self._sighter.sighting(found.message, found.written_ms)
        if sighting is None:
            return
        if len(self.sightings) >= SIGHTINGS_MAX:
            self.is_cut = True
            return
        self.sightings.append(sighting)
        self.keys.add(found.message.key())


def _offsets(commits: Mapping[Partition, Commit]) -> dict[Partition, int]:
    return {partition: commit.offset for partition, commit in commits.items()}


def _partitions(topics: Mapping[str, int], keys: Collection[bytes | None]) -> list[Partition]:
    """Every partition of these topics, or those that these keys are on. A record without a key may be anywhere."""
    if not keys or not all(keys):
        return [(topic, number) for topic, count in topics.items() for number in range(count)]
    return sorted({(topic, partition_of(key, count)) for topic, count in topics.items() for key in keys if key})


def _places(settings: Settings, topics: Collection[str]) -> dict[str, Place]:
    """What each topic that is looked through holds."""
    names = settings.topics
    places: dict[str, Place] = {}
    for topic in sorted(source_topics(topics, settings.source.topics, settings.kafka.topic_prefix)):
        places[topic] = ("currents", "", "")
    for name in settings.connectors:
        places[names.connector(name)] = ("connector", name, "")
        letters = f"{names.dead_letters}{name}."
        for topic in sorted(topics):
            end = topic.removeprefix(letters)
            if topic.startswith(letters) and (end == REJECTED or end.startswith(CREDENTIALS)):
                places[topic] = ("letter", name, end)
    places[names.dead_letter_source] = ("letter", SOURCE, REJECTED)
    return {topic: place for topic, place in places.items() if topic in topics}


def _wanted(settings: Settings) -> Iterable[str]:
    for connector in settings.connectors.values():
        yield settings.topics.connector(connector.name)
        yield settings.topics.dead_letter_rejected(connector.name)
        for scope in connector.build().scopes:
            yield settings.topics.dead_letter_credentials(connector.name, scope)


def _orphaned(settings: Settings, topics: Collection[str], places: Collection[str]) -> list[str]:
    prefixes = (settings.topics.connector(""), settings.topics.dead_letters)
    return sorted(topic for topic in topics if topic.startswith(prefixes) and topic not in places)


def _destinations(settings: Settings) -> dict[str, Destination]:
    return {name: connector.build() for name, connector in settings.connectors.items()}


def _receipts(
    search: Search, partitions: Iterable[Partition], since_ms: int, sightings: Sequence[Sighting]
) -> dict[str, list[Receipt]]:
    """The receipts that may mean one of these records, by connector."""
    receipts: dict[str, list[Receipt]] = {}
    room = RECEIPTS_MAX
    for found in search.holding(NEEDLE, search.stretches(partitions, since_ms)):
        receipt = receipt_of(found.message.value())
        if receipt is not None and room and any(_may_mean(*receipt, sighting) for sighting in sightings):
            receipts.setdefault(receipt[0], []).append(receipt[1])
            room -= 1
    return receipts


def _may_mean(connector: str, receipt: Receipt, sighting: Sighting) -> bool:
    if sighting.connector != connector:
        return False
    if sighting.kind == "letter":
        return receipt.letters == sighting.letters and receipt.covers(sighting.partition[1], sighting.offset)
    return receipt.may_hold(sighting.event_type, sighting.event_time)


def _gaps(stretches: Iterable[Stretch]) -> dict[str, list[int]]:
    gaps: dict[str, list[int]] = {}
    for stretch in stretches:
        if stretch.is_cut:
            gaps.setdefault(stretch.partition[0], []).append(stretch.partition[1])
    return gaps
