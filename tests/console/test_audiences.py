"""Cohorts in the console: listed, planned, and ordered about, of a real receiver and sink."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.cli.assembly.installation import connected
from streams.operations.audiences.overview import groups
from streams.testing.brokers import Broker
from streams.testing.emulators import BrazeEmulator
from tests.console.visitor import console
from tests.receiver.scene import COHORTS, CONNECTOR, Receiving, cohort, entries, receiving
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.apache, pytest.mark.timeout(240)]

USERS = ["ada", "bob", "cem"]


def members(braze: BrazeEmulator) -> set[str]:
    return {name for name, user in braze.users().items() if "Buyers" in user["attributes"].get("Mixpanel_Cohorts", [])}


def remembered(scene: Receiving) -> int:
    """Members of the cohort by the rows that the sink keeps: it commits them after Braze has them."""
    with connected(scene.settings, "streams-test") as installation:
        return sum(group.members for group in groups(installation, CONNECTOR))


def test_a_cohort_is_cleared_by_a_plan_that_asks_for_the_name(
    kafka: Broker, braze: BrazeEmulator, tmp_path: Path
) -> None:
    connector = {"base_url": braze.base_url, "rest_key": braze.rest_key, "scratch": str(tmp_path / "scratch")}
    receive = {COHORTS: {**entries()[COHORTS], "create_users": True}}
    with receiving(kafka.bootstrap_servers, tmp_path, receive, connector=connector) as scene:
        receiver = scene.start()
        scene.start_sink()
        assert receiver.send(COHORTS, cohort("members", USERS)).status == 200
        wait_until(lambda: members(braze) == set(USERS), "Braze to have the cohort")
        wait_until(lambda: remembered(scene) == len(USERS), "the sink to remember the cohort")
        with console(scene.config, {"write": True}) as visitor:
            plans = f"/audiences/{CONNECTOR}/plans"
            form = visitor.form("/audiences", plans)
            assert (form.fields["action"], form.fields["id"]) == ("resend", "c-1")
            answer = visitor.post(plans, {**form.fields, "action": "clear"})
            assert answer.status == 303, answer.words
            path = answer.headers["location"]
            page = visitor.reading(path, "3 users would be removed")
            assert "Nothing was done yet" in page.words
            told = visitor.json(f"{path}.json")
            assert (told["users"], told["action"], told["ordered"]) == (3, "clear", False)
            wrong = visitor.send(path, f"{path}/execute", reason="it is deleted", typed_name="growth")
            assert (wrong.status, f"type the name {CONNECTOR}" in wrong.words) == (400, True)
            assert members(braze) == set(USERS)
            assert visitor.send(path, f"{path}/execute", reason="it is deleted", typed_name=CONNECTOR).status == 303
            visitor.reading(path, "each sink does its part")
            wait_until(lambda: members(braze) == set(), "Braze to have nobody in it")
            unknown = visitor.post(plans, {**form.fields, "id": "c-2"}).headers["location"]
            visitor.reading(unknown, "group c-2 has no members here")
