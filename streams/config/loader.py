"""Loads the configuration file: YAML and environment to frozen settings, or every problem at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from streams.config.connector import CommonNotify, Connector
from streams.config.connector_section import ConnectorSection, Registry
from streams.config.console import Console
from streams.config.document import Document, parse
from streams.config.explanation import explain, problem_at, suggestion
from streams.config.http import Http
from streams.config.inlet_section import inlets_of, roomy
from streams.config.inlets import HttpInlet, Inlet, StorageInlet
from streams.config.kafka import Kafka
from streams.config.names import Groups, Topics
from streams.config.problems import ConfigurationError, Problem
from streams.config.receiver import Entries, Receiver, entries_of
from streams.config.source import Source
from streams.destinations import REGISTRY

Model = TypeVar("Model", bound=BaseModel)

SECTIONS = ("kafka", "source", "http", "notify", "receiver", "console", "inlets", "connectors")


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration, checked."""

    kafka: Kafka
    source: Source
    connectors: Mapping[str, Connector]
    http: Http = Http()  # noqa: RUF009 - frozen
    receiver: Receiver = Receiver()  # noqa: RUF009 - frozen
    console: Console = Console()  # noqa: RUF009 - frozen
    inlets: Mapping[str, Inlet] = field(default_factory=dict)
    topics: Topics = field(init=False)
    groups: Groups = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "topics", Topics(self.kafka.topic_prefix))
        object.__setattr__(self, "groups", Groups(self.kafka.topic_prefix))

    @property
    def entries(self) -> Entries:
        """What the receiver serves, by connector; none where nothing is received."""
        return entries_of(self.connectors)

    @property
    def storage_inlets(self) -> Mapping[str, StorageInlet]:
        """What `streams run ingest` reads."""
        return {name: inlet for name, inlet in self.inlets.items() if isinstance(inlet, StorageInlet)}

    @property
    def http_inlets(self) -> Mapping[str, HttpInlet]:
        """What the receiver serves under `/currents`."""
        return {name: inlet for name, inlet in self.inlets.items() if isinstance(inlet, HttpInlet)}

    def inlet_prefix(self, inlet: Inlet) -> str:
        """What stands before the event type in the names of the topics that this inlet writes."""
        own = inlet.topic_prefix if isinstance(inlet, HttpInlet) else None
        return own or self.source.topic_prefix

    @property
    def receives(self) -> bool:
        """Whether there is anything for the receiver: entries of connectors, or HTTP inlets."""
        return bool(self.entries or self.http_inlets)

    @property
    def routed(self) -> Mapping[str, Connector]:
        """Connectors that the router fills from Currents topics."""
        return {name: connector for name, connector in self.connectors.items() if not connector.kind.is_received}

    @property
    def needs_router(self) -> bool:
        """Whether a router has work: events to route, or dead letters of `source` to keep, which HTTP inlets write."""
        return bool(self.routed or self.http_inlets)

    @property
    def source_topics(self) -> tuple[str, ...]:
        """Names and patterns of the Currents topics that are read: none where nothing is routed."""
        return self.source.topics if self.routed else ()


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
        problem_at(document, (key,), f"is not a section. {suggestion(str(key), SECTIONS)}")
        for key in content
        if key not in SECTIONS
    ]
    kafka = _section(Kafka, document, "kafka", context, problems)
    source = _section(Source, document, "source", context, problems)
    if kafka is not None and source is not None and source.topic_prefix.startswith(kafka.topic_prefix):
        fix = f"must not begin with kafka.topic_prefix, {kafka.topic_prefix}: our own topics are no source"
        problems.append(problem_at(document, ("source", "topic_prefix"), fix, source.topic_prefix))
    http = _section(Http, document, "http", context, problems)
    notify = _section(CommonNotify, document, "notify", context, problems)
    receiver = _section(Receiver, document, "receiver", context, problems)
    inlets = inlets_of(document, kafka, context, problems)
    if receiver is not None:
        receiver = roomy(receiver, document, problems)
    # Its secrets are needed by the console alone, which reads them when it starts.
    console = _section(Console, document, "console", {**context, "reads_secrets": False}, problems)
    connector_section = ConnectorSection(document, registry, notify or CommonNotify(), context, problems)
    connectors = connector_section.connectors()
    if problems or kafka is None or source is None or http is None or receiver is None or console is None:
        raise ConfigurationError(sorted(problems, key=lambda problem: problem.line or 0))
    return Settings(kafka, source, connectors, http, receiver, console, inlets)


def readable_options(path: str | Path, *, reads_secrets: bool = True) -> Kafka | None:
    """A `kafka` section that holds only the options of this file; None where they cannot be used. For a broken file."""
    try:
        section = parse(Path(path).read_text(encoding="utf-8-sig")).content.get("kafka")
        options = section.get("options") if isinstance(section, Mapping) else None
        context = {"environment": os.environ, "reads_secrets": reads_secrets}
        alone = {"bootstrap_servers": "localhost:9092", "options": {} if options is None else options}
        if isinstance(section, Mapping) and section.get("group_protocol") == "consumer":
            alone["group_protocol"] = "consumer"  # its clients take other options
        return Kafka.model_validate(alone, context=context)
    except (OSError, ValueError):  # told already: a ConfigurationError and a ValidationError are ValueErrors
        return None


def _section(
    model: type[Model], document: Document, key: str, context: dict[str, Any], problems: list[Problem]
) -> Model | None:
    section = document.content.get(key)
    try:
        return model.model_validate({} if section is None else section, context=context)
    except ValidationError as error:
        problems += explain(error, model, document, (key,))
    return None
