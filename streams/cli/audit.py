"""`streams audit`: who or what did what, when and why."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.options import ConfigPath, OutputFormat, connector_names_and, settings_from
from streams.cli.output import Format, note, print_json, print_table

if TYPE_CHECKING:
    from streams.operations.audit import Page, Wanted
    from streams.operations.installation import Installation
    from streams.state.audit import Line

CLIENT_ID = "streams-audit"
PAUSE_SECONDS = 1.0
COLUMNS = ("AT", "CONNECTOR", "WHO", "WHAT", "DETAIL")


Name = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]",
        help="A connector, or `source`. Default: all of them.",
        autocompletion=connector_names_and("source"),
    ),
]
Connectors = Annotated[
    list[str] | None,
    typer.Option(
        "--connector",
        metavar="NAME",
        help="The same as NAME; may be given again for several.",
        autocompletion=connector_names_and("source"),
    ),
]
Actor = Annotated[str, typer.Option(metavar="TEXT", help="A part of who did it: a person, `keeper`, `sink`, `router`.")]
Kinds = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        metavar="KIND",
        help="What was done: `purged`, `suspend`, …, `order`, `receipt`, `credentials`, `start`. Again for more.",
    ),
]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="At this time or later. Default: all.")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Before this time.")]
Follow = Annotated[
    bool, typer.Option("--follow", "-f", help="Also print new lines, until Ctrl-C. JSON is one object a line.")
]


@translated
def audit(
    name: Name = None,
    config: ConfigPath = None,
    connectors: Connectors = None,
    actor: Actor = "",
    kinds: Kinds = None,
    since: Since = None,
    until: Until = None,
    follow: Follow = False,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Say who or what did what, when and why: orders, alerts, credentials, receipts of purges. Needs no secret.

    A TIME is like 2026-01-31T03:00Z, or how long ago: 2h.
    """
    from streams.cli.assembly.installation import connected
    from streams.operations.audit import Wanted, kinds_of, read_audit

    if follow and until is not None:
        raise CommandError("--follow has no end: leave --until out", ExitCode.USAGE)
    now_ms = time.time_ns() // 1_000_000
    wanted = Wanted(
        connectors=frozenset([*(connectors or []), *([name] if name else [])]),
        actor=actor,
        kinds=kinds_of(kinds or []),
        since_ms=0 if since is None else _moment("--since", since, now_ms),
        until_ms=None if until is None else _moment("--until", until, now_ms),
    )
    with connected(settings_from(config, reads_secrets=False), CLIENT_ID) as installation:
        if follow:
            _follow(installation, wanted, output)
        else:
            _print(read_audit(installation, wanted, lambda _passed, _total: None), output)


def _follow(installation: Installation, wanted: Wanted, output: Format) -> None:
    from streams.operations.audit import follow_audit

    try:
        for page in follow_audit(installation, wanted, lambda _passed, _total: None, lambda: time.sleep(PAUSE_SECONDS)):
            for line in page.lines:
                print(_as_json(line) if output is Format.JSON else "  ".join(_row(line)), flush=True)
            _note_missing(page)
    except KeyboardInterrupt:
        return


def _print(page: Page, output: Format) -> None:
    if output is Format.JSON:
        lines = [line.to_json() for line in page.lines]
        print_json({"lines": lines, "unknown_records": page.unknown, "older_left_out": page.is_cut})
        return
    print_table(COLUMNS, [_row(line) for line in page.lines])
    _note_missing(page)


def _note_missing(page: Page) -> None:
    if page.is_cut:
        note(f"only the newest {len(page.lines):,} lines are shown; --until shows older ones")
    if page.unknown:
        note(f"{page.unknown:,} records of the audit are not lines that this version knows")


def _as_json(line: Line) -> str:
    return json.dumps(line.to_json(), ensure_ascii=False, separators=(",", ":"))


def _row(line: Line) -> Sequence[str]:
    from streams.state.moments import iso

    cells = (iso(line.at) or "", line.connector, line.who, line.what, line.detail())
    return [_printable(cell) or "-" for cell in cells]


def _printable(text: str) -> str:
    """People typed some of it: nothing of it moves the cursor or ends the line."""
    return "".join(character if character.isprintable() else " " for character in text)


def _moment(option: str, text: str, now_ms: int) -> int:
    from streams.state.moments import parse_moment

    try:
        return parse_moment(text, now_ms)
    except ValueError as error:
        raise CommandError(f"{option}: {error}", ExitCode.USAGE) from None
