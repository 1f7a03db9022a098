"""What becomes of a letter that a job takes: back onto its connector's topic, routed again, or purged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from streams.delivery.letter import (
    CAUSE_HEADER,
    ORIGIN_HEADER,
    Origin,
    foreign_headers,
    header_of,
    parked_from,
    returned_headers,
    verdict_of,
)
from streams.events.walker import MISSING, PRESENT
from streams.ports.kafka import Headers, Message
from streams.workers.keeper.jobs.http_letters import MappedAgain, came_over_http
from streams.workers.keeper.jobs.outcome import Leaves, Stays, Targets
from streams.workers.keeper.lease import Outgoing
from streams.workers.reading.schema_resolver import Unknown
from streams.workers.router.routes import Found, Route, Routes


class Way(Protocol):
    """Decides, and writes nothing."""

    @property
    def topics(self) -> Sequence[str]:
        """Where letters may go; each must exist."""
        ...

    def begin(self) -> None:
        """A job begins, or is carried on."""
        ...

    def of(self, letter: Message, job: str, again: bool, /) -> Leaves | Stays:
        """What becomes of a letter. `again`: it is settled, and this would be a copy.

        Raises `SchemasUnavailable` while that is unknown.
        """
        ...


class BackToConnector:
    """Onto the topic that the letter came from: key, value and foreign headers as they were."""

    def __init__(self, topic: str) -> None:
        self.topics = (topic,)
        self._topic = topic

    def begin(self) -> None:
        """Every letter goes the same way."""

    def of(self, letter: Message, job: str, again: bool, /) -> Leaves | Stays:
        headers = returned_headers(letter.headers() or [], job=job, again=again)
        return Leaves((Outgoing(self._topic, letter.key(), letter.value(), headers),))


class RoutedAgain:
    """As the router would route the record now: a schema may have been added, or a connector.

    What came over HTTP and could not be read is mapped again first, where `schemas_topic` says where the schemas of
    such events go.
    """

    def __init__(self, routes: Routes, schemas_topic: str = "") -> None:
        self._routes = routes
        self.topics = (*routes.topics, schemas_topic) if schemas_topic else routes.topics
        self._mapped = MappedAgain(routes, schemas_topic) if schemas_topic else None

    def begin(self) -> None:
        """A schema may have been added before this was ordered."""
        self._routes.ask_again()

    def of(self, letter: Message, job: str, again: bool, /) -> Leaves | Stays:
        if self._mapped is not None and came_over_http(letter):
            return self._mapped.of(letter, job, again)
        parked = parked_from(letter.headers() or [])
        headers = _as_read(letter.headers() or [], parked)
        found = self._routes.find(letter, "" if parked is None else parked.topic)
        if not isinstance(found, Found):
            return Stays("unknown-schema" if isinstance(found, Unknown) else "undecodable")
        route = found.route
        if route.skip is not None:
            return Leaves(skipped=route.skip)
        presence = route.presence(letter.value() or b"", found.start)
        if presence == PRESENT:
            targets = _owed(headers, route)
            if not targets:
                return Leaves(skipped="not_selected")
            kept = returned_headers(headers, job=job, again=True) if again else foreign_headers(headers)
            return _routed(letter, targets, [*kept, *_origin(parked), *found.added])
        return Leaves(skipped="no_external_user_id") if presence == MISSING else Stays("undecodable")


class Purged:
    """Nothing is written: the letter is purged."""

    topics: Sequence[str] = ()

    def begin(self) -> None:
        """Every letter goes the same way."""

    def of(self, _letter: Message, _job: str, _again: bool, /) -> Leaves | Stays:
        return Leaves()


def _as_read(headers: Headers, parked: Origin | None) -> Headers:
    """Without the origin that the router added when it parked; a foreign header of that name stays."""
    added = _origin(parked)
    places = [index for index, header in enumerate(headers) if header in added]
    return [header for index, header in enumerate(headers) if index not in places[-1:]]


def _origin(parked: Origin | None) -> Headers:
    """As the router adds it; a letter that does not say where it came from keeps what it has."""
    return [] if parked is None else [(ORIGIN_HEADER, parked.to_header())]


def _owed(headers: Headers, route: Route) -> Targets:
    """Where the letter goes: a refused one to the connectors alone that did not get the record."""
    verdict = verdict_of(headers)
    if header_of(headers, CAUSE_HEADER) != b"refused" or verdict is None:
        return route.targets
    names = verdict.scope.split(",")
    return tuple(target for target in route.targets if target[0] in names)


def _routed(letter: Message, targets: Targets, headers: Headers) -> Leaves:
    return Leaves(
        tuple(Outgoing(topic, letter.key(), letter.value(), headers) for _, topic in targets),
        {connector: 1 for connector, _ in targets},
    )
