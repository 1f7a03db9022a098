"""What commands print: aligned tables for people, one JSON object for programs, both on stdout."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import zip_longest
from textwrap import wrap
from typing import Any

TEXT_WIDTH_MIN = 12
"""A column of text is not made narrower than this."""
WATCH_SECONDS = 2.0
CLEAR = "\x1b[H\x1b[2J"


class Format(StrEnum):
    """How a listing is printed."""

    TABLE = "table"
    JSON = "json"


def print_json(content: Mapping[str, Any]) -> None:
    """One object with `"v": 1`, on one line."""
    print(json.dumps({"v": 1, **content}, ensure_ascii=False, separators=(",", ":")))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns aligned with two spaces between them: numbers to the right, text to the left.

    Nothing is cut. On a terminal that is too narrow the longest texts go on in the next line.
    """
    lines = [[*columns], *([_cell(value) for value in row] for row in rows)]
    numeric = [len(lines) > 1 and all(_is_number(line[index]) for line in lines[1:]) for index in range(len(columns))]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    if sys.stdout.isatty():
        widths = fitted(widths, numeric, shutil.get_terminal_size().columns)
    for line in lines:
        wrapped = [wrap(cell, width) or [""] for cell, width in zip(line, widths, strict=True)]
        for cells in zip_longest(*wrapped, fillvalue=""):
            aligned = (
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(cells, widths, numeric, strict=True)
            )
            print("  ".join(aligned).rstrip())


def fitted(widths: Sequence[int], numeric: Sequence[bool], room: int) -> list[int]:
    """The widths, with the widest columns of text narrowed until all fit, or none can be narrowed any more."""
    found = [*widths]
    while sum(found) + 2 * (len(found) - 1) > room:
        index = max(range(len(found)), key=lambda one: -1 if numeric[one] else found[one])
        if numeric[index] or found[index] <= TEXT_WIDTH_MIN:
            break
        found[index] -= 1
    return found


def watched(look: Callable[[], Callable[[], None]], is_watched: bool) -> None:
    """Look, and draw what was seen; where it is watched, again and again until Ctrl-C."""
    draw = look()
    if not is_watched:
        draw()
        return
    try:
        while True:
            if sys.stdout.isatty():
                print(CLEAR, end="")
            draw()
            sys.stdout.flush()
            time.sleep(WATCH_SECONDS)
            draw = look()
    except KeyboardInterrupt:
        return


def told(seconds: float | None) -> str:
    """A duration in its two largest units; a hyphen for none."""
    from streams.state.moments import told as in_words

    return "-" if seconds is None else in_words(seconds)


def note(text: str) -> None:
    """Progress and remarks, on stderr, so that stdout stays what was asked for."""
    print(text, file=sys.stderr)


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _is_number(cell: str) -> bool:
    return cell == "-" or cell.replace(",", "").replace(".", "", 1).removesuffix("%").isdigit()
