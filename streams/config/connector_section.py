"""Reads the `connectors` section: each connector by its destination, and what connectors have against each other."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from streams.config.connector import CONNECTOR_NAME_PATTERN, CommonKeys, CommonNotify, Connector, ConnectorKeys
from streams.config.document import Document, Path
from streams.config.explanation import explain, problem_at, suggestion
from streams.config.names import SOURCE
from streams.config.privacy import PrivacyKeys, privacy_problems
from streams.config.problems import Problem
from streams.delivery.account import router_metadata_bytes
from streams.delivery.metadata import KAFKA_METADATA_BYTES_MAX, same_ids
from streams.destinations import BROKEN, DestinationKind
from streams.events.catalogue import SelectionError, select

Registry = Mapping[str, DestinationKind]

SECTION = "connectors"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def connector_model(kind: DestinationKind) -> type[BaseModel]:
    """All keys of a connector to this destination: its own defaults win over the common ones."""
    common = CommonKeys if kind.is_received else ConnectorKeys
    return _model(f"{kind.name.capitalize()}Connector", kind.settings, common)


@cache
def _model(name: str, own: type[BaseModel], common: type[CommonKeys]) -> type[BaseModel]:
    return create_model(name, __base__=(own, _Strict, common), __doc__=own.__doc__)


@dataclass(frozen=True, slots=True)
class ConnectorSection:
    """The section of one document. Whatever is wrong in it is added to `problems`."""

    document: Document
    registry: Registry
    notify: CommonNotify
    context: dict[str, Any]
    problems: list[Problem]

    def connectors(self) -> dict[str, Connector]:
        """Every connector that is valid, by name."""
        sections = self.document.content.get(SECTION)
        if not sections and self.document.content.get("inlets"):  # events may be wanted on Kafka alone
            return {}
        if not isinstance(sections, Mapping) or not sections:
            fix = "must be a mapping of names to connectors, with at least one where there are no inlets"
            self._tell((SECTION,), fix, sections)
            return {}
        connectors = {}
        for name, section in sections.items():
            self._check_name(name)
            connector = self._connector(str(name), section)
            if connector is not None:
                connectors[connector.name] = connector
        self.problems.extend(self._conflicts(connectors.values()))
        self._check_counts({name for name, connector in connectors.items() if not connector.kind.is_received})
        return connectors

    def _tell(self, path: Path, fix: str, value: Any = None) -> None:
        self.problems.append(problem_at(self.document, path, fix, value))

    def _check_name(self, name: Any) -> None:
        path = (SECTION, name)
        if not isinstance(name, str) or not re.fullmatch(CONNECTOR_NAME_PATTERN, name):
            fix = "is not a valid connector name: a lower-case letter, then a-z, 0-9 and dashes, at most 40 characters"
            self._tell(path, fix)
        elif name == SOURCE:
            self._tell(path, f"is reserved: {SOURCE} stands for the router's dead letters; choose another name")

    def _check_counts(self, routed: Collection[str]) -> None:
        """Whether the router's counts of these connectors have room in a commit, and can be told apart."""
        needed = router_metadata_bytes(routed)
        if needed > KAFKA_METADATA_BYTES_MAX:
            fix = (
                f"are {len(routed)}: the router's counts of them may need {needed:,} bytes in a commit, and Kafka "
                f"takes {KAFKA_METADATA_BYTES_MAX:,} (offset.metadata.max.bytes); split them into two installations"
            )
            self._tell((SECTION,), fix)
        if alike := same_ids(routed):
            fix = f"{alike[0]} and {alike[1]} have one id in the router's commits; choose another name for one of them"
            self._tell((SECTION, alike[1]), fix)

    def _connector(self, name: str, section: Any) -> Connector | None:
        path = (SECTION, name)
        if not isinstance(section, Mapping):
            self._tell(path, "must be a mapping with at least destination")
            return None
        if self._is_mail_without_server(section):
            fix = "email is set, but no mail server: set smtp.host here or in notify at the top, or leave email out"
            self._tell((*path, "notify"), fix)
        kind = self._kind(section, path)
        if kind is None:
            return None
        if kind.is_received and "events" in section:
            fix = f"is not a key of a connector to {kind.name}: no event is routed to it; `receive` says what it takes"
            self._tell((*path, "events"), fix)
            section = {key: value for key, value in section.items() if key != "events"}
        keys = self._keys(section, kind, path)
        if keys is None:
            return None
        self._check_privacy(keys.privacy, kind, path)
        events = keys.events if isinstance(keys, ConnectorKeys) else None
        return Connector(
            name=name,
            kind=kind,
            settings=keys,
            event_types=self._selection(events, kind, path),
            rate_per_second=None if kind.is_received else keys.rate,  # theirs is of requests, and one of their limits
            grace_seconds=keys.grace,
            redrive_rate_per_second=keys.redrive_rate,
            flood_breaker=keys.flood_breaker,
            give_up_after_seconds=keys.retry.give_up_after,
            notify=keys.notify.resolved(self.notify, keys.contact),
            contact=keys.contact,
            privacy=keys.privacy,
        )

    def _kind(self, section: Mapping[str, Any], path: Path) -> DestinationKind | None:
        """The kind that `destination` names; None, and a problem, where it names none."""
        destination = section.get("destination")
        if isinstance(destination, str) and destination not in self.registry and destination in BROKEN:
            self._tell((*path, "destination"), BROKEN[destination], destination)
            return None
        if not isinstance(destination, str) or destination not in self.registry:
            known = suggestion(destination if isinstance(destination, str) else "", self.registry)
            fix = f"is missing. {known}" if destination is None else f"is not a destination. {known}"
            self._tell((*path, "destination"), fix, destination)
            self._check_common_keys(section, path)
            return None
        return self.registry[destination]

    def _keys(self, section: Mapping[str, Any], kind: DestinationKind, path: Path) -> CommonKeys | None:
        """The connector's keys; None, and every problem, where they are not valid."""
        model = connector_model(kind)
        try:
            keys = model.model_validate(section, context=self.context)
        except ValidationError as error:
            self.problems.extend(explain(error, model, self.document, path))
            patterns = section.get("events")
            if isinstance(patterns, list) and all(isinstance(pattern, str) for pattern in patterns):
                self._selection(patterns, kind, path)
            try:
                privacy = PrivacyKeys.model_validate(section.get("privacy", {}), context=self.context)
            except ValidationError:  # told with the others
                return None
            self._check_privacy(privacy, kind, path)
            return None
        assert isinstance(keys, CommonKeys)
        return keys

    def _check_privacy(self, privacy: PrivacyKeys, kind: DestinationKind, path: Path) -> None:
        for place, fix, value in privacy_problems(privacy, kind):
            self._tell((*path, "privacy", *place), fix, value)

    def _conflicts(self, connectors: Collection[Connector]) -> Iterator[Problem]:
        """What connectors of one kind have against each other."""
        for kind in dict.fromkeys(connector.kind for connector in connectors):
            alike = {connector.name: connector.settings for connector in connectors if connector.kind is kind}
            for sentence in kind.conflicts(alike):
                place, _, fix = sentence.partition(": ")
                yield problem_at(self.document, tuple(place.split(".")), fix)

    def _is_mail_without_server(self, section: Mapping[str, Any]) -> bool:
        """Whether a connector asks for mail that no server takes; by what is written, right or wrong."""
        own, common = section.get("notify"), self.document.content.get("notify")
        if not isinstance(own, Mapping) or not own.get("email"):
            return False
        servers = [place.get("smtp") for place in (own, common) if isinstance(place, Mapping)]
        return not any(isinstance(server, Mapping) and server.get("host") for server in servers)

    def _check_common_keys(self, section: Mapping[str, Any], path: Path) -> None:
        """The keys that every connector has, where it is unknown which other keys it may have."""
        known = ConnectorKeys.model_fields.keys() - {"destination"}
        common = {key: value for key, value in section.items() if key in known}
        try:
            ConnectorKeys.model_validate({"destination": "", **common}, context=self.context)
        except ValidationError as error:
            self.problems.extend(explain(error, ConnectorKeys, self.document, path))

    def _selection(self, patterns: Sequence[str] | None, kind: DestinationKind, path: Path) -> frozenset[str]:
        """Event types that the patterns select; each is tried alone, so that each mistake has its place."""
        if patterns is None:
            return kind.default_selection
        selected: frozenset[str] = frozenset()
        for index, pattern in enumerate(patterns):
            try:
                selected |= select([pattern], kind.event_types)
            except SelectionError as error:
                self._tell((*path, "events", index), str(error), pattern)
        return selected
