"""Makes the pictures of the console from the data of `streams demo`: `python -m tests.console.pictures`."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from playwright.sync_api import Page

from streams.testing.processes import Child
from tests.console.browser import chromium
from tests.console.visitor import Visitor
from tests.waiting import wait_until

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
SIZE = {"width": 1120, "height": 760}
SHOTS = {"overview": "/", "connector": "/connectors/demo-mixpanel", "letters": "/connectors/demo-mixpanel/letters"}
LETTERS_MIN = 20
HIDE_NAME = """() => {
  const name = document.querySelector(".who .name").textContent;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) texts.currentNode.data = texts.currentNode.data.replaceAll(name, "you");
}"""
"""Whose machine made the picture is nobody's business."""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        demo = Child([sys.executable, "-m", "streams", "demo", "--console"], Path(folder) / "demo.log")
        try:
            wait_until(lambda: "the console is at" in demo.log.read_text(), "the console's address")
            found = re.search(r"the console is at (http://\S+)/", demo.log.read_text())
            assert found is not None
            visitor = Visitor(found[1])
            _wait_for_letters(visitor)
            job = _replayed(visitor)
            _wait_for_letters(visitor)
            _shoot(found[1], {**SHOTS, "job": job})
        finally:
            demo.stop()


def _wait_for_letters(visitor: Visitor) -> None:
    def has_letters() -> bool:
        answer = visitor.get("/connectors/demo-mixpanel/letters.json")
        return answer.status == 200 and answer.content.get("letters", 0) >= LETTERS_MIN

    wait_until(has_letters, "letters to look at", 300.0)


def _replayed(visitor: Visitor) -> str:
    """The page of a job that sends letters again."""
    plan = visitor.send(SHOTS["letters"], f"{SHOTS['connector']}/plans", action="replay").headers["location"]
    wait_until(lambda: f"{plan}/execute" in visitor.get(plan).text, "the plan", 120.0)
    visitor.send(plan, f"{plan}/execute", reason="the clock of the app is right again")
    wait_until(lambda: visitor.get(plan).status == 303, "the order to be taken", 120.0)
    job = visitor.get(plan).headers["location"]
    wait_until(lambda: "Counted at" in visitor.get(job).words, "the job to tell what became of its letters", 120.0)
    return job


def _shoot(base: str, shots: Mapping[str, str]) -> None:
    with chromium() as browser:
        for scheme in ("light", "dark"):
            context = browser.new_context(viewport=SIZE, color_scheme=scheme)  # type: ignore[arg-type]
            page = context.new_page()
            for name, path in shots.items():
                page.goto(base + path)
                _settle(page)
                page.screenshot(path=FOLDER / f"console-{name}-{scheme}.png")
            context.close()


def _settle(page: Page) -> None:
    """Until what is counted beside the page is there, too."""
    page.wait_for_function("!document.body.innerText.includes('Counting:')")
    page.evaluate(HIDE_NAME)


if __name__ == "__main__":
    main()
