"""The page about destinations is current."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.destinations import REGISTRY, ROUTED
from streams.destinations.reference import reference, renewed
from streams.events.catalogue import CATALOGUE

PAGE = Path(__file__).resolve().parents[2] / "docs" / "destinations.md"


def test_the_table_in_the_page_is_what_the_mappings_say() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert renewed(page) == page, "run: python -m streams.destinations.reference docs/destinations.md"


def test_every_event_type_is_told_with_its_gaps() -> None:
    table = reference()
    assert all(f"| `{name}`" in table for name in CATALOGUE)
    gaps = sum(name not in kind.event_types for kind in ROUTED.values() for name in CATALOGUE)
    assert table.count("no mapping") == gaps
    assert table.count("inferred") == 6


def test_every_destination_has_its_part() -> None:
    page = PAGE.read_text(encoding="utf-8").lower()
    assert all(f"\n## {name}\n" in page for name in REGISTRY)


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="marks"):
        renewed("# Nothing")
