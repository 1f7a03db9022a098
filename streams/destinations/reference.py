"""The table of every event type and what each destination makes of it, as Markdown made from the mappings.

`python -m streams.destinations.reference docs/destinations.md` renews the table in the page, between its two marks.
"""

from __future__ import annotations

import sys
from pathlib import Path

from streams.destinations import ROUTED
from streams.destinations.table import MappedEvent
from streams.events.catalogue import CATALOGUE

BEGIN = "<!-- event types: begin (made by python -m streams.destinations.reference) -->"
END = "<!-- event types: end -->"


def reference() -> str:
    """One row an event type of the catalogue, one column a destination."""
    names = sorted(ROUTED)
    rows = [
        f"| event type | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
    ]
    for event_type in CATALOGUE.values():
        cells = [_cell(ROUTED[name].events.get(event_type.name)) for name in names]
        retired = " (retired)" if event_type.retired else ""
        rows.append(f"| `{event_type.name}`{retired} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def renewed(page: str) -> str:
    """The page with the table as it is now. Raises `ValueError` where a mark is missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks its marks: {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


def _cell(event: MappedEvent | None) -> str:
    if event is None:
        return "no mapping"
    name = event.name.replace("<", "&lt;").replace(">", "&gt;")
    if event.is_default:
        name = f"**{name}**"
    remarks = [remark for remark in ("inferred" if event.is_inferred else "", event.remark) if remark]
    return f"{name} ({', '.join(remarks)})" if remarks else name


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.write_text(renewed(place.read_text(encoding="utf-8")), encoding="utf-8")
