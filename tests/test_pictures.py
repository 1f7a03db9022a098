"""The README's pictures: well-formed, used, and the story's one made of what the program printed."""

from __future__ import annotations

import re
import runpy
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PICTURES = sorted((ROOT / "docs" / "pictures").glob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"

OUTPUT = """\
   2 s    delivered 10, waiting 3
   8 s  the key dies: Mixpanel answers 401 from now on
  10 s  VALID; <records> & "more" go out
demo-mixpanel
  routed    7

the accounts add up
"""


@pytest.fixture(scope="module")
def picture() -> Callable[[str, str], str]:
    made: Callable[[str, str], str] = runpy.run_path(str(ROOT / "tools" / "story_picture.py"))["picture"]
    return made


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_every_picture_is_well_formed_small_and_shown_on_a_page(path: Path) -> None:
    assert ElementTree.fromstring(path.read_bytes()).tag == f"{SVG}svg"
    assert path.stat().st_size < 100_000
    page = "docs/performance.md" if path.name.startswith("growth-") else "README.md"
    assert f"pictures/{path.name}" in (ROOT / page).read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", ["overview", "connector", "letters", "job"])
def test_every_picture_of_the_console_is_small_and_shown_on_both_pages(page: str, scheme: str) -> None:
    path = ROOT / "docs" / "pictures" / f"console-{page}-{scheme}.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size < 250_000
    assert f"docs/pictures/{path.name}" in (ROOT / "README.md").read_text()
    assert f"pictures/{path.name}" in (ROOT / "docs" / "console.md").read_text()


def test_the_story_keeps_every_line_in_its_order(picture: Callable[[str, str], str]) -> None:
    texts = [node.text or "" for node in ElementTree.fromstring(picture(OUTPUT, "credentials")).iter(f"{SVG}text")]
    assert texts == ["$ streams demo --story credentials", *OUTPUT.rstrip("\n").splitlines()]


def test_lines_appear_in_the_pace_of_the_seconds_that_were_printed(picture: Callable[[str, str], str]) -> None:
    delays = [float(found) for found in re.findall(r"animation-delay: ([0-9.]+)s", picture(OUTPUT, "credentials"))]
    assert delays == [0.5, 3.5, 4.5, 4.5, 4.5, 4.5, 4.5]


def test_lines_that_carry_the_story_stand_out(picture: Callable[[str, str], str]) -> None:
    classes = {
        node.text: node.get("class")
        for node in ElementTree.fromstring(picture(OUTPUT, "credentials")).iter(f"{SVG}text")
    }
    assert classes["   8 s  the key dies: Mixpanel answers 401 from now on"] == "line bad"
    assert classes["the accounts add up"] == "line good"
    assert classes["  routed    7"] == "line"
