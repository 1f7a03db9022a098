"""Whether sinks that remember what they sent have a folder for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from streams.config import Settings
from streams.operations.doctor.findings import Finding, ok, problem, warning
from streams.ports.memory import Room

FREE_BYTES_MIN = 1_000_000_000
"""A million users with two attributes and a cohort each need some 330 MB."""


Look = Callable[[Path], Room]


def scratch_findings(settings: Settings, look: Look) -> Iterator[Finding]:
    """Nothing is written. Doctor may run on another machine than the sinks: then it says how things are on this one."""
    for name, connector in settings.connectors.items():
        folder = connector.scratch
        if folder is not None:
            yield _found(name, folder, look(folder))


def _found(name: str, folder: Path, room: Room) -> Finding:
    what = f"scratch {name}"
    if room.problem:
        return problem(
            what,
            "configuration",
            f"{folder} cannot be written here: {room.problem}",
            f"run doctor where the sink runs, or name another folder in connectors.{name}.scratch",
        )
    free = f"{room.free_bytes / 1_000_000_000:.1f} GB free"
    if room.free_bytes < FREE_BYTES_MIN:
        return warning(what, f"{folder}: only {free}", "a million users need some 330 MB: give the sink more room")
    return ok(what, f"{folder}: {free}")
