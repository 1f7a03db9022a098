"""`streams emulate`: the destinations as local servers, for tests and trials."""

from __future__ import annotations

import typer

app = typer.Typer(help="Run an emulated destination.", no_args_is_help=True)
