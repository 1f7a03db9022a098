"""Options that many commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.errors import CommandError, ExitCode
from streams.cli.output import Format

if TYPE_CHECKING:
    from streams.config import Connector, Settings

ConfigPath = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", envvar="STREAMS_CONFIG", help="The configuration file."),
]
OutputFormat = Annotated[Format, typer.Option("--output", "-o", help="A table for people, or JSON.")]


def settings_from(path: Path | None) -> Settings:
    """The settings; without a file the mend is named. Raises `CommandError`, `ConfigurationError`."""
    from streams.config import load

    return load(required(path))


def required(path: Path | None) -> Path:
    """The configuration's path. Raises `CommandError` where none was given."""
    if path is None:
        raise CommandError("no configuration: give --config FILE, or set STREAMS_CONFIG", ExitCode.USAGE)
    return path


def connector_of(settings: Settings, name: str) -> Connector:
    """The connector with this name. Raises `CommandError` that lists what there is."""
    from streams.config.explanation import suggestion

    if name not in settings.connectors:
        there_is = suggestion(name, settings.connectors)
        raise CommandError(f"there is no connector {name}; {there_is}", ExitCode.USAGE)
    return settings.connectors[name]
