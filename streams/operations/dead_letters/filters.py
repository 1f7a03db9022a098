"""The filters that a person types, and the selection of letters that they describe."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from streams.events.catalogue import canonical_name
from streams.operations.dead_letters.topics import DeadLetters
from streams.operations.errors import BadRequest
from streams.state.moments import parse_moment
from streams.state.selection import Selection

_FINGERPRINT = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Filters:
    """A letter must match all filters that are given. `since` and `until` are times of parking, as people type them."""

    causes: Sequence[str] = ()
    since: str | None = None
    until: str | None = None
    event_types: Sequence[str] = ()
    fingerprints: Sequence[str] = ()
    event_ids: Sequence[str] = ()
    limit: int | None = None
    scope: str | None = None
    again: bool = False

    @property
    def is_empty(self) -> bool:
        return self == Filters()


def selection_of(dead: DeadLetters, filters: Filters, now_ms: int) -> Selection:
    """Raises `BadRequest` that names the field and says what would be right."""
    letters = dead.letters_of(filters.scope)
    for cause in filters.causes:
        _check_cause(dead, cause, filters.scope)
    for fingerprint in filters.fingerprints:
        check_fingerprint(fingerprint)
    if filters.scope is not None:
        _check_prefix(filters)
        return Selection(letters=letters, until=_moment("until", filters.until, now_ms))
    selection = Selection(
        letters=letters,
        causes=tuple(filters.causes),
        since=_moment("since", filters.since, now_ms),
        until=_moment("until", filters.until, now_ms),
        event_types=tuple(_event_type(name) for name in filters.event_types),
        fingerprints=tuple(filters.fingerprints),
        event_ids=tuple(filters.event_ids),
        limit=filters.limit,
        again=filters.again,
    )
    if selection.since is not None and selection.until is not None and selection.since >= selection.until:
        raise BadRequest(f"{filters.since} is not before {filters.until}", fields=("since", "until"))
    return selection


def check_fingerprint(fingerprint: str) -> None:
    """Raises `BadRequest` if this is not a fingerprint."""
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise BadRequest(
            f"{fingerprint} is not a fingerprint: it must be 16 hex digits, from `streams dlq top --by-type`",
            field="fingerprint",
        )


def _moment(field: str, text: str | None, now_ms: int) -> int | None:
    try:
        return None if text is None else parse_moment(text, now_ms)
    except ValueError as error:
        raise BadRequest(str(error), field=field) from None


def _check_cause(dead: DeadLetters, cause: str, scope: str | None) -> None:
    if cause not in dead.causes:
        there_are = ", ".join(dead.causes)
        raise BadRequest(f"letters of {dead.name} have no cause {cause}. Causes: {there_are}", field="cause")
    if cause == "credentials" and scope is None:
        scopes = ", ".join(dead.scopes)
        raise BadRequest(
            f"letters of credentials: give their scope, and until when they were parked. Scopes: {scopes}",
            fields=("cause", "scope", "until"),
        )
    if cause != "credentials" and scope is not None:
        raise BadRequest(f"its letters all have the cause credentials, none has {cause}", field="scope")


def _check_prefix(filters: Filters) -> None:
    others = {
        "since": filters.since,
        "event-type": filters.event_types,
        "fingerprint": filters.fingerprints,
        "event-id": filters.event_ids,
        "limit": filters.limit,
        "again": filters.again,
    }
    for field, value in others.items():
        if value:
            raise BadRequest(
                "letters of a scope are sent in order: only the time until which they were parked can be given",
                field=field,
            )
    if filters.until is None:
        raise BadRequest(
            "letters of a scope need the time until which they were parked: a day, a time, or 0s for all of now",
            fields=("scope", "until"),
        )


def _event_type(name: str) -> str:
    return name if any(mark in name for mark in "*?[") else canonical_name(name)
