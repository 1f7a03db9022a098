"""Reads the `inlets` section: each inlet by its kind, and what inlets have against each other and the receiver."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from streams.config.connector import CONNECTOR_NAME_PATTERN
from streams.config.document import Document
from streams.config.explanation import explain, problem_at, suggestion
from streams.config.inlets import INLET_KINDS, MEMORY_BYTES_MIN, HttpInlet, Inlet, conflicts
from streams.config.kafka import Kafka
from streams.config.problems import Problem
from streams.config.receiver import Receiver

SECTION = "inlets"
_TELLING = frozenset({"kind", "url", "options", "tokens", "notify_queue"})
"""Keys that another inlet may have something against."""


def inlets_of(
    document: Document, kafka: Kafka | None, context: dict[str, Any], problems: list[Problem]
) -> dict[str, Inlet]:
    """Every inlet that is valid; what is wrong is added to `problems`."""
    sections = document.content.get(SECTION)
    if sections is None:
        return {}
    if not isinstance(sections, Mapping):
        problems.append(problem_at(document, (SECTION,), "must be a mapping of names to inlets", sections))
        return {}
    inlets: dict[str, Inlet] = {}
    compared: dict[str, Inlet] = {}
    for name, section in sections.items():
        path = (SECTION, name)
        if not isinstance(name, str) or not re.fullmatch(CONNECTOR_NAME_PATTERN, name):
            fix = "is not a valid inlet name: a lower-case letter, then a-z, 0-9 and dashes, at most 40 characters"
            problems.append(problem_at(document, path, fix))
        kind = _kind(section, document, path, problems)
        if kind is None:
            continue
        try:
            inlets[str(name)] = compared[str(name)] = kind.model_validate(section, context=context)
        except ValidationError as error:
            problems += explain(error, kind, document, path)
            if (part := _comparable(kind, section, context)) is not None:
                compared[str(name)] = part
    for conflict in conflicts(compared, reads_secrets=context["reads_secrets"]):
        problems.append(problem_at(document, (SECTION, *conflict.path), conflict.fix))
    problems += _own_topics(inlets, kafka, document)
    return inlets


def roomy(receiver: Receiver, document: Document, problems: list[Problem]) -> Receiver:
    """The receiver with room for what Braze sends, where an inlet is served by it."""
    sections = document.content.get(SECTION)
    kinds = (
        [one.get("kind") for one in sections.values() if isinstance(one, Mapping)]
        if isinstance(sections, Mapping)
        else []
    )
    if receiver.memory >= MEMORY_BYTES_MIN or "http" not in kinds:
        return receiver
    if "memory" in receiver.model_fields_set:
        fix = "must be at least 32MB where an inlet of kind http is: Braze's requests may have 16MB"
        problems.append(problem_at(document, ("receiver", "memory"), fix))
    return receiver.model_copy(update={"memory": MEMORY_BYTES_MIN})


def _kind(section: Any, document: Document, path: tuple[Any, ...], problems: list[Problem]) -> type[Inlet] | None:
    if not isinstance(section, Mapping):
        problems.append(problem_at(document, path, "must be a mapping with at least kind"))
        return None
    kind = section.get("kind")
    if isinstance(kind, str) and kind in INLET_KINDS:
        return INLET_KINDS[kind]
    known = suggestion(kind if isinstance(kind, str) else "", INLET_KINDS)
    fix = f"is missing. {known}" if kind is None else f"is not a kind of inlet. {known}"
    problems.append(problem_at(document, (*path, "kind"), fix, kind))
    return None


def _comparable(kind: type[Inlet], section: Mapping[str, Any], context: dict[str, Any]) -> Inlet | None:
    """As much of an inlet with mistakes as it takes to tell what others have against it."""
    part = {key: value for key, value in section.items() if key in _TELLING & kind.model_fields.keys()}
    try:
        return kind.model_validate(part, context=context)
    except ValidationError:
        return None


def _own_topics(inlets: Mapping[str, Inlet], kafka: Kafka | None, document: Document) -> list[Problem]:
    """Our own topics are no place for events."""
    return [
        problem_at(
            document,
            (SECTION, name, "topic_prefix"),
            f"must not begin with kafka.topic_prefix, {kafka.topic_prefix}: our own topics are no source",
            inlet.topic_prefix,
        )
        for name, inlet in inlets.items()
        if kafka is not None
        and isinstance(inlet, HttpInlet)
        and (inlet.topic_prefix or "").startswith(kafka.topic_prefix)
    ]
