"""Loads the configuration file: YAML and environment to frozen settings, or every problem at once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from streams.config.connector import CONNECTOR_NAME_PATTERN, CommonNotify, Connector, ConnectorKeys
from streams.config.document import Document, dotted, parse
from streams.config.explanation import explain, shown, suggestion
from streams.config.http import Http
from streams.config.kafka import Kafka
from streams.config.names import SOURCE, Groups, Topics
from streams.config.problems import ConfigurationError, Problem
from streams.config.source import Source
from streams.delivery.account import KAFKA_METADATA_BYTES_MAX, router_metadata_bytes, same_ids
from streams.destinations import BROKEN, REGISTRY, DestinationKind
from streams.events.catalogue import SelectionError, select

Registry = Mapping[str, DestinationKind]
Model = TypeVar("Model", bound=BaseModel)

SECTIONS = ("kafka", "source", "http", "notify", "connectors")


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration, checked."""

    kafka: Kafka
    source: Source
    connectors: Mapping[str, Connector]
    http: Http = Http()  # noqa: RUF009 - frozen
    topics: Topics = field(init=False)
    groups: Groups = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "topics", Topics(self.kafka.topic_prefix))
        object.__setattr__(self, "groups", Groups(self.kafka.topic_prefix))


def load(
    path: str | Path,
    environment: Mapping[str, str] | None = None,
    *,
    registry: Registry = REGISTRY,
    reads_secrets: bool = True,
) -> Settings:
    """Settings from a YAML file. Raises `ConfigurationError` with every problem at once.

    Without `reads_secrets` variables and files of secrets may be missing here: they fail where they are used.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigurationError([Problem("", f"{path} is not UTF-8")], str(path)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ConfigurationError([Problem("", f"cannot read {path}: {reason}")], str(path)) from None
    try:
        return loads(text, environment, registry=registry, reads_secrets=reads_secrets)
    except ConfigurationError as error:
        raise ConfigurationError(error.problems, str(path)) from None


def loads(
    text: str,
    environment: Mapping[str, str] | None = None,
    *,
    registry: Registry = REGISTRY,
    reads_secrets: bool = True,
) -> Settings:
    """Settings from the text of a YAML file; see `load`."""
    document = parse(text)
    problems = list(document.problems)
    context = {
        "environment": os.environ if environment is None else environment,
        "reads_secrets": reads_secrets,
    }
    content = document.content
    problems += [
        _problem(document, (key,), f"is no section; {suggestion(str(key), SECTIONS)}")
        for key in content
        if key not in SECTIONS
    ]
    kafka = _section(Kafka, document, "kafka", context, problems)
    source = _section(Source, document, "source", context, problems)
    if kafka is not None and source is not None and source.topic_prefix.startswith(kafka.topic_prefix):
        fix = f"must not begin with kafka.topic_prefix, {kafka.topic_prefix}: our own topics are no source"
        problems.append(_problem(document, ("source", "topic_prefix"), fix, source.topic_prefix))
    http = _section(Http, document, "http", context, problems)
    notify = _section(CommonNotify, document, "notify", context, problems)
    connectors = _connectors(document, registry, notify or CommonNotify(), context, problems)
    if problems or kafka is None or source is None or http is None:
        raise ConfigurationError(sorted(problems, key=lambda problem: problem.line or 0))
    return Settings(kafka, source, connectors, http)


def readable_options(path: str | Path, *, reads_secrets: bool = True) -> Kafka | None:
    """A `kafka` section that holds only the options of this file; None where they cannot be used. For a broken file."""
    try:
        section = parse(Path(path).read_text(encoding="utf-8-sig")).content.get("kafka")
        options = section.get("options") if isinstance(section, Mapping) else None
        context = {"environment": os.environ, "reads_secrets": reads_secrets}
        alone = {"bootstrap_servers": "localhost:9092", "options": {} if options is None else options}
        return Kafka.model_validate(alone, context=context)
    except (OSError, ValueError):  # told already: a ConfigurationError and a ValidationError are ValueErrors
        return None


def connector_model(kind: DestinationKind) -> type[BaseModel]:
    """All keys of a connector to this destination: its own defaults win over the common ones."""
    return _model(f"{kind.name.capitalize()}Connector", kind.settings)


@cache
def _model(name: str, own: type[BaseModel]) -> type[BaseModel]:
    return create_model(name, __base__=(own, _Strict, ConnectorKeys), __doc__=own.__doc__)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _section(
    model: type[Model], document: Document, key: str, context: dict[str, Any], problems: list[Problem]
) -> Model | None:
    section = document.content.get(key)
    try:
        return model.model_validate({} if section is None else section, context=context)
    except ValidationError as error:
        problems += explain(error, model, document, (key,))
    return None


def _connectors(
    document: Document, registry: Registry, notify: CommonNotify, context: dict[str, Any], problems: list[Problem]
) -> dict[str, Connector]:
    sections = document.content.get("connectors")
    if not isinstance(sections, Mapping) or not sections:
        fix = "must be a mapping of names to connectors, with at least one"
        problems.append(_problem(document, ("connectors",), fix, sections))
        return {}
    connectors = {}
    for name, section in sections.items():
        if not isinstance(name, str) or not re.fullmatch(CONNECTOR_NAME_PATTERN, name):
            fix = "is no connector's name: a lower-case letter, then a-z, 0-9 and dashes, 40 at most"
            problems.append(_problem(document, ("connectors", name), fix))
        elif name == SOURCE:
            fix = f"is reserved: {SOURCE} stands for the router's dead letters; choose another name"
            problems.append(_problem(document, ("connectors", name), fix))
        connector = _connector(str(name), section, document, registry, notify, context, problems)
        if connector is not None:
            connectors[connector.name] = connector
    needed = router_metadata_bytes(connectors)
    if needed > KAFKA_METADATA_BYTES_MAX:
        fix = (
            f"are {len(connectors)}: the router's counts of them may need {needed:,} bytes in a commit, and Kafka "
            f"takes {KAFKA_METADATA_BYTES_MAX:,} (offset.metadata.max.bytes); divide them among two installations"
        )
        problems.append(_problem(document, ("connectors",), fix))
    if alike := same_ids(connectors):
        fix = f"{alike[0]} and {alike[1]} have one id in the router's commits; choose another name for one of them"
        problems.append(_problem(document, ("connectors", alike[1]), fix))
    return connectors


def _connector(
    name: str,
    section: Any,
    document: Document,
    registry: Registry,
    notify: CommonNotify,
    context: dict[str, Any],
    problems: list[Problem],
) -> Connector | None:
    path = ("connectors", name)
    if not isinstance(section, Mapping):
        problems.append(_problem(document, path, "must be a mapping with at least destination"))
        return None
    if _is_mail_without_server(section, document):
        fix = "email is set, but no mail server: set smtp.host here or in notify at the top, or leave email out"
        problems.append(_problem(document, (*path, "notify"), fix))
    destination = section.get("destination")
    if isinstance(destination, str) and destination not in registry and destination in BROKEN:
        problems.append(_problem(document, (*path, "destination"), BROKEN[destination], destination))
        return None
    if not isinstance(destination, str) or destination not in registry:
        there_is = suggestion(destination if isinstance(destination, str) else "", registry)
        fix = f"is missing. {there_is}" if destination is None else f"is no destination; {there_is}"
        problems.append(_problem(document, (*path, "destination"), fix, destination))
        _common_problems(section, document, path, context, problems)
        return None
    kind = registry[destination]
    model = connector_model(kind)
    try:
        keys = model.model_validate(section, context=context)
    except ValidationError as error:
        problems += explain(error, model, document, path)
        patterns = section.get("events")
        if isinstance(patterns, list) and all(isinstance(pattern, str) for pattern in patterns):
            _selection(patterns, kind, document, path, problems)
        return None
    assert isinstance(keys, ConnectorKeys)
    return Connector(
        name=name,
        kind=kind,
        settings=keys,
        event_types=_selection(keys.events, kind, document, path, problems),
        rate_per_second=keys.rate,
        grace_seconds=keys.grace,
        redrive_rate_per_second=keys.redrive_rate,
        flood_breaker=keys.flood_breaker,
        give_up_after_seconds=keys.retry.give_up_after,
        notify=keys.notify.resolved(notify, keys.contact),
        contact=keys.contact,
    )


def _is_mail_without_server(section: Mapping[str, Any], document: Document) -> bool:
    """Whether a connector asks for mail that no server takes; by what is written, right or wrong."""
    own, common = section.get("notify"), document.content.get("notify")
    if not isinstance(own, Mapping) or not own.get("email"):
        return False
    servers = [place.get("smtp") for place in (own, common) if isinstance(place, Mapping)]
    return not any(isinstance(server, Mapping) and server.get("host") for server in servers)


def _common_problems(
    section: Mapping[str, Any],
    document: Document,
    path: tuple[str, str],
    context: dict[str, Any],
    problems: list[Problem],
) -> None:
    """What is wrong with the keys that every connector has, where it is unknown which other keys it may have."""
    known = ConnectorKeys.model_fields.keys() - {"destination"}
    common = {key: value for key, value in section.items() if key in known}
    try:
        ConnectorKeys.model_validate({"destination": "", **common}, context=context)
    except ValidationError as error:
        problems += explain(error, ConnectorKeys, document, path)


def _selection(
    patterns: Sequence[str] | None,
    kind: DestinationKind,
    document: Document,
    path: tuple[str, str],
    problems: list[Problem],
) -> frozenset[str]:
    """Event types that the patterns select; each is tried alone, so that each mistake has its place."""
    if patterns is None:
        return kind.default_selection
    selected: frozenset[str] = frozenset()
    for index, pattern in enumerate(patterns):
        try:
            selected |= select([pattern], kind.event_types)
        except SelectionError as error:
            problems.append(_problem(document, (*path, "events", index), str(error), pattern))
    return selected


def _problem(document: Document, path: tuple[str | int, ...], fix: str, value: Any = None) -> Problem:
    return Problem(dotted(path), fix, None if value is None else shown(path, value), document.line(path))
