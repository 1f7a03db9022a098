"""`streams audiences`: a cohort that Mixpanel synced to Braze, as it is listed, cleared and sent again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from streams.cli.assembly.installation import connected
from streams.operations.audiences import overview
from streams.testing.brokers import Broker
from streams.testing.emulators import BrazeEmulator, MParticleEmulator
from tests.emulators.sender import batch, custom_event, post_batches
from tests.receiver.scene import COHORTS, CONNECTOR, KEY, KEYED, Receiving, cohort, entries, receiving
from tests.topics import make_topics
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.apache]

USERS = [f"user-{number}" for number in range(7)]


def streams(scene: Receiving, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streams", *arguments, "--config", str(scene.config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def told(scene: Receiving, *arguments: str) -> dict[str, Any]:
    result = streams(scene, *arguments, "-o", "json")
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout))


def groups(scene: Receiving) -> list[dict[str, Any]]:
    """As the command lists them, without a process for each look."""
    with connected(scene.settings, "streams-test") as installation:
        return [group.to_json() for group in overview.groups(installation, CONNECTOR)]


@pytest.fixture
def scene(kafka: Broker, braze: BrazeEmulator, tmp_path: Path) -> Iterator[Receiving]:
    connector = {"base_url": braze.base_url, "rest_key": braze.rest_key, "scratch": str(tmp_path / "scratch")}
    receive = {COHORTS: {**entries()[COHORTS], "create_users": True}}
    with receiving(kafka.bootstrap_servers, tmp_path, receive, connector=connector) as made:
        yield made


def members(braze: BrazeEmulator) -> set[str]:
    return {name for name, user in braze.users().items() if "Buyers" in user["attributes"].get("Mixpanel_Cohorts", [])}


def test_a_cohort_is_listed_cleared_and_sent_again(scene: Receiving, braze: BrazeEmulator) -> None:
    assert groups(scene) == []
    receiver = scene.start()
    scene.start_sink()
    assert receiver.send(COHORTS, cohort("members", USERS[:4], page=1, pages=2)).status == 200
    wait_until(lambda: bool(groups(scene)), "the open copy to be listed")
    wait_until(lambda: [one["pages_seen"] for one in groups(scene)[0]["open"]] == [1], "its page to be seen everywhere")
    (group,) = groups(scene)
    assert (group["entry"], group["id"], group["members"]) == (COHORTS, "c-1", 0)
    assert group["open"][0]["pages"] == 2
    assert receiver.send(COHORTS, cohort("members", USERS[4:], page=2, pages=2)).status == 200
    wait_until(lambda: members(braze) == set(USERS), "Braze to have the cohort")
    wait_until(lambda: [one["members"] for one in groups(scene)] == [7], "the members to be remembered")
    wait_until(lambda: groups(scene)[0]["open"] == [], "the copy to be complete everywhere")
    (group,) = groups(scene)
    assert (group["name"], group["target"], group["open"]) == ("Buyers", "attribute", [])
    assert group["changed"] is not None

    plan = told(scene, "audiences", "clear", CONNECTOR, "c-1")
    assert (plan["users"], plan["writes"], plan["requests"], plan["ordered"]) == (7, 7, 1, False)
    assert members(braze) == set(USERS)
    stale = streams(scene, "audiences", "clear", CONNECTOR, "c-1", "--execute", "--plan", "0" * 8)
    assert (stale.returncode, "is stale" in stale.stderr) == (7, True)
    done = told(scene, "audiences", "clear", CONNECTOR, "c-1", "--execute", "--plan", plan["plan"], "--reason", "gone")
    assert done["ordered"]
    wait_until(lambda: members(braze) == set(), "Braze to have nobody in it")
    wait_until(lambda: [one["members"] for one in groups(scene)] == [0], "the leavers to be remembered")
    nobody = streams(scene, "audiences", "clear", CONNECTOR, "c-1")
    assert (nobody.returncode, "has no members here" in nobody.stderr) == (3, True)

    few = cohort("add_members", [*USERS[:2], "$device:1"], session="s-2")
    assert receiver.send(COHORTS, few).status == 200
    wait_until(lambda: members(braze) == set(USERS[:2]), "Braze to have two members")
    wait_until(lambda: [one["members"] for one in groups(scene)] == [2], "them to be remembered")
    braze.reset()
    told(scene, "audiences", "resend", CONNECTOR, "c-1", "--execute", "--reason", "the users are there now")
    wait_until(lambda: members(braze) == set(USERS[:2]), "Braze to have them again")
    wait_until(lambda: told(scene, "connectors", "show", CONNECTOR)["account"]["waiting"] == 0, "all to be settled")
    assert told(scene, "audiences", "list", CONNECTOR)["groups"] == groups(scene)
    shown = told(scene, "connectors", "show", CONNECTOR, "--ledger", "--verify")
    account = shown["account"]
    # 7 members and 2 pages for each of 4 partitions, then 2 members and the name for each of them; 7 joined, 7 left, 2
    # were sent again.
    assert (account["routed"], account["received"], account["derived"], account["again"]) == (37, 21, 16, 8)
    assert (account["delivered"], account["skipped"]["staged"], account["skipped"]["page"]) == (18, 7, 20)
    assert (shown["verified"]["problems"], shown["verified"]["waiting"]) == ([], 0)
    way_back = shown["way_back"]
    assert way_back["urls"][COHORTS].endswith(f"/receive/{CONNECTOR}/{COHORTS}")
    assert (way_back["not_taken"], way_back["maybe_doubled"]) == ({"no_external_user_id": 1}, 0)
    assert way_back["counts"]["data_points.attributes"] == 18
    lines = told(scene, "audit", CONNECTOR, "--kind", "order")["lines"]
    assert [(line["what"], line["why"]) for line in lines] == [("clear", "gone"), ("resend", "the users are there now")]


def test_a_subscription_a_new_name_and_names_of_dropped_fields_are_shown(
    kafka: Broker, braze: BrazeEmulator, mparticle: MParticleEmulator, tmp_path: Path
) -> None:
    connector = {"base_url": braze.base_url, "rest_key": braze.rest_key, "scratch": str(tmp_path / "scratch")}
    receive = {KEYED: {**entries()[KEYED], "create_users": True, "send_segments_as": "per_segment"}}
    with receiving(kafka.bootstrap_servers, tmp_path, receive, connector=connector) as scene:
        url = f"http://127.0.0.1:{scene.start().port}/receive/{CONNECTOR}/{KEYED}"
        scene.start_sink()
        mparticle.set_output("audiences", "firehose", url, KEY, key_setting="streams_key")
        mparticle.set_audience(11036, "Newsletter", ["ann"])
        wait_until(lambda: "ann" in braze.users(), "Braze to have the audience")
        wait_until(lambda: [one["members"] for one in groups(scene)] == [1], "the member to be remembered")
        (group,) = groups(scene)
        assert (group["name"], group["subscription"], group["target"]) == ("Newsletter", "on", "attribute")
        mparticle.set_audience(11036, "Weekly", ["ann"])
        renamed = {"In Newsletter": False, "In Weekly": True}
        wait_until(lambda: braze.users()["ann"]["attributes"] == renamed, "Braze to have the new name")
        mparticle.set_audience(11036, "Weekly", [], connected=False)
        wait_until(lambda: groups(scene)[0]["subscription"] == "off", "the end of the subscription to be listed")
        assert braze.users()["ann"]["attributes"] == renamed
        listed = streams(scene, "audiences", "list", CONNECTOR).stdout
        assert (("SUBSCRIPTION" in listed), ("off" in listed), ("Weekly" in listed)) == (True, True, True)
        lossy = custom_event(1, custom_attributes={"story": "x" * 256, "colour": "red"})
        assert post_batches(mparticle, [batch(1, user_identities={"customer_id": "ann"}, events=[lossy])]).status == 202
        lost = [{"name": "story", "why": "cut", "values": 1}]
        wait_until(
            lambda: told(scene, "connectors", "show", CONNECTOR)["way_back"]["dropped"] == lost, "its name to be shown"
        )
        assert "story" in streams(scene, "connectors", "show", CONNECTOR).stdout


def test_what_makes_no_sense_is_refused_in_words(scene: Receiving) -> None:
    unknown = streams(scene, "audiences", "list", "nobody")
    assert (unknown.returncode, "nobody" in unknown.stderr) == (2, True)
    bound = streams(scene, "audiences", "resend", CONNECTOR, "c-1", "--plan", "0" * 8)
    assert (bound.returncode, "--execute" in bound.stderr) == (2, True)
    missing = streams(scene, "audiences", "resend", CONNECTOR, "c-9")
    assert (missing.returncode, "c-9" in missing.stderr) == (3, True)
    for order in ("clear", "resend"):
        nowhere = streams(scene, "audiences", order, CONNECTOR, "c-1", "--entry", "nope")
        assert nowhere.returncode == 2
        assert f"no entry nope; its entries: {COHORTS}" in nowhere.stderr
        assert "--entry" in nowhere.stderr
    assert "no_credentials_for_feed" not in streams(scene, "connectors", "show", CONNECTOR).stdout
    checked = streams(scene, "config", "check").stdout.splitlines()
    (row,) = [line.split() for line in checked if line.startswith(f"{CONNECTOR} ")]
    assert row == [CONNECTOR, "braze", "-"]


def test_a_sink_refuses_a_topic_of_other_partitions_and_so_do_the_commands(scene: Receiving) -> None:
    sent = scene.settings.topics.sent(CONNECTOR)
    admin = AdminClient({"bootstrap.servers": scene.bootstrap_servers})
    admin.delete_topics([sent])[sent].result(60)
    wait_until(lambda: sent not in admin.list_topics(timeout=60).topics, "the topic to be gone")
    make_topics(admin, NewTopic(sent, 2, 1, config={"cleanup.policy": "compact"}))
    sink = scene.start_sink()
    wait_until(lambda: sink.exit_code is not None, "the sink to end")
    assert (sink.exit_code, f"{sent} has 2" in sink.last_words()) == (2, True)
    planned = streams(scene, "topics", "plan")
    assert (planned.returncode, f"{sent} has 2" in planned.stderr) == (2, True)
    assert f"{sent} has 2" in streams(scene, "doctor").stdout


def test_a_sink_whose_scratch_folder_cannot_be_written_says_so_and_ends(scene: Receiving, tmp_path: Path) -> None:
    (tmp_path / "scratch").write_text("a file")
    sink = scene.start_sink()
    wait_until(lambda: sink.exit_code is not None, "the sink to end")
    assert sink.exit_code == 2
    assert "scratch" in sink.last_words()
    assert "cannot be written" in sink.last_words()


def test_the_topic_of_what_is_remembered_is_made_beside_what_is_there(scene: Receiving) -> None:
    sent = scene.settings.topics.sent(CONNECTOR)
    admin = AdminClient({"bootstrap.servers": scene.bootstrap_servers})
    admin.delete_topics([sent])[sent].result(60)
    wait_until(lambda: sent not in admin.list_topics(timeout=60).topics, "the topic to be gone")
    text = scene.config.read_text()
    scene.config.write_text(text.replace("partitions: 4", "partitions: 9"))
    assert scene.config.read_text() != text
    told(scene, "topics", "apply")
    wait_until(lambda: sent in admin.list_topics(timeout=60).topics, "the topic to be there")
    assert len(admin.list_topics(timeout=60).topics[sent].partitions) == 4
