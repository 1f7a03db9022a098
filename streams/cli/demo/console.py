"""The console beside a demo, with orders and personal data: everything in it is made up."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace

from streams.adapters.clock import SystemClock
from streams.cli.actor import who
from streams.cli.assembly.console import console, on_free_port
from streams.config import Settings
from streams.config.console import Console
from streams.ports.pulse import Pulse


def beside(settings: Settings) -> AbstractContextManager[str]:
    """Its address; it is served until the end of the block."""
    open_to_all = replace(settings, console=Console(write=True, reveal=True))
    return console(on_free_port(open_to_all), who(), Pulse(SystemClock()))
