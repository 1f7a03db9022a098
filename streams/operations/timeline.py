"""States of a connector and of its credential scopes over time, from the lines of the audit. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from streams.state.audit import Answered, CredentialsChanged, Line, Stopped

KINDS = frozenset({"SUSPENDED", "suspend", "resume", "credentials INVALID", "credentials VALID"})
"""Lines that change a state."""
CONNECTOR = ""
"""Stands for the connector itself, beside the names of its scopes."""
_OTHER = {"RUNNING": "SUSPENDED", "SUSPENDED": "RUNNING", "VALID": "INVALID", "INVALID": "VALID"}


@dataclass(frozen=True, slots=True)
class Span:
    """A state from `begin_ms` to `end_ms` (ms since 1970)."""

    state: str
    begin_ms: int
    end_ms: int


def timelines(
    lines: Iterable[Line], now_states: Mapping[str, str], since_ms: int, now_ms: int
) -> dict[str, tuple[Span, ...]]:
    """The spans of each name in `now_states`: `CONNECTOR` and the scopes, with the state that each has now.

    Before the first line that is known, the state was the other one than the line says; without lines, the one of now.
    """
    changes: dict[str, list[tuple[int, str]]] = {name: [] for name in now_states}
    for line in sorted(lines, key=lambda one: one.at):
        change = _change(line)
        if change is not None and change[0] in changes:
            changes[change[0]].append((line.at, change[1]))
    return {name: _spans(changes[name], now, since_ms, now_ms) for name, now in now_states.items()}


def _change(line: Line) -> tuple[str, str] | None:
    """What the line changes, and to what."""
    match line:
        case CredentialsChanged():
            return line.scope, line.what.removeprefix("credentials ")
        case Stopped():
            return CONNECTOR, "SUSPENDED"
        case Answered(what="suspend", outcome="done"):
            return CONNECTOR, "SUSPENDED"
        case Answered(what="resume", outcome="done"):
            return CONNECTOR, "RUNNING"
        case _:
            return None


def _spans(changes: Sequence[tuple[int, str]], now: str, since_ms: int, now_ms: int) -> tuple[Span, ...]:
    state = _OTHER.get(changes[0][1], now) if changes else now
    spans, begin = [], since_ms
    for at, after in changes:
        if after == state:
            continue  # it was suspended twice, say
        if at > begin:
            spans.append(Span(state, begin, at))
        begin, state = max(at, since_ms), after
    return (*spans, Span(state, begin, now_ms))
