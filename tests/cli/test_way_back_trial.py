"""`docs/way-back.md`, "Try it on your machine": the page's own calls against the page's own configuration."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from streams.testing.brokers import Broker
from streams.testing.emulators import BrazeEmulator
from tests.receiver.scene import receiving
from tests.waiting import wait_until

DOCS = Path(__file__).parents[2] / "docs"
TRIAL = yaml.safe_load((DOCS / "examples" / "way-back-trial.yaml").read_text())["connectors"]["back-to-braze"]

pytestmark = pytest.mark.kafka


def calls() -> list[list[str]]:
    """The page's calls of the receiver, as a shell would read them."""
    text = (DOCS / "way-back.md").read_text().partition("## Try it on your machine")[2].partition("\n## ")[0]
    found = re.findall(r"^(curl -i .*?)(?=^curl|^```)", text, re.MULTILINE | re.DOTALL)
    return [shlex.split(call.replace("\\\n", " ")) for call in found]


def test_what_the_page_sends_is_in_braze_as_the_page_says(kafka: Broker, braze: BrazeEmulator, tmp_path: Path) -> None:
    connector = {"base_url": braze.base_url, "rest_key": braze.rest_key, "scratch": str(tmp_path / "scratch")}
    with receiving(kafka.bootstrap_servers, tmp_path, TRIAL["receive"], connector=connector) as scene:
        port = scene.start().port
        scene.start_sink()
        assert len(calls()) == 2
        for call in calls():
            here = [part.replace("127.0.0.1:8088", f"127.0.0.1:{port}") for part in call]
            said = subprocess.run(here, capture_output=True, text=True, timeout=60, check=True).stdout
            assert said.split()[1] in ("200", "202"), said
        cohort = {"Mixpanel_Cohorts": ["Frequent readers"]}
        wanted = {"ann": {**cohort, "plan": "gold"}, "bob": cohort}
        wait_until(lambda: {name: user["attributes"] for name, user in braze.users().items()} == wanted, "both users")
        wait_until(lambda: bool(braze.users()["ann"]["events"]), "the event")
        (event,) = braze.users()["ann"]["events"]
        assert (event["name"], event["properties"]) == ("Order Placed", {"total": 12})
