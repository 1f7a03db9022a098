"""`streams doctor`: is this going to work here? Configuration, Kafka, topics, processes, registry, credentials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import typer

from streams.cli.errors import ExitCode, translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json, print_table

if TYPE_CHECKING:
    from streams.operations.doctor.findings import Finding, Trouble

CLIENT_ID = "streams-doctor"
EXIT_CODES: Mapping[Trouble, ExitCode] = {
    "configuration": ExitCode.USAGE,
    "unreachable": ExitCode.UNREACHABLE,
    "credentials": ExitCode.CREDENTIALS,
    "failed": ExitCode.FAILED,
}
"""Of several problems the first of these is the exit code."""
NAMES_MAX = 3
"""So many are named that one fix helps; of more the number is said."""


@translated
def doctor(config: ConfigPath = None, output: OutputFormat = Format.TABLE) -> None:
    """Check everything that must work here, and say how to fix what does not work. Changes nothing.

    Exits with the first of 2 (configuration), 5 (Kafka or a destination does not answer), 4 (credentials), 1 (topics).
    """
    from streams.adapters.clock import SystemClock
    from streams.adapters.http import HttpTransport
    from streams.adapters.memories import room_in
    from streams.cli.assembly.installation import connect
    from streams.cli.assembly.stores import queue_at, store_of
    from streams.operations.doctor.examination import examination

    settings = settings_from(config, reads_secrets=False)  # a secret that is away is a finding, not the end
    with closing(HttpTransport(settings.http)) as transport:
        installation = partial(connect, settings, CLIENT_ID)
        looks = (room_in, store_of, queue_at)
        findings = list(examination(settings, installation, transport, SystemClock(), *looks))
    if output is Format.JSON:
        print_json({"findings": [finding.to_json() for finding in findings]})
    else:
        print_table(("LOOKED AT", "FOUND", "DETAIL"), ((one.what, one.outcome, one.detail) for one in findings))
        for fix, names in _fixes(findings).items():
            note(f"{names}: {fix}")
    troubles = {finding.trouble for finding in findings}
    raise typer.Exit(next((code for trouble, code in EXIT_CODES.items() if trouble in troubles), ExitCode.DONE))


def _fixes(findings: Sequence[Finding]) -> dict[str, str]:
    """Each fix once, with what it helps."""
    helped: dict[str, list[str]] = {}
    for finding in findings:
        if finding.fix:
            helped.setdefault(finding.fix, []).append(finding.what)
    return {fix: _named(names) for fix, names in helped.items()}


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMES_MAX])
    return shown if len(names) <= NAMES_MAX else f"{shown} and {len(names) - NAMES_MAX} more"
