"""Reads YAML strictly: syntax errors with their place, duplicate keys, and the line of every path."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from streams.config.problems import ConfigurationError, Problem

DOCUMENT_BYTES_MAX = 1_000_000
"""A configuration is some kilobytes; more is the wrong file."""

Path = tuple[Any, ...]
"""Keys and list positions from the top of the document."""


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed document. `lines` gives the line (from 1) where each path begins."""

    content: dict[str, Any] = field(repr=False)
    lines: dict[Path, int]
    problems: tuple[Problem, ...]

    def line(self, path: Path) -> int | None:
        """The line of this path, else of the nearest place around it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return None


def parse(text: str) -> Document:
    """Parse one YAML document, a mapping. Raises `ConfigurationError` where nothing can be read of it."""
    if len(text) > DOCUMENT_BYTES_MAX:
        raise ConfigurationError(
            [Problem("", f"is longer than {DOCUMENT_BYTES_MAX} characters: is it the right file?")]
        )
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        raise ConfigurationError([_syntax_problem(error)]) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigurationError([Problem("", f"is not valid YAML: {type(error).__name__}")]) from None
    except RecursionError:
        raise ConfigurationError([Problem("", "is nested too deeply")]) from None
    if content is None:
        raise ConfigurationError([Problem("", "is empty: it needs at least kafka and connectors")])
    if root is None or not isinstance(content, dict):
        raise ConfigurationError([Problem("", "must be a mapping with kafka, source, http and connectors")])
    lines: dict[Path, int] = {}
    problems: list[Problem] = []
    _walk(root, (), lines, problems, set())
    return Document(content, lines, tuple(problems))


def dotted(path: Path) -> str:
    """A path as people write it: `connectors.growth-mixpanel.events[0]`."""
    text = ""
    for element in path:
        text += f"[{element}]" if isinstance(element, int) else f".{element}" if text else str(element)
    return text


def _syntax_problem(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    # A value in the sentence (the name of an alias or a tag) may be a secret that lacks its quotes.
    sentence = re.sub(r"'(?!<)[^']{2,}'", "…", error.problem or "it cannot be read")
    where = "" if mark is None else f" at line {mark.line + 1}, column {mark.column + 1}"
    return Problem("", f"is not valid YAML{where}: {sentence}", line=None)


def _walk(node: yaml.Node, path: Path, lines: dict[Path, int], problems: list[Problem], seen: set[int]) -> None:
    if id(node) in seen:  # an alias: walked where it is anchored, and it may contain itself
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*path, index)] = item.start_mark.line + 1
            _walk(item, (*path, index), lines, problems, seen)
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
            continue
        place = (*path, key.value)
        line = key.start_mark.line + 1
        if place in lines:
            problems.append(
                Problem(
                    dotted(place),
                    f"occurs twice, first on line {lines[place]}: keep one of the two",
                    line=line,
                )
            )
        lines[place] = line
        _walk(value, place, lines, problems, seen)
