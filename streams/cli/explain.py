"""`streams explain`: where an event is, what happened to it, and where was not looked."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note

CLIENT_ID = "streams-explain"
PROGRESS_SECONDS = 0.2


@translated
def explain(
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="The event's `id`, whole.")],
    config: ConfigPath = None,
    around: Annotated[
        str | None, typer.Option(metavar="TIME", help="Written within half an hour of this time, before or after.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Written at this time or later. Default: an hour ago.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Written before this time. Default: now.")] = None,
    user: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The event's external_user_id: only the partitions of this key are read."),
    ] = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Say where an event is and what happened to it, in order, and what was not looked at.

    A TIME is like 2026-01-31T03:00Z, or how long ago: 2h. It is when the Currents record was written; what became of
    it since is looked for up to now.
    """
    from streams.cli import explain_output
    from streams.cli.assembly.installation import connected
    from streams.operations.explain.explanation import explain as explained
    from streams.operations.explain.explanation import not_looked_at, window_of

    _require_sound(event_id, user)
    window = window_of(around, since, until, time.time_ns() // 1_000_000)
    with connected(settings_from(config, reads_secrets=False), CLIENT_ID) as installation, _progress() as report:
        found = explained(installation, event_id, window, user, report)
    sentences = not_looked_at(found, window, user)
    if output is Format.JSON:
        explain_output.print_as_json(event_id, found, window, sentences)
    else:
        explain_output.print_for_people(event_id, found, sentences)
    if not found.stories:
        note(f"event {event_id} was not found in {found.offsets:,} offsets of {found.topics} topics")
        raise typer.Exit(ExitCode.NOTHING_MATCHED)


def _require_sound(event_id: str, user: str | None) -> None:
    from streams.operations.explain.explanation import require_event_id

    require_event_id(event_id)
    if user is not None and not user:
        raise CommandError("--user must be an external_user_id; leave it out to read every partition", ExitCode.USAGE)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """How far the search is, on stderr, where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _passed, _total: None
        return
    next_at = 0.0

    def report(passed: int, total: int) -> None:
        nonlocal next_at
        if total and time.monotonic() >= next_at:
            next_at = time.monotonic() + PROGRESS_SECONDS
            print(f"\r{passed:,} of {total:,} offsets", end="", file=sys.stderr, flush=True)

    try:
        yield report
    finally:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
