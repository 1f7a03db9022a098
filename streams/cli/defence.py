"""The last line of defence: an unexpected fault is one sentence, and `STREAMS_LOG_LEVEL=debug` shows the rest."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

from streams.destinations.detail import masked

PACKAGE = Path(__file__).parents[1]
HINT = "STREAMS_LOG_LEVEL=debug shows where it came from; please report it"


def explained(fault: BaseException) -> str:
    """One sentence: what failed, where in the program, in the fault's own words with values masked.

    With `STREAMS_LOG_LEVEL=debug` the calls that led there follow; never what their variables held.
    """
    words = masked(str(fault))
    sentence = f"stopped by a fault that was not foreseen: {type(fault).__name__} in {_place(fault)}"
    sentence += f": {words}" if words else ""
    if os.environ.get("STREAMS_LOG_LEVEL", "").lower() != "debug":
        return f"{sentence}; {HINT}"
    return "\n".join([sentence, *_calls(fault)])


def _place(fault: BaseException) -> str:
    """The innermost line of ours, else the innermost of all."""
    frames = traceback.extract_tb(fault.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)]
    for frame in reversed(ours or frames):
        name = frame.filename
        if Path(name).is_relative_to(PACKAGE):
            name = str(Path(name).relative_to(PACKAGE.parent))
        return f"{name}:{frame.lineno}"
    return "no place that is known"


def _calls(fault: BaseException) -> list[str]:
    """The calls of the fault and of those before it, the oldest cause last."""
    lines: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = fault
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        lines.append(f"{type(current).__name__}: {masked(str(current))}")
        lines += [f"  {one.filename}:{one.lineno} {one.name}" for one in traceback.extract_tb(current.__traceback__)]
        current = current.__cause__ or current.__context__
    return lines
