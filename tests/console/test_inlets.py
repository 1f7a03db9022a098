"""Inlets and their files in the console, of a real process that takes from a folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streams.testing.brokers import Broker
from tests.cli.files import opens, write_avro
from tests.console.browser import chromium, faults_of_access, opened, width_of
from tests.console.visitor import Answer, console
from tests.inlets.stage import Inlet, key
from tests.waiting import PATIENCE_SECONDS

pytestmark = [pytest.mark.kafka, pytest.mark.apache, pytest.mark.timeout(240)]


def cut_off(inlet: Inlet, file: str) -> bytes:
    """A file of 300 records whose end is missing, in the bucket at this key. Its whole content."""
    name = file.rpartition("/")[2]
    whole = write_avro(inlet.folder / name, opens(300, name)).read_bytes()
    path = inlet.bucket / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(whole[: len(whole) - 40])
    return whole


def printed(inlet: Inlet) -> dict[str, Any]:
    command = [sys.executable, "-m", "streams", "inlets", "show", "bucket", "--config", str(inlet.config), "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return dict(json.loads(done.stdout))


def parked(page: Answer) -> list[str]:
    """The keys in a twin of the inlet's page."""
    return [file["key"] for file in page.content["parked"]]


def test_a_file_that_cannot_be_read_is_seen_and_ordered_about(kafka: Broker, tmp_path: Path) -> None:
    inlet = Inlet(kafka.bootstrap_servers, tmp_path, damaged_after="1s")
    first, second = key("a.avro"), key("b.avro")
    whole = cut_off(inlet, first)
    cut_off(inlet, second)
    with console(inlet.config, {"write": True}) as visitor:
        page = visitor.page("/inlets/bucket")
        assert (page.status, "start one: streams run ingest" in page.words) == (200, True)
        assert visitor.get("/inlets/buckte").status == 404
        inlet.start()
        try:
            twin = "/inlets/bucket.json"
            visitor.seen(twin, lambda page: page.status == 200 and len(parked(page)) == 2, "name both files")
            told = visitor.reading("/inlets/bucket", "cut-off block").words
            assert "What comes after the damage is given up for good" in told
            assert "A new version of the file under the same name is taken by itself" in told
            visitor.await_twin(twin, lambda: printed(inlet))
            overview = visitor.reading("/", "2 files of inlet bucket cannot be read")
            assert "/inlets/bucket" in overview.links
            fields = visitor.form("/inlets/bucket", "/inlets/bucket/files").fields
            without = visitor.post("/inlets/bucket/files", {**fields, "action": "skip", "reason": ""})
            assert (without.status, "an order needs a reason" in without.words) == (400, True)
            unknown = visitor.post("/inlets/bucket/files", {**fields, "action": "eat", "reason": "why not"})
            assert unknown.status == 400
            for file, action in ((first, "retry"), (second, "skip")):
                order = {**fields, "key": file, "action": action, "reason": f"{action} it"}
                answer = visitor.post("/inlets/bucket/files", order)
                assert answer.status == 303, answer.words
                # It is said to be carried out, or, where that takes more than 15 s, to wait for a process.
                visitor.reading(answer.headers["location"], f": {action} {file}")
            # Only now: a file that was made whole is taken by itself, and then there is nothing to order.
            (inlet.bucket / first).write_bytes(whole)
            visitor.seen(twin, lambda page: page.status == 200 and not parked(page), "name no file")
            inlet.await_records(300, PATIENCE_SECONDS)
            visitor.reading("/inlets/bucket", "No file waits for a decision")
            audit = visitor.seen("/audit.jsonl?connector=bucket", lambda page: "skip it" in page.text, "tell why").text
            assert '"why":"skip it"' in audit.replace(": ", ":")
        finally:
            inlet.stop()


def test_the_page_of_a_file_that_cannot_be_read_is_for_everybody(kafka: Broker, tmp_path: Path) -> None:
    inlet = Inlet(kafka.bootstrap_servers, tmp_path, damaged_after="1s")
    cut_off(inlet, key("a.avro"))
    with chromium() as browser, console(inlet.config, {"write": True}) as visitor:
        inlet.start()
        try:
            visitor.reading("/inlets/bucket", "cut-off block")
            for scheme in ("light", "dark"):
                context = opened(browser, color_scheme=scheme, viewport={"width": 320, "height": 640}, bypass_csp=True)
                page = context.new_page()
                page.goto(f"{visitor.base}/inlets/bucket")
                assert (faults_of_access(page), width_of(page)) == ([], 320)
                context.close()
        finally:
            inlet.stop()
