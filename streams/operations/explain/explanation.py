"""Gathers what happened to an event: looks through the topics and reads how things stood before that."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from streams.config import Settings
from streams.config.names import SOURCE
from streams.delivery.contract import Destination
from streams.delivery.partitioner import partition_of
from streams.operations.accounts import Accounts
from streams.operations.explain.receipts import NEEDLE, Receipt, receipt_of
from streams.operations.explain.sightings import Place, Sighter
from streams.operations.explain.story import Known, Sighting, Story, stories
from streams.operations.installation import Installation
from streams.operations.standings import standings_of
from streams.ports.cluster import Commit
from streams.ports.kafka import Partition
from streams.ports.search import Found, Search, Span
from streams.state.credentials import Rules
from streams.state.moments import iso
from streams.state.records import CREDENTIALS, REJECTED
from streams.workers.router.routes import routing_of, source_topics

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
    unread: Mapping[str, str]
    """Connectors whose secrets cannot be read here, and why."""


Report = Callable[[int, int], None]
"""Told now and then how many offsets were passed, of how many."""


def explain(
    installation: Installation, event_id: str, window: Window, user: str | None, report: Report = lambda *_: None
) -> Explanation:
    """Look for the event. Raises `KafkaUnreachable`, `KafkaRefusal`, `MetadataError` and `StateError`."""
    settings = installation.settings
    before = _before(installation)
    with ExitStack() as stack:
        search = installation.open_search(report)
        stack.callback(search.close)
        counts = search.topics()
        places = _places(settings, counts)
        resolver = stack.enter_context(installation.open_schemas())
        destinations, unread = _destinations(settings)
        sighter = Sighter(event_id, resolver, routing_of(settings), destinations, places)
        looking = _Looking(search, sighter, event_id.encode())
        currents = {topic: counts[topic] for topic, place in places.items() if place[0] == "currents"}
        keys = {user.encode()} if user else set[bytes | None]()
        looking.look(_partitions(currents, keys), window.since_ms, window.until_ms)
        keys |= looking.keys
        ours = {topic: counts[topic] for topic, place in places.items() if place[0] != "currents"}
        looking.look(_partitions(ours, keys), window.since_ms)
        audit = _partitions({settings.topics.audit: counts.get(settings.topics.audit, 0)}, ())
        known = replace(
            before,
            now_ms=installation.clock.epoch_ms(),
            receipts=_receipts(search, audit, window.since_ms, looking.sightings),
            earliest={span.partition: span.earliest for span in looking.spans},
            letter_topics={topic: place[1:] for topic, place in places.items() if place[0] == "letter"},
        )
    wanted = {settings.topics.audit, settings.topics.dead_letter_source, *_wanted(settings)}
    return Explanation(
        stories=stories(event_id, looking.sightings, known),
        topics=len({span.partition[0] for span in looking.spans}),
        offsets=sum(max(0, span.end - span.start) for span in looking.spans),
        gaps=_gaps(looking.spans),
        missing=sorted(wanted - counts.keys()),
        orphaned=_orphaned(settings, counts, places),
        by_key=bool(keys) and all(keys),
        is_cut=looking.is_cut,
        unread=unread,
    )


def _before(installation: Installation) -> Known:
    """How things stood before the search. What was committed by then was settled, so its fate can be seen."""
    settings, accounts = installation.settings, Accounts(installation)
    return Known(
        now_ms=0,
        sinks={name: _offsets(accounts.sink_commits(name)) for name in settings.connectors},
        router=_offsets(accounts.router_commits()),
        standings=standings_of(installation, [*settings.connectors, SOURCE]),
        rules={connector.name: Rules(connector.grace_seconds) for connector in settings.connectors.values()},
    )


class _Looking:
    """One search after the other, and what was seen in all."""

    def __init__(self, search: Search, sighter: Sighter, needle: bytes) -> None:
        self._search = search
        self._sighter = sighter
        self._needle = needle
        self.sightings: list[Sighting] = []
        self.spans: list[Span] = []
        self.keys: set[bytes | None] = set()
        self.is_cut = False

    def look(self, partitions: Iterable[Partition], since_ms: int, until_ms: int | None = None) -> None:
        spans = self._search.spans(partitions, since_ms, until_ms)
        self.spans += spans
        for found in self._search.holding(self._needle, spans):
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
        for scope in connector.scopes:
            yield settings.topics.dead_letter_credentials(connector.name, scope)


def _orphaned(settings: Settings, topics: Collection[str], places: Collection[str]) -> list[str]:
    prefixes = (settings.topics.connector(""), settings.topics.dead_letters)
    return sorted(topic for topic in topics if topic.startswith(prefixes) and topic not in places)


def _destinations(settings: Settings) -> tuple[dict[str, Destination], dict[str, str]]:
    """The destinations, and the connectors that cannot be built, with the reason."""
    destinations, unread = {}, {}
    for name, connector in settings.connectors.items():
        try:
            destinations[name] = connector.build()
        except ValueError as error:
            unread[name] = str(error)
    return destinations, unread


def _receipts(
    search: Search, partitions: Iterable[Partition], since_ms: int, sightings: Sequence[Sighting]
) -> dict[str, list[Receipt]]:
    """The receipts that may mean one of these records, by connector."""
    receipts: dict[str, list[Receipt]] = {}
    room = RECEIPTS_MAX
    for found in search.holding(NEEDLE, search.spans(partitions, since_ms)):
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


def _gaps(spans: Iterable[Span]) -> dict[str, list[int]]:
    gaps: dict[str, list[int]] = {}
    for span in spans:
        if span.is_cut:
            gaps.setdefault(span.partition[0], []).append(span.partition[1])
    return gaps


def not_looked_at(found: Explanation, window: Window, user: str | None) -> list[str]:
    """Where the event may still be, in sentences."""
    began = "after this began" if window.until_ms is None else f"from {iso(window.until_ms)} on"
    sentences = [f"Currents records written before {iso(window.since_ms)} or {began} (around, since, until)"]
    for topic, numbers in found.gaps.items():
        sentences.append(f"records of {topic} that are deleted (partitions {', '.join(map(str, sorted(numbers)))})")
    if user is not None:
        sentences.append("Currents partitions where only a producer with another partitioner puts this user's key")
    if found.by_key:
        sentences.append("partitions of our topics other than those of the event's key")
    sentences += [f"{topic}: there is no such topic" for topic in found.missing]
    sentences += [f"{topic}: it belongs to nothing in the configuration" for topic in found.orphaned]
    sentences += [f"what {name} would skip: a secret cannot be read here: {why}" for name, why in found.unread.items()]
    sentences.append("values that cannot be decoded, unless their bytes contain the id")
    if found.is_cut:
        sentences.append("more records with this id: only the first that were seen are told")
    return sentences
