"""`streams demo --story credentials`: the whole drama, as its user sees it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.timeout(180)
def test_a_key_dies_letters_are_parked_some_expire_and_the_rest_goes_out_by_itself() -> None:
    command = [sys.executable, "-m", "streams", "demo", "--story", "credentials"]
    result = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=170, check=False)
    assert result.returncode == 0, result.stderr
    content = json.loads(result.stdout)
    account = content["connectors"]["demo-mixpanel"]
    assert content["v"] == 1
    assert account["purged"] > 0
    assert account["delivered"] > 0
    assert (account["waiting"], account["parked"]["credentials"]) == (0, 0)
    came = account["routed"] + account["imported"] + account["again"]
    became = account["delivered"] + sum(account["skipped"].values()) + sum(account["parked"].values())
    assert came == became + account["purged"] + account["expired"] + account["lost"]
    assert content["connectors"]["demo-mparticle"]["purged"] == 0


def test_a_story_takes_no_events_of_its_own() -> None:
    command = [sys.executable, "-m", "streams", "demo", "--story", "credentials", "--for", "5s"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert "do not give --events or --for" in result.stderr
