"""What the pages say of `streams dlq` can be typed, and every option is on its page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from streams.cli.main import app

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGES = [DOCS / "cli.md", *sorted((DOCS / "runbooks").glob("*.md"))]
EXAMPLES = [
    (page.name, match[1])
    for page in PAGES
    for match in re.finditer(r"^\s*(?:\$ )?(streams dlq [a-z].*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
]


def leaves(command: Any) -> dict[str, Any]:
    return dict(command.commands["dlq"].commands)


@pytest.mark.parametrize(("page", "example"), EXAMPLES, ids=lambda text: text)
def test_every_example_is_understood(page: str, example: str) -> None:
    _, _, name, *arguments = shlex.split(example, comments=True)
    leaf = leaves(typer.main.get_command(app))[name]
    leaf.make_context(name, arguments)


def test_there_are_examples_of_every_command() -> None:
    shown = {shlex.split(example)[2] for page, example in EXAMPLES if page == "cli.md"}
    assert shown == set(leaves(typer.main.get_command(app)))


def test_every_option_is_on_the_page() -> None:
    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    for name, leaf in leaves(typer.main.get_command(app)).items():
        for parameter in leaf.params:
            for option in parameter.opts:
                assert not option.startswith("--") or option in page, f"{name} {option}"
