"""The options by which letters are selected, and what they mean."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.errors import CommandError, ExitCode

if TYPE_CHECKING:
    from streams.cli.dlq.place import DeadLetters
    from streams.state.selection import Selection

Causes = Annotated[list[str] | None, typer.Option("--cause", metavar="CAUSE", help="Only letters with this cause.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="Parked at or after: a time, a day, or `2h` for ago.")
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="Parked before: a time, a day, or `2h` for ago.")
]
EventTypes = Annotated[
    list[str] | None, typer.Option("--event-type", metavar="TYPE", help="Only this event type, or glob in quotes.")
]
Fingerprints = Annotated[
    list[str] | None, typer.Option("--fingerprint", metavar="DIGITS", help="Only this group of `dlq top`.")
]
EventIds = Annotated[list[str] | None, typer.Option("--event-id", metavar="ID", help="Only the event with this id.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="At most so many letters.")]

_FINGERPRINT = re.compile(r"[0-9a-f]{16}")


def selection_of(
    dead: DeadLetters,
    *,
    scope: str | None,
    causes: list[str] | None,
    since: str | None,
    until: str | None,
    event_types: list[str] | None,
    fingerprints: list[str] | None,
    event_ids: list[str] | None,
    limit: int | None,
    again: bool = False,
) -> Selection:
    """The selection that these options make. Raises `CommandError` that names the option and what would be right."""
    from streams.state.selection import Selection

    letters = dead.letters_of(scope)
    now_ms = time.time_ns() // 1_000_000
    for cause in causes or ():
        _check_cause(dead, cause, scope)
    for fingerprint in fingerprints or ():
        check_fingerprint(fingerprint)
    if scope is not None:
        others = {
            "--since": since,
            "--event-type": event_types,
            "--fingerprint": fingerprints,
            "--event-id": event_ids,
            "--limit": limit,
            "--again": again,
        }
        _check_prefix(until, [option for option, value in others.items() if value])
        return Selection(letters=letters, until=moment_of("--until", until, now_ms))
    selection = Selection(
        letters=letters,
        causes=tuple(causes or ()),
        since=moment_of("--since", since, now_ms),
        until=moment_of("--until", until, now_ms),
        event_types=tuple(_event_type(name) for name in event_types or ()),
        fingerprints=tuple(fingerprints or ()),
        event_ids=tuple(event_ids or ()),
        limit=limit,
        again=again,
    )
    if selection.since is not None and selection.until is not None and selection.since >= selection.until:
        raise CommandError(f"--since {since} is not before --until {until}", ExitCode.USAGE)
    return selection


def moment_of(option: str, text: str | None, now_ms: int) -> int | None:
    """Milliseconds since 1970. Raises `CommandError`."""
    from streams.state.moments import parse_moment

    try:
        return None if text is None else parse_moment(text, now_ms)
    except ValueError as error:
        raise CommandError(f"{option}: {error}", ExitCode.USAGE) from None


def check_fingerprint(fingerprint: str) -> None:
    """Raises `CommandError` where this is no fingerprint."""
    if not _FINGERPRINT.fullmatch(fingerprint):
        mend = "it must be 16 hex digits, as `streams dlq top` lists them"
        raise CommandError(f"--fingerprint: {fingerprint} is none; {mend}", ExitCode.USAGE)


def _check_cause(dead: DeadLetters, cause: str, scope: str | None) -> None:
    if cause not in dead.causes:
        there_are = ", ".join(dead.causes)
        raise CommandError(f"--cause: letters of {dead.name} have no cause {cause}; there are: {there_are}", _USAGE)
    if cause == "credentials" and scope is None:
        scopes = ", ".join(dead.scopes)
        raise CommandError(f"--cause credentials: say whose with --scope, and --until; there are: {scopes}", _USAGE)
    if cause != "credentials" and scope is not None:
        raise CommandError(f"--scope: its letters all have the cause credentials, none has {cause}", _USAGE)


def _check_prefix(until: str | None, others: list[str]) -> None:
    if others:
        raise CommandError(
            f"{others[0]}: letters of a credential scope are selected by --until alone, for they leave in order",
            _USAGE,
        )
    if until is None:
        raise CommandError("--scope needs --until: a time, or 0s for every letter that was parked by now", _USAGE)


def _event_type(name: str) -> str:
    from streams.events.catalogue import canonical_name

    return name if any(mark in name for mark in "*?[") else canonical_name(name)


_USAGE = ExitCode.USAGE
