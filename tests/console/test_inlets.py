"""Inlets and their files in the console, of a real process that takes from a folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from streams.testing.brokers import Broker
from tests.cli.files import opens, write_avro
from tests.console.browser import chromium, faults_of_access, opened, width_of
from tests.console.visitor import Visitor, console
from tests.inlets.stage import Inlet, key
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.apache, pytest.mark.timeout(240)]


def cut_off(inlet: Inlet, name: str) -> bytes:
    """A file of 300 records whose end is missing, in the bucket. Its whole content."""
    whole = write_avro(inlet.folder / name, opens(300, name)).read_bytes()
    path = inlet.bucket / key(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(whole[: len(whole) - 40])
    return whole


def shown(inlet: Inlet, visitor: Visitor) -> bool:
    """Whether the page's twin has what the command prints."""
    command = [sys.executable, "-m", "streams", "inlets", "show", "bucket", "--config", str(inlet.config), "-o", "json"]
    printed = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout)
    return bool(visitor.json("/inlets/bucket.json") == printed)


def carried_out(visitor: Visitor, path: str) -> None:
    wait_until(lambda: "Carried out" in visitor.get(path).words, f"the order to be carried out: {path}")


def test_a_file_that_cannot_be_read_is_seen_and_ordered_about(kafka: Broker, tmp_path: Path) -> None:
    inlet = Inlet(kafka.bootstrap_servers, tmp_path, damaged_after="1s")
    whole = cut_off(inlet, "a.avro")
    cut_off(inlet, "b.avro")
    with console(inlet.config, {"write": True}) as visitor:
        page = visitor.get("/inlets/bucket")
        assert (page.status, "start one: streams run ingest" in page.words) == (200, True)
        assert visitor.get("/inlets/buckte").status == 404
        inlet.start()
        try:
            wait_until(lambda: len(visitor.json("/inlets/bucket.json")["parked"]) == 2, "both files to be parked", 90.0)
            assert "cut-off block" in visitor.get("/inlets/bucket").words
            wait_until(lambda: shown(inlet, visitor), "the page to show what the command prints")
            wait_until(
                lambda: "2 files of inlet bucket cannot be read" in visitor.get("/").words,
                "the overview to say what is needed",
            )
            assert "/inlets/bucket" in visitor.get("/").links
            fields = visitor.get("/inlets/bucket").form("/inlets/bucket/files").fields
            without = visitor.post("/inlets/bucket/files", {**fields, "action": "skip", "reason": ""})
            assert (without.status, "an order needs a reason" in without.words) == (400, True)
            unknown = visitor.post("/inlets/bucket/files", {**fields, "action": "eat", "reason": "why not"})
            assert unknown.status == 400
            (inlet.bucket / key("a.avro")).write_bytes(whole)
            for name, action in (("a.avro", "retry"), ("b.avro", "skip")):
                order = {**fields, "key": key(name), "action": action, "reason": f"{action} it"}
                answer = visitor.post("/inlets/bucket/files", order)
                assert answer.status == 303, answer.words
                carried_out(visitor, answer.headers["location"])
            inlet.await_records(300)
            wait_until(lambda: "Every file could be read" in visitor.get("/inlets/bucket").words, "no file to be left")
            audit = visitor.get("/audit.jsonl?connector=bucket").text
            assert '"why":"skip it"' in audit.replace(": ", ":")
        finally:
            inlet.stop()


def test_the_page_of_a_file_that_cannot_be_read_is_for_everybody(kafka: Broker, tmp_path: Path) -> None:
    inlet = Inlet(kafka.bootstrap_servers, tmp_path, damaged_after="1s")
    cut_off(inlet, "a.avro")
    with chromium() as browser, console(inlet.config, {"write": True}) as visitor:
        inlet.start()
        try:
            wait_until(lambda: "cut-off block" in visitor.get("/inlets/bucket").words, "the file to be shown", 90.0)
            for scheme in ("light", "dark"):
                context = opened(browser, color_scheme=scheme, viewport={"width": 320, "height": 640}, bypass_csp=True)
                page = context.new_page()
                page.goto(f"{visitor.base}/inlets/bucket")
                assert (faults_of_access(page), width_of(page)) == ([], 320)
                context.close()
        finally:
            inlet.stop()
