"""`streams demo --console`: the console of everything at work on this machine."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from streams.testing.processes import Child
from tests.console.visitor import Answer, Visitor
from tests.waiting import wait_until


def names_of(page: Answer) -> list[str]:
    """The connectors that the overview lists: none before the first look that Kafka answered."""
    return [found["connector"] for found in page.content.get("connectors", ())]


@pytest.mark.timeout(360)
def test_the_demo_s_console_shows_its_connectors_and_takes_orders(tmp_path: Path) -> None:
    log = tmp_path / "demo.log"
    demo = Child([sys.executable, "-m", "streams", "demo", "--console"], log)
    try:
        wait_until(lambda: "the console is at" in log.read_text() or not demo.is_running(), "the console's address")
        address = re.search(r"the console is at (http://\S+)/", log.read_text())
        assert address is not None, demo.last_lines()
        visitor = Visitor(address[1])
        visitor.seen("/index.json", lambda page: names_of(page) == ["demo-mixpanel", "demo-mparticle"], "list both")
        visitor.form("/connectors/demo-mixpanel", "/connectors/demo-mixpanel/suspend")
    finally:
        demo.stop()
