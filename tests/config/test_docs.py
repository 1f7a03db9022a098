"""The page about the configuration is current, and its examples can be used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streams.config import load
from streams.config.kafka import REFUSED_OPTIONS
from streams.config.reference import BEGIN, END, reference, renewed

DOCS = Path(__file__).resolve().parents[2] / "docs"
EXAMPLES = sorted((DOCS / "examples").glob("*.yaml"))


def page() -> str:
    return (DOCS / "configuration.md").read_text(encoding="utf-8")


def test_the_reference_in_the_page_is_what_the_models_say() -> None:
    assert renewed(page()) == page(), "run: python -m streams.config.reference docs/configuration.md"


def test_every_key_has_a_meaning() -> None:
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 30
    assert [row for row in rows if row.endswith("|  |")] == []


def test_every_refused_option_is_named() -> None:
    told = page().split(BEGIN)[0]
    for option in REFUSED_OPTIONS:
        if not option.endswith(("bootstrap.servers", "broker.list", "required.acks")):
            assert f"`{option}`" in told


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="marks"):
        renewed(f"{END} nothing")


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.name for path in EXAMPLES])
def test_every_example_can_be_used_once_its_variables_are_set(path: Path) -> None:
    variables = re.findall(r"\$\{(\w+)\}", path.read_text(encoding="utf-8"))
    assert variables
    settings = load(path, dict.fromkeys(variables, "0123456789abcdef0123456789abcdef"))
    assert settings.connectors
