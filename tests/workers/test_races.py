"""Races around dead credentials, each forced to both of its ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import orjson

from streams.delivery.contract import Request, Response
from streams.delivery.letter import verdict_of
from streams.testing.ports import FakeLetterTopics, Kill, Killed
from tests.workers.stage import CREDENTIALS, MPARTICLE, TOPIC, Stage, events_of, imports_all
from tests.workers.test_credentials import Vendor, delivered_ids

GRACE_SECONDS = 600.0
KEEPER = "streams.keeper.growth"
PARKED = 1_200
"""Letters: a redrive of them takes three transactions."""


def dead_stage(vendor: Vendor, records: int) -> Stage:
    """So many letters are parked, the keeper holds the lease."""
    vendor.status = 401
    stage = Stage(vendor, grace_seconds=GRACE_SECONDS)
    for number in range(records):
        stage.event(id=f"event-{number}")
    stage.run(10)
    assert len(stage.credential_letters()) == records
    return stage


def successor(stage: Stage, vendor: Vendor) -> Stage:
    """Another process in the place of one that was killed."""
    return Stage(
        vendor,
        grace_seconds=GRACE_SECONDS,
        kafka=stage.kafka,
        clock=stage.clock,
        instance="sink-1",
        notifier=stage.notifier,
    )


def was_killed(stage: Stage, seconds: float, step_seconds: float = 0.5) -> bool:
    """Whether the keeper was killed within this time. From then on nobody kills."""
    try:
        stage.run(seconds, step_seconds=step_seconds)
    except Killed:
        return True
    finally:
        stage.kafka.kills.clear()
    return False


def at_every_commit(act: Callable[[Kill], bool]) -> int:
    """Act with a kill at each commit in turn until none is reached any more; how many there were."""
    kills = 0
    for is_committed in (False, True):
        commits = 1
        while act(Kill(commits, is_committed)):
            kills += 1
            commits += 1
    return kills


def test_a_keeper_killed_at_any_step_of_a_redrive_brings_each_letter_back_once() -> None:
    def act(kill: Kill) -> bool:
        vendor = Vendor()
        stage = dead_stage(vendor, PARKED)
        stage.kafka.kills[KEEPER] = kill
        vendor.status = 200
        dead = was_killed(stage, 50)
        after = successor(stage, vendor)
        after.run(50, step_seconds=0.5)
        back = [record.value() for record in after.kafka.read(TOPIC)[PARKED:]]
        assert back == [letter.value() for letter in after.credential_letters()]
        account = after.account
        assert (account.delivered, account.waiting, account.parked["credentials"]) == (PARKED, 0, 0)
        return dead

    assert at_every_commit(act) >= 8


def test_a_keeper_killed_at_any_step_of_a_purge_purges_once_with_one_receipt() -> None:
    def act(kill: Kill) -> bool:
        vendor = Vendor()
        stage = dead_stage(vendor, 20)
        stage.kafka.kills[KEEPER] = kill
        dead = was_killed(stage, GRACE_SECONDS + 90, 1.0)
        after = successor(stage, vendor)
        after.run(GRACE_SECONDS + 90, step_seconds=1.0)
        receipts = after.audit("purged")
        assert [receipt["letters"] for receipt in receipts] == [20]
        assert receipts[0]["at"] >= stage.view.scope("default").since + GRACE_SECONDS * 1_000
        assert (after.account.purged, after.account.parked["credentials"]) == (20, 0)
        kinds = Counter(line["alert"] for line in after.audit("alerted"))
        assert kinds == {"invalid": 1, "half": 1, "most": 1, "purged": 1}
        return dead

    assert at_every_commit(act) >= 8


def test_a_keeper_killed_at_any_step_of_a_replay_sends_each_letter_once_more() -> None:
    def refuses_bad(request: Request) -> Response:
        events = events_of(request)
        failed = [
            {"index": index, "insert_id": event["properties"]["$insert_id"], "field": "time", "message": "no"}
            for index, event in enumerate(events)
            if event["properties"].get("$insert_id", "").startswith("bad")
        ]
        if not failed:
            return imports_all(request)
        content = {"code": 400, "num_records_imported": len(events) - len(failed), "failed_records": failed}
        return Response(400, {"content-type": "application/json"}, orjson.dumps(content))

    def act(kill: Kill) -> bool:
        stage = Stage(refuses_bad)
        for number in range(700):
            stage.event(id=f"bad-{number}")
        stage.run(5)
        assert len(stage.letters) == 700
        stage.ask("replay", selection={"letters": "rejected"}, ends={"rejected/0": 700}, planned=700)
        stage.kafka.kills[KEEPER] = kill
        dead = was_killed(stage, 20, 0.1)
        after = Stage(refuses_bad, kafka=stage.kafka, clock=stage.clock, instance="sink-1")
        after.run(20, step_seconds=0.1)
        replayed = Counter(record.value() for record in after.kafka.read(TOPIC)[700:])
        assert set(replayed.values()) == {1}
        assert len(replayed) == after.view.totals.replayed["rejected"] == 700
        assert len(after.letters) == 1_400
        assert (after.account.parked["rejected"], after.account.waiting) == (700, 0)
        return dead

    assert at_every_commit(act) >= 6


def test_a_probe_that_began_before_the_deadline_purges_nothing_after_it() -> None:
    vendor = Vendor()
    stage = dead_stage(vendor, 3)
    deadline = stage.view.scope("default").since + round(GRACE_SECONDS * 1_000)
    while stage.clock.epoch_ms() < deadline - 5_000:
        stage.run(1, step_seconds=1.0)
    stage.probes.is_holding = True
    while stage.clock.epoch_ms() < deadline + 40_000:
        stage.run(1, step_seconds=1.0)
    assert stage.audit("purged") == []
    vendor.status = 200  # fixed after the deadline, but before anybody asked again
    stage.probes.is_holding = False
    stage.run(60, step_seconds=0.5)
    assert stage.audit("purged") == []
    assert stage.account.delivered == 3


def test_an_extension_that_stands_in_the_log_before_the_purge_moves_the_deadline() -> None:
    vendor = Vendor()
    stage = dead_stage(vendor, 3)
    stage.clock.advance(GRACE_SECONDS + 40)
    stage.keeper.step()  # asks the probe that would allow the purge
    stage.ask("extend", scope="default", by_ms=900_000)
    stage.run(600, step_seconds=1.0)
    assert stage.audit("purged") == []
    assert stage.view.scope("default").extended_ms == 900_000


def test_a_zombies_late_deletion_takes_nothing_that_is_not_settled() -> None:
    """Deleting records is not fenced: a keeper that was replaced still may, with what it knew."""
    vendor = Vendor()
    stage = dead_stage(vendor, 3)
    vendor.status = 200
    while not stage.view.cursors:
        stage.run(0.5, step_seconds=0.1)
    zombie = stage.keeper.lease
    assert zombie is not None
    after = successor(stage, vendor)
    after.run(5)
    vendor.status = 401
    for number in range(4):
        after.event(id=f"late-{number}")
    after.run(40)
    known = {(CREDENTIALS + "default", number): offset for (_, number), offset in zombie.view.cursors.items()}
    FakeLetterTopics(stage.kafka).delete_before(known)
    assert stage.kafka.deleted_before[CREDENTIALS + "default", 0] <= after.view.cursor(("credentials.default", 0))
    vendor.status = 200
    after.run(60)
    assert after.account.delivered == 7


def test_a_keeper_that_goes_on_after_it_was_replaced_neither_purges_nor_redrives() -> None:
    vendor = Vendor()
    stage = dead_stage(vendor, 3)
    after = successor(stage, vendor)
    after.keeper.own(True)
    after.keeper.step()
    stage.clock.advance(GRACE_SECONDS + 100)
    for _ in range(5):
        stage.keeper.step()
    assert stage.keeper.lease is None
    assert after.audit("purged") == []
    assert len(after.kafka.read(TOPIC)) == 3


def test_letters_parked_long_after_the_fix_go_back_even_if_the_keeper_changed() -> None:
    vendor = Vendor()
    stage = dead_stage(vendor, 2)
    vendor.status = 200
    stage.run(40)
    slow = stage.credential_letters()[0]
    stage.kafka.write(CREDENTIALS + "default", slow.value(), slow.key(), slow.headers() or [])
    after = successor(stage, vendor)
    after.run(15)
    assert [record.value() for record in after.kafka.read(TOPIC)[4:]] == [slow.value()]


def test_letters_of_a_scope_that_left_the_configuration_are_never_purged() -> None:
    def answer(request: Request) -> Response:
        return Response(403, {}, b"")

    stage = Stage(answer, destination="mparticle", grace_seconds=GRACE_SECONDS)
    stage.event("users.messages.pushnotification.Open", platform="ios")
    stage.run(5)
    assert len(stage.credential_letters("ios")) == 1
    remaining = {**MPARTICLE, "feeds": {"unbound": MPARTICLE["feeds"]["unbound"]}}
    after = Stage(
        answer,
        destination="mparticle",
        settings=remaining,
        grace_seconds=GRACE_SECONDS,
        kafka=stage.kafka,
        clock=stage.clock,
    )
    after.run(2 * GRACE_SECONDS, step_seconds=1.0)
    assert after.audit("purged") == []
    assert stage.kafka.deleted_before == {}
    assert len(after.credential_letters("ios")) == 1


def test_a_letter_of_an_earlier_episode_keeps_no_deadline_of_that_episode() -> None:
    """What was parked in one outage and not yet back when the next began has the whole grace again."""
    vendor = Vendor()
    stage = dead_stage(vendor, PARKED)
    stage.clock.advance(GRACE_SECONDS - 60)
    vendor.status = 200
    while not 0 < stage.view.totals.redriven.get("credentials", 0) < PARKED:
        stage.run(0.05)
    vendor.status = 401
    stage.event(id="suspected")
    stage.run(20)
    assert stage.view.scope("default").state == "INVALID"
    stage.run(GRACE_SECONDS - 60, step_seconds=1.0)
    assert stage.audit("purged") == []
    vendor.status = 200
    stage.run(60, step_seconds=0.5)
    assert stage.account.delivered == PARKED + 1
    assert set(delivered_ids(stage)) >= {f"event-{number}" for number in range(PARKED)}


def test_what_is_parked_again_keeps_its_history_and_gets_a_new_time_of_parking() -> None:
    vendor = Vendor()
    stage = dead_stage(vendor, 1)
    vendor.status = 200
    while not stage.view.totals.redriven:
        stage.keeper.step()
        stage.clock.advance(0.5)
    vendor.status = 401
    stage.run(60)
    first, second = (verdict_of(letter.headers() or []) for letter in stage.credential_letters())
    assert first is not None
    assert second is not None
    assert second.parked_at_ms > first.parked_at_ms
    assert second.attempts > first.attempts
    assert second.replays == 0
