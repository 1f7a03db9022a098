"""Options that many commands share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
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
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Show it again every 2 seconds, until Ctrl-C.")]
OutputFormat = Annotated[Format, typer.Option("--output", "-o", help="A table for people, or JSON.")]


def connector_names(context: typer.Context, incomplete: str) -> list[str]:
    """What a shell completes a connector's name to: those of the configuration that the command would read.

    Nothing is checked, and no secret is read; a file that cannot be read completes to nothing.
    """
    import yaml

    path = context.params.get("config") or os.environ.get("STREAMS_CONFIG")
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError, yaml.YAMLError):
        return []
    names = content.get("connectors") if isinstance(content, dict) else None
    return [str(name) for name in names if str(name).startswith(incomplete)] if isinstance(names, dict) else []


def connector_names_and(*others: str) -> Callable[[typer.Context, str], list[str]]:
    """The same, and these names."""

    def complete(context: typer.Context, incomplete: str) -> list[str]:
        return [*connector_names(context, incomplete), *(name for name in others if name.startswith(incomplete))]

    return complete


def settings_from(path: Path | None, *, reads_secrets: bool = True) -> Settings:
    """The settings. Raises `CommandError` where no file is named, and `ConfigurationError`.

    A command that sends nothing to a destination sets `reads_secrets` to False: people on call have no secrets on
    their machine.
    """
    from streams.config import load

    return load(required(path), reads_secrets=reads_secrets)


def required(path: Path | None) -> Path:
    """The configuration's path. Raises `CommandError` where none was given."""
    if path is None:
        raise CommandError("no configuration: give --config FILE, or set STREAMS_CONFIG", ExitCode.USAGE)
    return path


def connector_of(settings: Settings, name: str) -> Connector:
    """The connector with this name. Raises `CommandError` that names the connectors that exist."""
    from streams.config.explanation import suggestion

    if name not in settings.connectors:
        known = suggestion(name, settings.connectors)
        raise CommandError(f"there is no connector {name}. {known}", ExitCode.USAGE)
    return settings.connectors[name]


def storage_inlets_of(settings: Settings, names: Sequence[str] | None) -> Sequence[str]:
    """These storage inlets, or all. Raises `CommandError` that names the inlets that exist."""
    from streams.config.explanation import suggestion

    known = settings.storage_inlets
    if not known:
        raise CommandError("no inlet of kind storage is configured: there is nothing to take", ExitCode.USAGE)
    for name in names or ():
        if name not in known:
            raise CommandError(f"there is no storage inlet {name}. {suggestion(name, known)}", ExitCode.USAGE)
    return tuple(dict.fromkeys(names)) if names else tuple(known)
