"""A dead-letter topic that is deleted and made again: its letters go back, are purged and count as any others."""

from __future__ import annotations

import json
from concurrent.futures import Future

import pytest

from streams.state.records import KnownTopic, SettledBlock, Totals, key
from streams.testing.clock import MovableClock
from streams.testing.ports import FakeKafka, FakeLetterTopics
from streams.workers.keeper.known_topics import KnownTopics, MissingRecords
from tests.workers.stage import AUDIT, CREDENTIALS, STATE, TOPIC, Stage
from tests.workers.test_commit_copies import lease
from tests.workers.test_credentials import Vendor

PLACE = ("credentials.default", 0)
WHY = "the topic was deleted and made again"


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


def redriven(vendor: Vendor, letters: int) -> Stage:
    """A stage whose cursor stands after so many letters."""
    stage = Stage(vendor)
    parked(stage, vendor, letters)
    vendor.status = 200
    stage.run(60)
    assert stage.view.cursors == {PLACE: letters}
    return stage


def parked(stage: Stage, vendor: Vendor, letters: int) -> None:
    vendor.status = 401
    for _ in range(letters):
        stage.event()
    stage.run(5)


def test_letters_of_a_topic_that_was_made_again_go_back_too(vendor: Vendor) -> None:
    stage = redriven(vendor, 5)
    stage.letter_topics.make_again(CREDENTIALS + "default")
    parked(stage, vendor, 3)
    assert len(stage.credential_letters()) == 3
    vendor.status = 200
    stage.run(60)
    assert stage.account.delivered == 8
    assert stage.account.parked["credentials"] == 0
    assert stage.view.cursors == {PLACE: 3}


def test_a_keeper_that_was_away_forgets_the_cursor_before_it_does_anything(vendor: Vendor) -> None:
    before = redriven(vendor, 5)
    parked(before, vendor, 2)
    before.keeper.own(False)
    before.keeper.step()
    before.letter_topics.make_again(CREDENTIALS + "default")
    parked(before, vendor, 3)
    after = Stage(vendor, kafka=before.kafka, clock=before.clock, instance="sink-1")
    after.letter_topics.made_again = before.letter_topics.made_again
    vendor.status = 200
    after.run(60)
    assert after.view.cursors == {PLACE: 3}
    assert (line := after.audit("dead letters forgotten")[0])["why"] == WHY
    assert line["cursors"] == {"0": 5}


def test_letters_that_were_deleted_with_their_topic_are_lost_and_the_account_adds_up(vendor: Vendor) -> None:
    stage = redriven(vendor, 5)
    parked(stage, vendor, 2)
    stage.letter_topics.make_again(CREDENTIALS + "default")
    stage.run(10)
    assert stage.account.parked["credentials"] == 2, "not counted while everything moves"
    stage.missing = MissingRecords({"credentials": 2, "rejected": 0})
    stage.run(20)
    stage.missing = MissingRecords({"credentials": 7})
    stage.run(60)
    account = stage.account
    assert (account.parked["credentials"], account.lost, account.waiting) == (0, 2, 0)
    assert account.routed == account.delivered + account.lost
    assert stage.audit("records lost")[0]["letters"] == {"credentials": 2}


def test_records_that_were_deleted_with_the_connectors_topic_are_lost(vendor: Vendor) -> None:
    stage = redriven(vendor, 5)
    stage.letter_topics.made_again[TOPIC] = 1
    stage.missing = MissingRecords({}, 3)
    stage.run(60)
    assert stage.view.totals.undelivered == 3
    assert stage.account.lost == 3
    assert stage.audit("deliveries began again")[0]["topic"] == TOPIC


def test_what_was_read_twice_because_of_it_is_counted_as_again(vendor: Vendor) -> None:
    stage = redriven(vendor, 5)
    stage.letter_topics.made_again[TOPIC] = 1
    stage.missing = MissingRecords({"credentials": -2}, -3)
    stage.run(60)
    totals = stage.view.totals
    assert (totals.undelivered, totals.again, totals.redriven, totals.deleted) == (0, 5, {"credentials": 3}, {})


def test_offsets_that_were_no_records_are_not_counted_once_more_with_their_topic() -> None:
    """A gap is made exact while what was deleted with the topic is counted: one of them has counted both."""
    kafka, clock = FakeKafka(), MovableClock()
    asked: list[Future[MissingRecords | None]] = []

    def run(_call: object) -> Future[MissingRecords | None]:
        asked.append(Future())
        return asked[-1]

    kafka.write(TOPIC, b"one")
    held = lease(kafka, clock)
    deleted = KnownTopic(topic_id=FakeLetterTopics(kafka).ids([TOPIC])[TOPIC], is_uncounted=True)
    held.commit({key("topic", "growth", "connector"): deleted})
    known = KnownTopics((), FakeLetterTopics(kafka), lambda: None, run)
    known.step(held)
    clock.advance(20)
    known.step(held)
    held.commit({key("totals", "growth"): Totals(overcounted=1, revision=1)})
    asked[0].set_result(MissingRecords({}, -1))
    known.step(held)
    assert held.view.totals.again == 0
    clock.advance(20)
    known.step(held)
    asked[1].set_result(MissingRecords({}, 0))
    known.step(held)
    assert held.view.totals.again == 0
    assert not held.view.known_topics["connector"].is_uncounted


def test_state_that_knows_no_ids_keeps_its_cursors_and_learns_the_ids(vendor: Vendor) -> None:
    stage = redriven(vendor, 5)
    name = key("topic", "growth", "credentials.default").encode()
    for partition, records in stage.kafka.records.items():
        if partition[0] == STATE:
            stage.kafka.records[partition] = [one for one in records if one.key() != name]
    after = Stage(vendor, kafka=stage.kafka, clock=stage.clock, instance="sink-1")
    after.run(20)
    assert after.view.cursors == {PLACE: 5}
    assert after.view.known_topics["credentials.default"].topic_id
    assert not after.audit("dead letters forgotten")


def test_settled_letters_and_purged_ones_are_forgotten_with_their_topic(vendor: Vendor) -> None:
    stage = Stage(vendor)
    stage.event()
    stage.run(1)
    bits = "gA" + "A" * 1364 + "=="
    changes = {key("settled", "growth", name, 0, 0): SettledBlock(bits=bits) for name in ("rejected", "purged")}
    assert stage.keeper.lease is not None
    stage.keeper.lease.commit(changes)
    assert stage.view.settled
    stage.letter_topics.make_again("streams.dead-letter.growth.rejected")
    stage.run(10)
    assert not any(len(settled) for settled in stage.view.settled.values())
    assert not stage.keeper.lease.view.settled


def test_nothing_is_deleted_by_the_cursor_of_a_topic_that_was_deleted(vendor: Vendor) -> None:
    stage = redriven(vendor, 5)
    topic = CREDENTIALS + "default"
    stage.letter_topics.make_again(topic)
    parked(stage, vendor, 3)
    stage.run(60)
    assert (topic, 0) not in stage.kafka.deleted_before
    vendor.status = 200
    stage.run(60)
    assert stage.kafka.deleted_before[topic, 0] == 3


def test_a_job_on_letters_whose_topic_was_made_again_ends_and_says_so(vendor: Vendor) -> None:
    stage = Stage(vendor)
    stage.event()
    stage.run(1)
    assert stage.keeper.lease is not None
    stage.letter_topics.make_again("streams.dead-letter.growth.rejected")
    job = {"v": 1, "action": "replay", "status": "running", "who": "ann", "created": 1}
    stage.kafka.write(STATE, json.dumps(job).encode(), b"job/growth/one")
    after = Stage(vendor, kafka=stage.kafka, clock=stage.clock, instance="sink-1")
    after.letter_topics.made_again = stage.letter_topics.made_again
    after.run(1)
    assert after.view.jobs["one"].status == "failed"
    assert "plan again" in after.view.jobs["one"].detail
    assert any(b"replay failed" in (line.value() or b"") for line in after.kafka.read(AUDIT))


def test_the_id_of_each_topic_is_written_once(vendor: Vendor) -> None:
    stage = Stage(vendor)
    stage.event()
    stage.run(30)
    known = stage.view.known_topics
    assert set(known) == {"rejected", "credentials.default", "connector"}
    assert all(isinstance(topic, KnownTopic) and not topic.is_uncounted for topic in known.values())
    names = [record.key() for record in stage.kafka.read(STATE)]
    assert names.count(b"topic/growth/rejected") == 1
