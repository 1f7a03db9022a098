"""Collects what happened to an event: reads the state first, then searches the topics."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from streams.config import Settings
from streams.config.names import SOURCE
from streams.delivery.contract import Destination
from streams.delivery.partitioner import partition_of
from streams.operations.accounts import Accounts
from streams.operations.errors import BadRequest
from streams.operations.explain.receipts import NEEDLE, Receipt, receipt_of
from streams.operations.explain.sightings import Place, Sighter
from streams.operations.explain.story import Known, Sighting, Story, stories
from streams.operations.forgetting.known import forgotten_users
from streams.operations.installation import Installation
from streams.operations.state_views import state_views_of
from streams.ports.cluster import Commit
from streams.ports.kafka import Partition
from streams.ports.search import Found, Search, Span
from streams.state.credentials import Rules
from streams.state.moments import iso, parse_moment
from streams.state.records import CREDENTIALS, REJECTED
from streams.workers.router.routes import routing_of, source_topics

SIGHTINGS_MAX = 1_000
"""The most records that are told of one event. Memory is limited, and all of Braze's own samples have one id."""
DEFAULT_MS = 3_600_000
"""How far back records are looked for if nothing else is said."""
AROUND_MS = 1_800_000
EVENT_ID_CHARACTERS_MAX = 500
RECEIPTS_MAX = 10_000
"""The most receipts that may be about the event. A person's purge writes one for each of its transactions."""


@dataclass(frozen=True, slots=True)
class Window:
    """Times of writing, in ms since 1970. `until` is exclusive; None means up to the end."""

    since_ms: int
    until_ms: int | None


def window_of(around: str | None, since: str | None, until: str | None, now_ms: int) -> Window:
    """The times that a person types; by default the hour before. Raises `BadRequest` that names the field."""
    if around is not None:
        if since is not None or until is not None:
            raise BadRequest("sets both ends: do not give since or until", field="around")
        middle = _moment("around", around, now_ms)
        return Window(middle - AROUND_MS, middle + AROUND_MS)
    end = None if until is None else _moment("until", until, now_ms)
    begin = (end or now_ms) - DEFAULT_MS if since is None else _moment("since", since, now_ms)
    if begin >= (now_ms if end is None else end):
        raise BadRequest("must be before until, and both in the past", field="since")
    return Window(begin, end)


def require_event_id(event_id: str) -> None:
    """Raises `BadRequest` for text that is the id of no event."""
    if not event_id.strip() or len(event_id) > EVENT_ID_CHARACTERS_MAX:
        raise BadRequest("EVENT_ID must be the `id` of an event, such as a UUID")


def _moment(field: str, text: str, now_ms: int) -> int:
    try:
        return parse_moment(text, now_ms)
    except ValueError as error:
        raise BadRequest(str(error), field=field) from None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The stories, how much was searched, and where the event may still be."""

    stories: Sequence[Story]
    topics: int
    offsets: int
    gaps: Mapping[str, Collection[int]]
    """Topics whose oldest records in the window are already deleted."""
    missing: Sequence[str]
    orphaned: Sequence[str]
    by_key: bool
    """Whether only the partitions of the event's key were searched, in our own topics."""
    is_cut: bool
    """Whether more records were found than are told."""
    unread: Mapping[str, str]
    """Connectors whose secrets cannot be read here, and why."""


Report = Callable[[int, int], None]
"""Called from time to time with the offsets searched so far, and with all offsets."""


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
        forgotten = forgotten_users(installation)
        sighter = Sighter(event_id, resolver, routing_of(settings), destinations, places, forgotten)
        looking = _Searches(search, sighter, event_id.encode())
        keys = _look_everywhere(looking, counts, places, window, user)
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


def _look_everywhere(
    looking: _Searches, counts: Mapping[str, int], places: Mapping[str, Place], window: Window, user: str | None
) -> set[bytes | None]:
    """Look in the Currents topics first: the keys that are seen there say where to look in ours. Gives all keys."""
    currents = {topic: counts[topic] for topic, place in places.items() if place[0] == "currents"}
    keys = {user.encode()} if user else set[bytes | None]()
    looking.look(_partitions(currents, keys), window.since_ms, window.until_ms)
    keys |= looking.keys
    ours = {topic: counts[topic] for topic, place in places.items() if place[0] != "currents"}
    looking.look(_partitions(ours, keys), window.since_ms)
    return keys


def _before(installation: Installation) -> Known:
    """The state before the search. Records that were committed by then are settled, so the search can find what
    happened."""
    settings, accounts = installation.settings, Accounts(installation)
    return Known(
        now_ms=0,
        sinks={name: _offsets(accounts.sink_commits(name)) for name in settings.connectors},
        router=_offsets(accounts.router_commits()),
        views=state_views_of(installation, [*settings.connectors, SOURCE]),
        rules={connector.name: Rules(connector.grace_seconds) for connector in settings.connectors.values()},
    )


class _Searches:
    """Makes one search after the other, and collects what they find."""

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
    """What each searched topic holds."""
    names = settings.topics
    places: dict[str, Place] = {}
    for topic in sorted(source_topics(topics, settings.source_topics, settings.kafka.topic_prefix)):
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
    """The receipts that may be about one of these records, by connector."""
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
    end = "after this command began" if window.until_ms is None else f"from {iso(window.until_ms)} on"
    sentences = [f"Currents records written before {iso(window.since_ms)}, or {end} (--around, --since, --until)"]
    for topic, numbers in found.gaps.items():
        sentences.append(f"records of {topic} that are deleted (partitions {', '.join(map(str, sorted(numbers)))})")
    if user is not None:
        sentences.append("other Currents partitions, where a producer with another partitioner may put this user's key")
    if found.by_key:
        sentences.append("partitions of our topics other than those of the event's key")
    sentences += [f"{topic}: there is no such topic" for topic in found.missing]
    sentences += [f"{topic}: it belongs to nothing in the configuration" for topic in found.orphaned]
    sentences += [f"what {name} would skip: a secret cannot be read here: {why}" for name, why in found.unread.items()]
    sentences.append("values that cannot be decoded, unless their bytes contain the id")
    if found.is_cut:
        sentences.append("more records with this id: only the first ones that were found are shown")
    return sentences
