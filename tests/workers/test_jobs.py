"""Replays and purges: each letter leaves once, byte for byte, whatever is killed; and only what was meant."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.ports.errors import Fenced, TransactionAborted
from streams.state.records import Cursor, Job, key
from streams.testing.ports import FakeLetterTopics
from tests.workers.desk import CLICK, CREDENTIALS, OPEN, TOPICS, Desk, event, verdict

FOREIGN = [
    ("foreign", b"one"),
    ("streams-origin", f"currents.{OPEN}/0/0".encode()),
    ("foreign", b"\xff\x00"),
    ("empty", None),
]


# What a replay does.


@pytest.mark.parametrize("value", [b"\x00\xff bytes", b"", None])
@pytest.mark.parametrize("key", [b"\xfe", None])
def test_a_letter_goes_back_byte_for_byte_with_its_history(value: bytes | None, key: bytes | None) -> None:
    desk = Desk()
    desk.letter(value, key=key, replays=1)
    job_id = desk.order()
    desk.finish(job_id)
    (message,) = desk.returned
    assert (message.key(), message.value()) == (key, value)
    *foreign, (name, _) = message.headers() or []
    assert foreign == FOREIGN
    assert name == "streams-verdict"
    assert verdict(message)["replays"] == 2
    assert verdict(message)["job"] == job_id
    assert verdict(message)["status"] == 400


def test_a_replay_moves_the_counts_with_the_letters_and_says_how_it_ended() -> None:
    desk = Desk()
    desk.fill(5)
    desk.letter(cause="gave-up")
    revision = desk.lease.view.totals.revision
    job = desk.finish(desk.order(revision=revision))
    assert (job.status, job.done, job.left_out) == ("done", 6, {})
    totals = desk.lease.view.totals
    assert totals.replayed == {"rejected": 5, "gave-up": 1}
    assert totals.revision > revision
    (line,) = desk.audit("replay done")
    assert (line["who"], line["why"], line["job"], line["done"]) == ("dana", "fixed", "job-1", 6)


def test_a_letter_that_its_topic_does_not_take_stays_parked_and_holds_up_no_other() -> None:
    desk = Desk()
    desk.fill(20)
    desk.letter(b"x" * 500)
    desk.fill(3)
    desk.kafka.topic_bytes_max[desk.topics.connector] = 400
    job = desk.finish(desk.order())
    assert (job.status, job.done, job.left_out) == ("done", 23, {"refused": 1})
    assert desk.lease.view.totals.replayed == {"rejected": 23}
    del desk.kafka.topic_bytes_max[desk.topics.connector]
    assert desk.finish(desk.order()).done == 1
    assert [message.value() for message in desk.returned][-1] == b"x" * 500


def test_a_credentials_letter_that_is_refused_is_among_the_rejected_ones_after_a_replay() -> None:
    desk = Desk()
    for value in (b"one", b"x" * 500, b"two"):
        desk.letter(value, cause="credentials", letters=CREDENTIALS)
    desk.kafka.topic_bytes_max[desk.topics.connector] = 400
    job = desk.finish(desk.order(letters=CREDENTIALS))
    assert (job.status, job.done, job.left_out) == ("done", 2, {"refused": 1})
    assert [message.value() for message in desk.returned] == [b"one", b"two"]
    (moved,) = desk.kafka.read(desk.topics.rejected)
    assert (moved.value(), dict(moved.headers() or [])["streams-cause"]) == (b"x" * 500, b"rejected")
    totals = desk.lease.view.totals
    assert (totals.replayed, totals.refused) == ({"credentials": 2}, {"credentials": 1})


def test_what_was_replayed_is_not_replayed_again() -> None:
    desk = Desk()
    desk.fill(5)
    desk.finish(desk.order())
    assert desk.finish(desk.order()).done == 0
    assert len(desk.returned) == 5


def test_again_sends_marked_copies_of_settled_letters_and_counts_them_apart() -> None:
    desk = Desk()
    desk.fill(4)
    desk.finish(desk.order())
    desk.letter(b"new")
    job_id = desk.order(again=True)
    assert desk.finish(job_id).done == 5
    copies = [message for message in desk.returned if verdict(message)["job"] == job_id]
    assert {message.value(): verdict(message).get("again") for message in copies} == {
        **{b"%d" % number: job_id for number in range(4)},
        b"new": None,
    }
    totals = desk.lease.view.totals
    assert (totals.replayed, totals.again) == ({"rejected": 5}, 4)


def test_what_a_person_purged_never_comes_back() -> None:
    desk = Desk()
    desk.fill(4)
    desk.finish(desk.order("purge", limit=1))
    desk.finish(desk.order())
    desk.finish(desk.order(again=True))
    assert sorted(filter(None, desk.values)) == [b"1", b"1", b"2", b"2", b"3", b"3"]


def test_a_letter_that_failed_three_replays_is_left_for_a_person() -> None:
    desk = Desk()
    for replays in (2, 3, 4):
        desk.letter(b"%d" % replays, replays=replays)
    job = desk.finish(desk.order())
    assert (desk.values, job.done, job.left_out) == ([b"2"], 1, {"replays": 2})
    assert desk.finish(desk.order("purge")).done == 2


def test_only_what_was_selected_leaves() -> None:
    desk = Desk()
    early = desk.clock.epoch_ms()
    desk.letter(event(1), cause="gave-up")
    desk.letter(event(2))
    desk.letter(event(3, CLICK))
    desk.clock.advance(60)
    desk.letter(event(4))
    for selection, expected in (
        ({"event_ids": ("event-4", "event-9")}, [4]),
        ({"causes": ("gave-up",)}, [1]),
        ({"event_types": ("*.email.Cl*",)}, [3]),
        ({"since": early + 1}, []),
        ({"until": early + 1}, [2]),
    ):
        before = len(desk.returned)
        desk.finish(desk.order(**selection))
        events = [event(number, CLICK if number == 3 else OPEN) for number in expected]
        assert desk.values[before:] == events, selection


def test_letters_that_came_after_the_plan_stay() -> None:
    desk = Desk()
    desk.fill(4)
    job_id = desk.order()
    desk.fill(6)
    desk.finish(job_id)
    assert sorted(filter(None, desk.values)) == [b"0", b"1", b"2", b"3"]


def test_where_planned_letters_are_gone_later_ones_are_not_taken_for_them() -> None:
    desk = Desk()
    for _ in range(3):
        desk.letter(b"planned")
    job_id = desk.order()
    for _ in range(3):
        desk.letter(b"later")
    desk.letter_topics.delete_before({(TOPICS.rejected, 0): 4})
    job = desk.finish(job_id)
    assert (job.status, job.done, desk.values) == ("done", 0, [])


def test_a_limit_is_kept_over_transactions() -> None:
    desk = Desk()
    desk.fill(30)
    job = desk.finish(desk.order(limit=17, rate=20))
    assert (job.done, len(desk.returned)) == (17, 17)


def test_a_rate_is_never_exceeded() -> None:
    desk = Desk()
    desk.fill(60)
    began = desk.clock.monotonic()
    for _ in desk.steps(desk.order(rate=10)):
        assert len(desk.returned) <= 10 * (desk.clock.monotonic() - began) + 5
    assert len(desk.returned) == 60
    assert desk.clock.monotonic() - began < 8


def test_a_rate_of_less_than_one_letter_a_second_moves_on() -> None:
    desk = Desk()
    desk.fill(3)
    began = desk.clock.monotonic()
    desk.finish(desk.order(rate=0.5))
    assert len(desk.returned) == 3
    assert desk.clock.monotonic() - began >= 3


def test_a_transaction_holds_no_more_than_its_limits() -> None:
    desk = Desk()
    for number in range(12):
        desk.letter(b"x" * 900_000, partition=number % 3)
    written = []
    for _ in desk.steps(desk.order()):
        written.append(len(desk.returned))
    steps = [after - before for before, after in zip([0, *written], written, strict=False)]
    assert sum(steps) == 12
    assert max(steps) <= 5


# Kills.


@pytest.mark.parametrize("what", ["replay", "purge"])
@pytest.mark.parametrize("letters", ["rejected", CREDENTIALS])
def test_a_keeper_killed_after_every_commit_settles_each_letter_once(what: str, letters: str) -> None:
    desk = Desk()
    desk.fill(40, letters=letters)
    job_id = desk.order(what, letters=letters, rate=12)
    keepers = 0
    for _ in desk.steps(job_id):
        desk.take_over()
        keepers += 1
    assert keepers > 5
    check_each_once(desk, job_id, what, letters, 40)


@pytest.mark.parametrize("what", ["replay", "purge"])
def test_commits_that_are_refused_leave_nothing_behind(what: str) -> None:
    desk = Desk()
    desk.fill(40)
    job_id = desk.order(what, rate=12)
    for _ in desk.steps(job_id):
        desk.kafka.refuse_commits = 1 - desk.kafka.refuse_commits
    desk.kafka.refuse_commits = 0
    check_each_once(desk, job_id, what, "rejected", 40)


@given(
    accidents=st.lists(st.sampled_from(["step", "kill", "refuse", "wait", "late letter"]), max_size=40),
    letters=st.sampled_from(["rejected", CREDENTIALS]),
)
def test_any_order_of_accidents_settles_each_planned_letter_once(accidents: list[str], letters: str) -> None:
    desk = Desk()
    desk.fill(25, letters=letters)
    job_id = desk.order(letters=letters, rate=16)
    for accident in accidents:
        match accident:
            case "kill":
                desk.take_over()
            case "refuse":
                desk.kafka.refuse_commits = 1
            case "wait":
                desk.clock.advance(1)
            case "late letter":
                desk.letter(b"late", letters=letters)
        try:
            desk.jobs.step(desk.lease)
        except TransactionAborted:
            desk.jobs.begin()
        desk.kafka.refuse_commits = 0
    desk.finish(job_id)
    check_each_once(desk, job_id, "replay", letters, 25)


def test_copies_and_what_is_left_out_count_once_through_kills_and_refusals() -> None:
    desk = Desk()
    for number in range(40):
        desk.letter(b"%d" % number, replays=3 * (number % 2), partition=number % 3)
    desk.finish(desk.order())
    job_id = desk.order(again=True, rate=12)
    for step, _ in enumerate(desk.steps(job_id)):
        desk.kafka.refuse_commits = int(step % 3 == 0)
        if step % 3 == 1:
            desk.take_over()
    assert desk.job(job_id).left_out == {"replays": 20}
    assert desk.lease.view.totals.again == 20
    assert sorted(filter(None, desk.values)) == sorted(2 * [b"%d" % number for number in range(0, 40, 2)])


def check_each_once(desk: Desk, job_id: str, what: str, letters: str, count: int) -> None:
    cause = "rejected"
    assert desk.job(job_id).done == count
    assert getattr(desk.lease.view.totals, "replayed" if what == "replay" else "purged") == {cause: count}
    expected = sorted(b"%d" % number for number in range(count)) if what == "replay" else []
    assert sorted(filter(None, desk.values)) == expected
    receipts = desk.audit("purged")
    assert sum(line["letters"] for line in receipts) == (count if what == "purge" else 0)
    for partition in range(3):
        share = len(range(partition, count, 3))
        assert all(desk.lease.view.is_settled((letters, partition), offset) for offset in range(share))
    assert len(desk.audit(f"{what} done")) == 1


def test_a_keeper_that_was_replaced_writes_nothing_more() -> None:
    desk = Desk()
    desk.fill(20)
    job_id = desk.order(rate=12)
    desk.jobs.step(desk.lease)
    zombie_jobs, zombie_lease = desk.jobs, desk.lease
    desk.take_over()
    desk.clock.advance(5)
    before = len(desk.returned)
    with pytest.raises(Fenced):
        zombie_jobs.step(zombie_lease)
    assert len(desk.returned) == before
    desk.finish(job_id)
    check_each_once(desk, job_id, "replay", "rejected", 20)


# Cancelling, and one at a time.


def test_a_cancelled_job_keeps_what_it_did_and_does_no_more() -> None:
    desk = Desk()
    desk.fill(30)
    job_id = desk.order(rate=12)
    desk.jobs.step(desk.lease)
    done = len(desk.returned)
    assert 0 < done < 30
    _, answer = desk.ask("cancel", {"job": job_id})
    assert answer.outcome == "done"
    for _ in range(20):
        assert not desk.jobs.step(desk.lease)
        desk.clock.advance(1)
    assert len(desk.returned) == done
    assert (desk.job(job_id).status, desk.job(job_id).done) == ("cancelled", done)
    desk.finish(desk.order())
    assert sorted(filter(None, desk.values)) == sorted(b"%d" % number for number in range(30))


def test_a_cancelled_job_stays_cancelled_after_a_kill() -> None:
    desk = Desk()
    desk.fill(3)
    job_id = desk.order()
    desk.ask("cancel", {"job": job_id})
    desk.take_over()
    desk.jobs.step(desk.lease)
    assert desk.returned == []
    assert desk.job(job_id).status == "cancelled"


def test_a_second_order_is_refused_by_the_name_of_the_first() -> None:
    desk = Desk()
    desk.fill(30)
    job_id = desk.order(rate=12)
    arguments = {"selection": {}, "ends": desk.ends()}
    for _ in range(2):
        _, answer = desk.ask("purge", arguments)
        assert answer.outcome == "refused"
        assert job_id in answer.detail
        assert "one per connector at a time" in answer.detail
        desk.jobs.step(desk.lease)  # queued at first, then running


@pytest.mark.parametrize(
    ("job", "words"), [("job-9", "no job job-9"), ("job-1", "done) has ended already"), (None, "no job")]
)
def test_only_a_job_that_is_under_way_can_be_cancelled(job: str | None, words: str) -> None:
    desk = Desk()
    desk.letter()
    desk.finish(desk.order())
    _, answer = desk.ask("cancel", {} if job is None else {"job": job})
    assert answer.outcome == "refused"
    assert words in answer.detail


def test_a_plan_that_is_stale_is_not_carried_out() -> None:
    desk = Desk()
    desk.fill(3)
    revision = desk.lease.view.totals.revision
    desk.finish(desk.order(limit=1))
    _, answer = desk.ask("replay", {"selection": {}, "ends": desk.ends(), "revision": revision})
    assert answer.outcome == "stale"
    assert len(desk.lease.view.jobs) == 1


# Orders that are refused.


@pytest.mark.parametrize(
    ("what", "change", "words"),
    [
        ("replay", {"selection": {"since": "yesterday"}}, "selection.since"),
        ("replay", {"selection": {"colour": "red"}}, "selection.colour"),
        ("replay", {"selection": {"limit": 0}}, "selection.limit"),
        ("replay", {"selection": {"letters": "lost"}}, "neither rejected nor credentials.<scope>"),
        ("purge", {"selection": {"letters": "credentials."}}, "neither rejected nor credentials.<scope>"),
        ("purge", {"selection": {"again": True}}, "again is for a replay"),
        ("replay", {"ends": {}}, "names no partition"),
        ("replay", {"ends": {"credentials.default/0": 5}}, "is not rejected/<partition>"),
        ("replay", {"ends": {"rejected/x": 5}}, "is not rejected/<partition>"),
        ("replay", {"ends": {"rejected/7": 5}}, "has no partition 7"),
        ("replay", {"ends": {"rejected/0": -1}}, "ends.rejected/0"),
        ("replay", {"rate": 0}, "rate"),
        ("replay", {"rate": float("inf")}, "rate"),
        ("replay", {"speed": 3}, "speed"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_with_its_place(what: str, change: dict[str, Any], words: str) -> None:
    desk = Desk()
    desk.letter()
    _, answer = desk.ask(what, {"selection": {}, "ends": {"rejected/0": 1}, **change})
    assert answer.outcome == "refused"
    assert words in answer.detail
    assert desk.lease.view.jobs == {}


@pytest.mark.parametrize(
    "filters",
    [
        {"causes": ["credentials"]},
        {"since": 1},
        {"limit": 3},
        {"event_types": ["*"]},
        {"event_ids": ["e"]},
        {"fingerprints": ["f"]},
        {"again": True},
    ],
)
@pytest.mark.parametrize("what", ["replay", "purge"])
def test_credentials_letters_are_selected_by_until_alone(what: str, filters: dict[str, Any]) -> None:
    desk = Desk()
    desk.letter(letters=CREDENTIALS)
    selection = {"letters": CREDENTIALS, "until": 5, **filters}
    _, answer = desk.ask(what, {"selection": selection, "ends": desk.ends(CREDENTIALS)})
    assert answer.outcome == "refused"
    assert next(iter(filters)) in answer.detail


def test_an_order_for_topics_that_are_gone_is_refused() -> None:
    desk = Desk()
    desk.letter()
    desk.letter_topics = FakeLetterTopics(desk.kafka, 0)
    desk.take_over()
    _, answer = desk.ask("replay", {"selection": {}, "ends": desk.ends()})
    assert (answer.outcome, answer.detail) == ("refused", f"there is no topic {TOPICS.rejected}")


class OnlyLetters(FakeLetterTopics):
    """The connector's topic is gone."""

    def partitions(self, topic: str) -> list[tuple[str, int]]:
        return [] if topic == TOPICS.connector else [(topic, number) for number in range(3)]


def test_a_job_whose_topic_goes_ends_as_failed_and_settles_nothing() -> None:
    desk = Desk()
    desk.fill(3)
    job_id = desk.order()
    desk.letter_topics = OnlyLetters(desk.kafka)
    desk.take_over()
    job = desk.finish(job_id)
    assert (job.status, job.done) == ("failed", 0)
    assert TOPICS.connector in job.detail
    assert desk.audit("replay failed")[0]["detail"] == job.detail
    assert not desk.lease.view.is_settled(("rejected", 0), 0)
    desk.finish(desk.order("purge"))  # a purge needs no topic to write to


# Purges.


def test_a_purge_writes_a_receipt_and_no_record() -> None:
    desk = Desk()
    for number in range(4):
        desk.letter(event(number))
    desk.letter(event(7, CLICK), cause="gave-up", partition=1)
    desk.letter(b"no avro")
    desk.letter(event(9), cause="gave-up")
    desk.finish(desk.order("purge", event_ids=("event-2",)))
    job_id = desk.order("purge")
    job = desk.finish(job_id)
    assert desk.returned == []
    assert job.done == 6
    assert desk.lease.view.totals.purged == {"rejected": 5, "gave-up": 2}
    first, second = desk.audit("purged")
    assert first["offsets"] == {"0": [[2, 3]]}
    assert (second["who"], second["why"], second["job"]) == ("dana", "fixed", job_id)
    assert second["letters"] == 6
    assert second["causes"] == {"rejected": 4, "gave-up": 2}
    assert second["event_types"] == {OPEN: 4, CLICK: 1, "unknown": 1}
    assert second["offsets"] == {"0": [[0, 2], [3, 6]], "1": [[0, 1]]}
    assert (second["first_event_time"], second["last_event_time"]) == (1_790_000_000, 1_790_000_009)
    assert "event-" not in str(second)


# Credentials letters: a prefix.


@pytest.mark.parametrize("what", ["replay", "purge"])
def test_of_credentials_letters_a_prefix_leaves_and_the_cursor_passes_it(what: str) -> None:
    desk = Desk()
    parked_at = (10, 20, 90, 30)
    for at in parked_at:
        desk.letter(b"%d" % at, letters=CREDENTIALS, cause="credentials", parked_at=at)
    desk.letter(b"first of partition 1 is young", letters=CREDENTIALS, parked_at=95, partition=1)
    job = desk.finish(desk.order(what, letters=CREDENTIALS, until=50))
    assert job.done == 2
    assert desk.values == ([b"10", b"20"] if what == "replay" else [])
    assert desk.lease.view.cursors == {(CREDENTIALS, 0): 2}
    assert desk.lease.view.settled == {}


def test_a_prefix_leaves_nothing_out_however_often_it_was_replayed() -> None:
    desk = Desk()
    for replays in (5, 0):
        desk.letter(b"%d" % replays, letters=CREDENTIALS, replays=replays)
    desk.finish(desk.order(letters=CREDENTIALS))
    assert desk.values == [b"5", b"0"]


def test_what_was_redriven_meanwhile_is_passed_by() -> None:
    desk = Desk()
    desk.fill(30, letters=CREDENTIALS)
    job_id = desk.order(letters=CREDENTIALS, rate=8)
    desk.jobs.step(desk.lease)
    assert desk.values == [b"0", b"3", b"6", b"9"]
    cursors = {key("cursor", "growth", CREDENTIALS, partition): Cursor(offset=8) for partition in range(3)}
    desk.lease.commit(cursors)
    desk.finish(job_id)
    assert sorted(filter(None, desk.values[4:])) == [b"24", b"25", b"26", b"27", b"28", b"29"]
    assert desk.lease.view.cursors == {(CREDENTIALS, partition): 10 for partition in range(3)}


# The rest.


def test_only_the_newest_fifty_ended_jobs_are_remembered() -> None:
    desk = Desk()
    for _ in range(53):
        desk.letter()
        desk.finish(desk.order())
        desk.clock.advance(1)
    desk.ask("cancel", {"job": desk.order()})
    assert list(desk.lease.view.jobs) == [f"job-{number}" for number in range(5, 55)]
    desk.take_over()
    assert len(desk.lease.view.jobs) == 50


def test_a_job_that_finds_nothing_ends() -> None:
    desk = Desk()
    desk.fill(5)
    job = desk.finish(desk.order(causes=("gave-up",)))
    assert (job.status, job.done) == ("done", 0)
    assert desk.lease.view.totals.revision == 0


def test_a_job_of_a_newer_version_fails_and_frees_the_place() -> None:
    from streams.state.records import key

    desk = Desk()
    desk.letter()
    newer = Job(
        action="replay", status="running", who="dana", created=1, selection={"mood": "x"}, ends={"rejected/0": 1}
    )
    desk.lease.commit({key("job", "growth", "newer"): newer})
    job = desk.finish("newer")
    assert job.status == "failed"
    assert "selection.mood" in job.detail
    assert desk.finish(desk.order()).done == 1
