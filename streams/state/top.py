"""Groups dead letters by fingerprint: what went wrong, and how often."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from streams.delivery.letter import (
    CAUSE_HEADER,
    FINGERPRINT_HEADER,
    VERDICT_HEADER,
    AnyHeaders,
    Verdict,
    header_of,
    normalised,
)
from streams.state.settled import SettledLetters

GROUPS_MAX = 10_000
"""Limits the memory. If there are more groups, the letters of the others are counted together, as `others`."""

_FINGERPRINT_PLACE, _VERDICT_PLACE = -6, -5
"""The places where `letter_headers` writes them. They are looked at first: a search over all headers costs as much as
reading them."""
_PARKED_AT = b'"parked_at":'
_FIRST_PARKED_AT = b'"first_parked_at":'
"""These bytes occur once in a verdict's JSON: inside a text, JSON writes a quote with a backslash."""


class Letter(Protocol):
    """The parts of a dead letter that grouping reads."""

    def offset(self) -> int: ...
    def headers(self) -> Any: ...


@dataclass(slots=True)
class Group:
    """Letters with one fingerprint. `message` is the normalised detail, `example` the place of the first one read.

    `first_ms` is when the first of them was parked for the first time, `last_ms` when one was parked last.
    `parked_again` of them came back after a replay or redrive.
    """

    fingerprint: str
    cause: str
    status: int
    message: str
    event_type: str
    example: str
    count: int = 0
    first_ms: int = 0
    last_ms: int = 0
    parked_again: int = 0

    def to_json(self, time: Callable[[int], str | None]) -> Mapping[str, Any]:
        return {
            "fingerprint": self.fingerprint,
            "cause": self.cause,
            "status": self.status,
            "message": self.message,
            "event_type": self.event_type,
            "count": self.count,
            "parked_again": self.parked_again,
            "first": time(self.first_ms),
            "last": time(self.last_ms),
            "example": self.example,
        }


@dataclass(frozen=True, slots=True)
class Trouble:
    """Groups that differ only in their event type, the largest first."""

    groups: tuple[Group, ...]

    @property
    def count(self) -> int:
        return sum(group.count for group in self.groups)

    @property
    def parked_again(self) -> int:
        return sum(group.parked_again for group in self.groups)

    @property
    def first_ms(self) -> int:
        return min(group.first_ms for group in self.groups)

    @property
    def last_ms(self) -> int:
        return max(group.last_ms for group in self.groups)

    @property
    def largest(self) -> Group:
        return self.groups[0]

    def to_json(self, time: Callable[[int], str | None]) -> Mapping[str, Any]:
        largest = self.largest
        return {
            "cause": largest.cause,
            "status": largest.status,
            "message": largest.message,
            "count": self.count,
            "parked_again": self.parked_again,
            "first": time(self.first_ms),
            "last": time(self.last_ms),
            "example": largest.example,
            "event_types": [
                {"event_type": group.event_type, "count": group.count, "fingerprint": group.fingerprint}
                for group in self.groups
            ],
        }


class Groups:
    """Counts letters one by one. Memory grows with the number of groups, not with the number of letters."""

    def __init__(self, event_type_of: Callable[[Any], str]) -> None:
        """`event_type_of` is called once for each group: all letters with one fingerprint have one event type."""
        self._event_type_of = event_type_of
        self._groups: dict[bytes, Group] = {}
        self.others = 0

    def take(self, letters: Iterable[Letter], place: str, settled: SettledLetters | None) -> None:
        """Count those letters of one partition that are not settled. `place` is `letters/partition`."""
        groups = self._groups
        for letter in letters:
            if settled is not None and letter.offset() in settled:
                continue
            headers = letter.headers() or ()
            mark, verdict = _marks(headers)
            group = groups.get(mark)
            if group is None:
                group = self._begin(letter, headers, mark, place)
                if group is None:
                    continue
            parked_ms = since_ms = _parked_ms(verdict)
            group.count += 1
            if _FIRST_PARKED_AT in verdict:
                group.parked_again += 1
                since_ms = (Verdict.from_header(verdict) or Verdict()).since_ms or parked_ms
            if since_ms < group.first_ms or not group.first_ms:
                group.first_ms = since_ms
            if parked_ms > group.last_ms:
                group.last_ms = parked_ms

    def most_first(self) -> list[Group]:
        """Largest groups first; of two equal ones the older first."""
        return sorted(self._groups.values(), key=lambda group: (-group.count, group.first_ms, group.fingerprint))

    def troubles(self) -> list[Trouble]:
        """The groups, combined over event types: one for each cause, status and message, the largest first."""
        found: dict[tuple[str, int, str], list[Group]] = {}
        for group in self.most_first():
            found.setdefault((group.cause, group.status, group.message), []).append(group)
        troubles = [Trouble(tuple(groups)) for groups in found.values()]
        return sorted(troubles, key=lambda one: (-one.count, one.first_ms, one.largest.fingerprint))

    def _begin(self, letter: Letter, headers: AnyHeaders, mark: bytes, place: str) -> Group | None:
        if len(self._groups) >= GROUPS_MAX:
            self.others += 1
            return None
        verdict = Verdict.from_header(header_of(headers, VERDICT_HEADER)) or Verdict()
        group = self._groups[mark] = Group(
            fingerprint=mark.decode("ascii", "replace"),
            cause=(header_of(headers, CAUSE_HEADER) or b"").decode("ascii", "replace"),
            status=verdict.status,
            message=normalised(verdict.detail),
            event_type=self._event_type_of(letter),
            example=f"{place}/{letter.offset()}",
        )
        return group


def _marks(headers: AnyHeaders) -> tuple[bytes, bytes]:
    """Fingerprint and verdict; empty if a letter has none."""
    try:
        name, mark = headers[_FINGERPRINT_PLACE]
        verdict_name, verdict = headers[_VERDICT_PLACE]
    except IndexError:
        name = verdict_name = ""
        mark = verdict = None
    if name != FINGERPRINT_HEADER or verdict_name != VERDICT_HEADER:
        mark, verdict = header_of(headers, FINGERPRINT_HEADER), header_of(headers, VERDICT_HEADER)
    return mark or b"", verdict or b""


def _parked_ms(verdict: bytes) -> int:
    """When the letter was parked; 0 if the verdict does not say. Reads the bytes without parsing the JSON."""
    begin = verdict.find(_PARKED_AT) + len(_PARKED_AT)
    end = verdict.find(b",", begin)
    try:
        return int(verdict[begin:end])
    except ValueError:
        parsed = Verdict.from_header(verdict)
        return 0 if parsed is None else parsed.parked_at_ms
