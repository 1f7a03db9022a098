"""`streams demo --console`: the console of everything at work on this machine."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from streams.testing.processes import Child
from tests.console.visitor import Visitor
from tests.waiting import wait_until


@pytest.mark.timeout(360)
def test_the_demo_s_console_shows_its_connectors_and_takes_orders(tmp_path: Path) -> None:
    log = tmp_path / "demo.log"
    demo = Child([sys.executable, "-m", "streams", "demo", "--console"], log)
    try:
        wait_until(lambda: "the console is at" in log.read_text() or not demo.is_running(), "the console's address")
        address = re.search(r"the console is at (http://\S+)/", log.read_text())
        assert address is not None, demo.last_lines()
        visitor = Visitor(address[1])
        wait_until(lambda: visitor.get("/").status == 200, "the first look to end")
        names = [found["connector"] for found in visitor.json("/index.json")["connectors"]]
        assert names == ["demo-mixpanel", "demo-mparticle"]
        assert "/connectors/demo-mixpanel/suspend" in [
            one.action for one in visitor.get("/connectors/demo-mixpanel").forms()
        ]
    finally:
        demo.stop()
