"""`streams events`"""

from __future__ import annotations

import typer

app = typer.Typer(help="Event types")


@app.command("list")
def list_events() -> None:
    """x"""
