"""What commands print: aligned tables for people, one JSON object for programs, both on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any


class Format(StrEnum):
    """How a listing is printed."""

    TABLE = "table"
    JSON = "json"


def print_json(content: Mapping[str, Any]) -> None:
    """One object with `"v": 1`, on one line."""
    print(json.dumps({"v": 1, **content}, ensure_ascii=False, separators=(",", ":")))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns aligned with two spaces between them: numbers to the right, text to the left, nothing cut."""
    lines = [[*columns], *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    numeric = [len(lines) > 1 and all(_is_number(line[index]) for line in lines[1:]) for index in range(len(columns))]
    for line in lines:
        cells = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        )
        print("  ".join(cells).rstrip())


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
