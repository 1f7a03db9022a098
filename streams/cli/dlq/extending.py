"""`streams dlq extend`: more time for the letters of a scope whose credentials are invalid."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.dlq.place import Name, dead_letters
from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json

ANSWER_SECONDS = 20.0


@translated
def extend(
    name: Name,
    scope: Annotated[str, typer.Option("--scope", metavar="SCOPE", help="The credential scope.")],
    by: Annotated[str, typer.Option("--by", metavar="DURATION", help="How much later: 90m, 24h, 2d.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stands in the audit topic.")],
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Move the deadline of a scope's dead letters, while its credentials are INVALID."""
    from streams.adapters.state.requests import ask
    from streams.values import parse_duration

    dead = dead_letters(settings_from(config), name)
    dead.letters_of(scope)
    try:
        by_ms = round(parse_duration(by) * 1000)
    except ValueError as error:
        raise CommandError(f"--by: {by} {error}", ExitCode.USAGE) from None
    if by_ms <= 0:
        raise CommandError("--by: must be longer than nothing", ExitCode.USAGE)
    if not reason.strip():
        raise CommandError("--reason: say why; it stands in the audit topic", ExitCode.USAGE)
    answer = ask(dead.settings, name, "extend", {"scope": scope, "by_ms": by_ms}, reason, ANSWER_SECONDS)
    if answer.outcome != "done":
        raise CommandError(f"the keeper of {name} refuses: {answer.detail}", ExitCode.FAILED)
    extended_ms = int(answer.content.get("extended_ms", by_ms))
    if output is Format.JSON:
        print_json({"connector": name, "scope": scope, "extended_seconds": extended_ms / 1000})
        return
    print(f"the letters of {scope} live {by} longer, {extended_ms / 3_600_000:g} h in all beyond the grace")
    note(f"by when: streams dlq list {name}")
