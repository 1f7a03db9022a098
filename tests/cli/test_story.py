"""`streams demo --story`: each story as its user sees it."""

from __future__ import annotations

import json
import re
import subprocess
import sys

STORY_SECONDS_MAX = 400.0
"""Below the limit of a test. A story has limits of its own, which are told in words."""


def test_a_key_dies_letters_are_parked_some_expire_and_the_rest_goes_out_by_itself() -> None:
    command = [sys.executable, "-m", "streams", "demo", "--story", "credentials"]
    result = subprocess.run(
        [*command, "--json"], capture_output=True, text=True, timeout=STORY_SECONDS_MAX, check=False
    )
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


def test_cohorts_audiences_and_attributes_come_back_into_braze_and_what_did_not_change_is_not_written_again() -> None:
    command = [sys.executable, "-m", "streams", "demo", "--story", "loop"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=STORY_SECONDS_MAX, check=False)
    assert result.returncode == 0, result.stderr
    assert "the accounts add up" in result.stdout
    told = result.stderr
    cohort = "Mixpanel_Cohorts=['Frequent readers']"
    synced = {"user-1": f"{cohort}, SegmentMembership='11036'", "user-2": cohort, "user-3": "first_name=Three"}
    assert _users(told, "before") == dict.fromkeys(synced, "-")
    assert _users(told, "after") == synced
    assert "unchanged: 0 writes in Braze" in told
    assert _users(told, "at the end") == {**synced, "user-2": "-"}


def _users(told: str, when: str) -> dict[str, str]:
    """What the story said of Braze's users then."""
    lines = [line.partition(" s  ")[2] for line in told.splitlines()]
    first = lines.index(f"Braze's users, {when}:") + 1
    users = (line.split(maxsplit=1) for line in lines[first : first + 3])
    return {name: attributes for name, attributes in users}  # noqa: C416


def test_every_account_of_the_way_back_adds_up_with_nothing_waiting() -> None:
    command = [sys.executable, "-m", "streams", "demo", "--story", "loop", "--json"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=STORY_SECONDS_MAX, check=False)
    assert result.returncode == 0, result.stderr
    accounts = json.loads(result.stdout)["connectors"]
    assert set(accounts) == {"demo-mixpanel", "demo-mparticle", "demo-braze"}
    for account in accounts.values():
        came = account["routed"] + account["imported"] + account["again"]
        became = account["delivered"] + sum(account["skipped"].values()) + sum(account["parked"].values())
        assert (came, account["waiting"]) == (became, 0)
    # A cohort is 2 members, and a word for each of 2 partitions that their page is complete. Then a subscription for
    # each partition, an audience, an attribute; the cohort again; 1 who leaves, and the cohort's name twice for each
    # partition. 2 members of the first copy join.
    back = accounts["demo-braze"]
    assert (back["received"], back["derived"]) == (17, 2)
    assert (back["delivered"], back["skipped"]["staged"], back["skipped"]["page"]) == (5, 4, 10)


def test_a_story_takes_no_events_of_its_own() -> None:
    command = [sys.executable, "-m", "streams", "demo", "--story", "credentials", "--for", "5s"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=STORY_SECONDS_MAX, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert "do not give --events or --for" in result.stderr


def test_a_folder_grows_and_a_feed_flows_and_every_event_arrives_once() -> None:
    command = [sys.executable, "-m", "streams", "demo", "--story", "inlets"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=STORY_SECONDS_MAX, check=False)
    assert result.returncode == 0, result.stderr
    assert "the accounts add up" in result.stdout
    told = re.search(r"files ([\d,]+), over HTTP ([\d,]+): ([\d,]+) events, each once", result.stderr)
    assert told
    filed, posted, sent = (int(number.replace(",", "")) for number in told.groups())
    assert filed == 5 * 150, "three files, one more, and the one that was damaged"
    assert posted > 0
    assert filed + posted == sent
    assert re.search(rf"sent to Currents topics +{sent:,}", result.stdout)
    assert re.search(rf"delivered +{sent:,}  the destination holds {sent:,}\n", result.stdout), "Mixpanel has them all"
