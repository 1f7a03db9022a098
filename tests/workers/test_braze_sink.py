"""The sink with Braze's own encoder, composer and verdicts, and the emulated Braze: on fakes of Kafka and the clock."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from streams.delivery.contract import NoResponse, Request, Response
from streams.destinations.braze.destination import BrazeDestination
from streams.emulators.braze.options import BrazeOptions
from streams.emulators.braze.server import BrazeServer
from streams.emulators.call import Call
from streams.state.records import ConnectorState, key
from streams.state.state_view import StateView
from streams.wayback import rows
from streams.wayback.records import Record, encode
from tests.destinations.braze_desk import attributes, event, malformed, page, present, settings, word
from tests.workers.composition_stage import STATE, TOPIC, CompositionStage, Process
from tests.workers.notebook import Notebook

USERS = ("ann", "bob", "cid")


class Braze:
    """The emulated Braze as a transport; each of `lost` requests is taken, and its answer lost."""

    def __init__(self) -> None:
        self.server = BrazeServer(BrazeOptions(users=USERS))
        self.paths: list[str] = []
        self.lost = 0

    def __call__(self, request: Request) -> Response | NoResponse:
        path = request.url.removeprefix("http://braze")
        self.paths.append(path)
        headers = {name.lower(): value for name, value in request.headers.items()}
        answer = self.server.receive(Call("POST", path, {}, headers, request.body, "", None), 1_790_000_000_000)
        if self.lost:
            self.lost -= 1
            return NoResponse("no answer in time")
        return Response(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.body)

    def user(self, name: str) -> dict[str, Any]:
        view = self.server.view("query")
        assert view is not None
        return next(row for row in view["rows"] if row["external_id"] == name)


@pytest.fixture
def braze() -> Braze:
    return Braze()


@pytest.fixture
def stage() -> CompositionStage:
    destination = BrazeDestination(settings(rest_key=BrazeOptions().rest_keys[0].key))
    return CompositionStage(cast("Notebook", destination))


def write(stage: CompositionStage, *records: Record) -> None:
    for record in records:
        stage.kafka.write(TOPIC, encode(record), record.external_user_id.encode())


def run(stage: CompositionStage, braze: Braze, seconds: float = 10.0) -> Process:
    process = stage.process(braze)
    process.run(seconds)
    return process


def test_what_vendors_sent_is_in_braze_and_again_only_what_changed(stage: CompositionStage, braze: Braze) -> None:
    records = [
        attributes("ann", plan="gold"),
        event("1", "ann"),
        word("cohorts/7", "bob", name="VIP"),
        event("1", "ann"),
    ]
    write(stage, *records)
    run(stage, braze)
    assert braze.user("ann")["attributes"] == {"plan": "gold"}
    assert [one["name"] for one in braze.user("ann")["events"]] == ["Played"]
    assert braze.user("bob")["attributes"] == {"Mixpanel_Cohorts": ["VIP"]}
    requests = len(braze.paths)
    write(stage, *records)
    run(stage, braze)
    assert len(braze.paths) == requests
    assert stage.counts["delivered"] == 3
    assert stage.counts["skipped"] == {"duplicate": 3, "unchanged": 2}
    assert stage.counts["tallies"] == {"data_points.attributes": 2, "data_points.events": 1}


def test_a_full_copy_reaches_attributes_and_the_cohort_import_which_learns_the_name_first(
    stage: CompositionStage, braze: Braze
) -> None:
    for user in ("ann", "bob"):
        write(stage, *[present("both/7", user, name="VIP", target=target) for target in ("attribute", "cohort")])
    write(stage, page("both/7", group_name="VIP"))
    run(stage, braze)
    for user in ("ann", "bob"):
        assert braze.user(user)["attributes"] == {"Both": ["VIP"]}
        assert braze.user(user)["cohorts"] == ["7"]
    imported = [path for path in braze.paths if "cohorts" in path]
    assert imported == ["/partners/mixpanel/cohorts", "/partners/mixpanel/cohorts/users"]
    write(stage, present("both/7", "cid", "next", name="VIP"), page("both/7", "next", group_name="VIP"))
    run(stage, braze)
    assert [braze.user(user)["attributes"] for user in USERS] == [{"Both": []}, {"Both": []}, {"Both": ["VIP"]}]
    assert [braze.user(user)["cohorts"] for user in USERS] == [[], [], []]
    assert stage.counts["derived"] == 9
    assert stage.counts["skipped"] == {"staged": 5, "page": 2}


def test_a_malformed_item_has_one_letter_and_a_lost_answer_doubles_no_attribute(
    stage: CompositionStage, braze: Braze
) -> None:
    braze.lost = 1
    write(stage, malformed("hash"), attributes("ann", plan="gold"), malformed("hash"))
    run(stage, braze, 60)
    assert stage.counts["parked"] == {"rejected": 1}
    assert stage.counts["skipped"] == {"duplicate": 1}
    assert len(stage.letters) == 1
    assert braze.paths == ["/users/track", "/users/track"]
    assert braze.user("ann")["attributes"] == {"plan": "gold"}


def decide(stage: CompositionStage, state: str) -> None:
    """The keeper suspends or resumes the connector."""
    decided = ConnectorState.model_validate({"state": state, "since": stage.clock.epoch_ms()})
    stage.kafka.write(STATE, decided.to_bytes(), key("connector", "notes").encode())


def test_events_that_braze_took_though_a_proxy_answered_are_counted_when_they_go_again(
    stage: CompositionStage, braze: Braze
) -> None:
    """The connector is suspended by such an answer, and sends the same request once a person resumes it."""
    bodies = [b"<html>Welcome</html>", b""]

    def answer(request: Request) -> Response | NoResponse:
        found = braze(request)
        assert isinstance(found, Response)
        return Response(found.status, {}, bodies.pop(0)) if bodies else found

    write(stage, event("1", "ann"), event("2", "ann"))
    process = stage.process(answer)
    for times in (1, 2):
        process.run(5)
        decide(stage, "SUSPENDED")
        process.run(1)
        assert len(braze.paths) == times, "nothing is sent while the connector is suspended"
        decide(stage, "RUNNING")
    process.run(5)
    assert len(braze.user("ann")["events"]) == 6
    assert stage.counts["delivered"] == 2
    assert stage.counts["maybe_doubled"] == 4


def lossy(record_id: str, **properties: Any) -> Record:
    return event(record_id, "ann", properties=json.dumps(properties))


def dropped(stage: CompositionStage) -> dict[str, int]:
    """What the state topic says of partition 0."""
    view = StateView("notes")
    for one in stage.kafka.read(STATE):
        view.apply((one.key() or b"").decode(), one.value())
    return dict(view.dropped["0"].names) if view.dropped else {}


def test_names_of_fields_that_were_dropped_are_told_and_counted_on_by_the_next_owner(
    stage: CompositionStage, braze: Braze
) -> None:
    write(stage, lossy("1", sizes=[1], colour="x" * 300), attributes("bob", braze_id="7", plan="gold"))
    run(stage, braze)
    assert dropped(stage) == {"type/sizes": 1, "cut/colour": 1, "reserved/braze_id": 1}
    write(stage, *[lossy(f"again-{number}", sizes=[2]) for number in range(3)])
    run(stage, braze)
    assert dropped(stage) == {"type/sizes": 4, "cut/colour": 1, "reserved/braze_id": 1}


def test_of_many_dropped_names_those_are_kept_that_come_most_often(stage: CompositionStage, braze: Braze) -> None:
    rare = {f"rare_{number}": [number] for number in range(80)}
    write(stage, lossy("1", often=[1], **rare), lossy("2", often=[1]))
    run(stage, braze)
    assert dropped(stage)["type/often"] == 2
    assert len(dropped(stage)) == 50


def test_a_cohort_that_gets_another_name_has_it_in_braze_without_a_change_of_members(
    stage: CompositionStage, braze: Braze
) -> None:
    write(stage, word("cohorts/7", "ann", name="VIP"), word("cohorts/7", "bob", name="VIP"))
    run(stage, braze)
    write(stage, page("cohorts/7", "same", purpose="name", group_name="VIP"))
    write(stage, page("cohorts/7", "other", purpose="name", group_name="Gold"))
    write(stage, page("cohorts/7", "again", purpose="name", group_name="Gold"))
    run(stage, braze)
    assert braze.user("ann")["attributes"] == braze.user("bob")["attributes"] == {"Mixpanel_Cohorts": ["Gold"]}
    assert (stage.counts["derived"], stage.counts["skipped"]) == (2, {"page": 3})
    write(stage, present("cohorts/7", "ann", "copy", name="Silver"), page("cohorts/7", "copy", group_name="Silver"))
    write(stage, page("cohorts/7", "back", purpose="name", group_name="Gold"))
    run(stage, braze)
    assert [braze.user(user)["attributes"] for user in USERS[:2]] == [
        {"Mixpanel_Cohorts": ["Gold"]},
        {"Mixpanel_Cohorts": []},
    ]


def segments(braze: Braze, user: str) -> dict[str, Any]:
    return {name: value for name, value in braze.user(user)["attributes"].items() if name.startswith("In ")}


def test_an_audience_that_gets_another_name_has_another_attribute(stage: CompositionStage, braze: Braze) -> None:
    write(stage, word("audiences/7", "ann", name="VIP"), page("audiences/7", purpose="subscribe", group_name="Gold"))
    run(stage, braze)
    assert (segments(braze, "ann"), braze.user("bob")["attributes"]) == ({"In VIP": False, "In Gold": True}, {})
    write(stage, page("audiences/7", purpose="unsubscribe", group_name="Gold"))
    run(stage, braze)
    assert segments(braze, "ann") == {"In VIP": False, "In Gold": True}
    kept = rows.subscription(stage.rows()[rows.subscription_row("audiences/7")])
    assert kept is not None
    assert (kept.is_on, kept.name) == (False, "Gold")


@pytest.mark.parametrize("is_copy", [False, True])
def test_the_cohort_import_hears_of_another_name_without_a_change_of_members(
    stage: CompositionStage, braze: Braze, is_copy: bool
) -> None:
    write(stage, *[word("both/7", user, name="VIP", target="cohort") for user in ("ann", "bob")])
    run(stage, braze)
    if is_copy:
        write(stage, *[present("both/7", user, name="Gold", target="cohort") for user in ("ann", "bob")])
        write(stage, page("both/7", group_name="Gold"))
    else:
        write(stage, page("both/7", purpose="name", group_name="Gold"))
    run(stage, braze)
    view = braze.server.view("cohorts")
    assert view is not None
    assert [(one["cohort_id"], one["name"], sorted(one["members"])) for one in view["records"]] == [
        ("7", "Gold", ["ann", "bob"])
    ]
    imported = [path for path in braze.paths if "cohorts" in path]
    assert imported == ["/partners/mixpanel/cohorts", "/partners/mixpanel/cohorts/users"] * 2


def test_members_who_are_sent_again_beside_a_full_copy_without_them_are_out(
    stage: CompositionStage, braze: Braze
) -> None:
    write(stage, word("cohorts/7", "ann", name="VIP"), word("cohorts/7", "bob", name="VIP"))
    run(stage, braze)
    write(stage, present("cohorts/7", "ann", "copy", name="VIP"), page("cohorts/7", "copy", group_name="VIP"))
    write(stage, page("cohorts/7", "wish", purpose="resend", group_name="VIP"))
    run(stage, braze)
    assert braze.user("ann")["attributes"] == {"Mixpanel_Cohorts": ["VIP"]}
    assert braze.user("bob")["attributes"] == {"Mixpanel_Cohorts": []}


def test_malformed_items_count_as_rejected_before_more_of_them_are_read(stage: CompositionStage, braze: Braze) -> None:
    write(stage, *[malformed(f"item-{number}") for number in range(5_000)])
    stage.process(braze).run(1.0, step_seconds=0.001)
    said = [one for one in stage.kafka.read(STATE) if (one.key() or b"").startswith(b"suspect/notes/-/")]
    assert [json.loads(one.value() or b"")["what"] for one in said] == ["flood"]
    assert 1_000 <= len(stage.letters) <= 1_500
