"""The lane: which batch goes next, and what every kind of answer makes of it."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from streams.delivery.account import SinkCounts
from streams.delivery.batch import Batch
from streams.delivery.contract import (
    Delivered,
    Limits,
    Misconfigured,
    Refused,
    Request,
    Retry,
    Unauthorised,
    Undetermined,
    Verdict,
)
from streams.delivery.gate import Gate, Held, Open, Running, Stopped, Suspended
from streams.delivery.lane import Lane
from streams.delivery.ledger import Ledger
from streams.delivery.pace import TokenBucket
from streams.delivery.queues import PartitionOrder

LIMITS = Limits(
    batch_records_max=2000,
    batch_bytes_max=10_000_000,
    record_bytes_max=1_000_000,
    requests_in_flight_max=8,
    retry_base_seconds=1.0,
    records_per_second=None,
)
UNAVAILABLE = Retry("status 503", is_server_error=True, status=503)


class Scene:
    """A lane, one partition and a time of its own."""

    def __init__(self, *, give_up_seconds: float | None = None, seed: int = 7) -> None:
        self.now = 1000.0
        self.ledger = Ledger[str](0, SinkCounts())
        gate = Gate(LIMITS.retry_base_seconds, Random(seed))
        self.lane = Lane[str](
            "default", LIMITS, gate=gate, give_up_seconds=give_up_seconds, bucket=TokenBucket(None, 0.0)
        )
        self._offset = 0

    def batch(self, records: int, *, alone: bool = False, kind: str = "") -> Batch[str]:
        batch = Batch[str]("default", alone=alone, kind=kind)
        for _ in range(records):
            batch.add(b"{}", self.ledger, self.ledger.read(self._offset, 1), f"record {self._offset}")
            self._offset += 1
        self.lane.offer(batch)
        return batch

    def send(self) -> Batch[str]:
        batch = self.lane.next(self.now)
        assert batch is not None, "nothing is due"
        return batch

    def answer(self, batch: Batch[str], verdict: object) -> None:
        self.lane.answered(batch, verdict, self.now, 1_700_000_000.0)  # type: ignore[arg-type]

    def counts(self) -> tuple[int, dict[str, int]]:
        progress = self.ledger.progress(10_000)
        return (0, {}) if progress is None else (progress.counts.delivered, progress.counts.parked)

    def advance_until_due(self) -> float:
        """Seconds that the lane waits before it sends again."""
        wait = self.lane.due_in(self.now)
        assert wait is not None
        assert wait == 0.0 or self.lane.next(self.now + wait * 0.999) is None
        self.now += wait + 1e-9
        return wait


def test_a_delivered_batch_settles_every_record() -> None:
    scene = Scene()
    scene.batch(3)
    scene.answer(scene.send(), Delivered())
    assert scene.counts() == (3, {})


def test_records_refused_by_name_are_parked_and_the_others_delivered() -> None:
    scene = Scene()
    scene.batch(5)
    scene.answer(scene.send(), Refused({1: "bad time", 4: "bad id"}))
    assert scene.counts() == (3, {"rejected": 2})
    progress = scene.ledger.progress(10)
    assert progress is not None
    assert [(letter.source, letter.detail) for letter in progress.letters] == [
        ("record 1", "bad time"),
        ("record 4", "bad id"),
    ]
    assert scene.lane.next(scene.now) is None


def test_an_undetermined_batch_is_halved_until_the_culprit_stands_alone() -> None:
    scene = Scene()
    scene.batch(2000)
    culprit, requests = "record 1234", 0
    while (batch := scene.lane.next(scene.now)) is not None:
        requests += 1
        holds_culprit = culprit in batch.sources
        scene.answer(batch, Undetermined("not imported", 200) if holds_culprit else Delivered())
    assert scene.counts() == (1999, {"rejected": 1})
    assert requests <= 2 * 11 + 1


def test_a_failed_batch_goes_again_with_the_same_bytes_after_growing_waits() -> None:
    scene = Scene()
    offered = scene.batch(10)
    bounds = [(1.0, 2.0), (1.0, 4.0), (1.0, 8.0), (1.0, 16.0), (1.0, 32.0), (1.0, 60.0), (1.0, 60.0)]
    for shortest, longest in bounds:
        batch = scene.send()
        assert batch is offered
        scene.answer(batch, UNAVAILABLE)
        assert shortest <= scene.advance_until_due() <= longest
    scene.answer(scene.send(), Delivered())
    assert scene.counts() == (10, {})
    assert offered.attempts == len(bounds) + 1


def test_retry_after_is_obeyed_in_both_forms_and_capped() -> None:
    for header, least in [("37", 37.0), ("Tue, 14 Nov 2023 22:14:00 GMT", 40.0), ("100000", 900.0)]:
        scene = Scene()
        scene.batch(1)
        scene.answer(scene.send(), Retry("status 429", retry_after=header, is_throttling=True, status=429))
        assert least <= scene.advance_until_due() <= max(least, 2.0)


def test_requests_that_fail_together_lengthen_the_wait_once() -> None:
    scene = Scene()
    for _ in range(2):
        scene.batch(1)
    in_flight = [scene.send(), scene.send()]
    for batch in in_flight:
        scene.now += 0.001
        scene.answer(batch, UNAVAILABLE)
    assert scene.advance_until_due() <= 2.0


def test_while_backing_off_one_request_at_a_time_is_tried() -> None:
    scene = Scene()
    for _ in range(4):
        scene.batch(1)
    in_flight = [scene.send(), scene.send()]
    for batch in in_flight:
        scene.answer(batch, UNAVAILABLE)
    scene.advance_until_due()
    scene.send()
    assert scene.lane.next(scene.now + 1000) is None


def test_a_success_that_was_under_way_does_not_undercut_what_the_destination_asked() -> None:
    scene = Scene()
    scene.batch(1)
    scene.batch(1)
    scene.batch(1)
    throttled, earlier = scene.send(), scene.send()
    scene.now += 1
    scene.answer(throttled, Retry("status 429", retry_after="60", is_throttling=True, status=429))
    scene.now += 1
    scene.answer(earlier, Delivered())
    assert scene.lane.next(scene.now) is None
    wait = scene.lane.due_in(scene.now)
    assert wait is not None
    assert wait >= 58.0


def test_a_success_ends_the_back_off() -> None:
    scene = Scene()
    for _ in range(3):
        scene.batch(1)
    scene.answer(scene.send(), UNAVAILABLE)
    scene.advance_until_due()
    scene.answer(scene.send(), Delivered())
    assert scene.lane.gate.state == Open()
    scene.send()


def test_a_scope_that_is_valid_again_sends_at_once_whatever_an_older_answer_asked() -> None:
    scene = Scene()
    scene.batch(3)
    scene.answer(scene.send(), Retry("status 429", retry_after="600", is_throttling=True, status=429))
    assert scene.lane.next(scene.now) is None
    scene.lane.reset()
    assert scene.lane.due_in(scene.now) == 0.0
    assert len(scene.send()) == 3


def test_records_that_were_merged_with_a_refused_one_go_again_each_on_its_own() -> None:
    scene = Scene()
    scene.batch(4)
    scene.answer(scene.send(), Refused({0: "no such user"}, apart=frozenset({1, 2})))
    assert scene.lane.retries == 0
    assert [scene.send().sources, scene.send().sources] == [["record 1"], ["record 2"]]


def test_dead_credentials_hold_the_scope_and_nothing_is_parked() -> None:
    scene = Scene()
    scene.batch(5)
    scene.answer(scene.send(), Unauthorised(401, "Invalid credentials"))
    assert scene.lane.gate.state == Held(401, "Invalid credentials")
    assert scene.lane.next(scene.now + 1e6) is None
    assert scene.lane.due_in(scene.now) is None
    assert scene.counts() == (0, {})


def test_a_wrong_configuration_holds_and_nothing_is_parked() -> None:
    scene = Scene()
    scene.batch(5)
    scene.answer(scene.send(), Misconfigured("status 404"))
    assert scene.lane.gate.state == Stopped("status 404", Open())
    assert scene.lane.next(scene.now + 1e6) is None
    assert scene.counts() == (0, {})


def test_giving_up_parks_the_batch_after_the_configured_time() -> None:
    scene = Scene(give_up_seconds=3600.0)
    scene.batch(3)
    began = scene.now
    while scene.lane.due_in(scene.now) is not None:
        scene.advance_until_due()
        scene.answer(scene.send(), UNAVAILABLE)
    assert 3600.0 <= scene.now - began <= 3660.0
    assert scene.counts() == (0, {"gave-up": 3})


def test_without_a_configured_time_nothing_is_ever_given_up() -> None:
    scene = Scene()
    scene.batch(1)
    for _ in range(2000):
        scene.advance_until_due()
        scene.answer(scene.send(), UNAVAILABLE)
    assert scene.counts() == (0, {})
    assert scene.lane.due_in(scene.now) is not None


def test_a_poisonous_batch_is_halved_after_ten_minutes_while_others_succeed_and_only_the_culprit_is_parked() -> None:
    scene = Scene()
    scene.batch(64)
    began, culprit, delivered_beside = scene.now, "record 17", 0
    while scene.counts()[1] == {} and scene.now - began < 3 * 3600:
        if scene.lane.due_in(scene.now) is None:
            break
        scene.advance_until_due()
        scene.batch(1)  # live traffic goes on
        delivered_beside += 1
        while (batch := scene.lane.next(scene.now)) is not None:
            is_poison = culprit in batch.sources
            assert not is_poison or len(batch) == 64 or scene.now - began >= 600
            scene.answer(batch, UNAVAILABLE if is_poison else Delivered())
    parked = scene.ledger.progress(10)
    assert parked is not None
    assert [(letter.source, letter.cause) for letter in parked.letters] == [(culprit, "gave-up")]


def test_when_everything_fails_no_batch_is_halved_or_parked() -> None:
    scene = Scene()
    for _ in range(3):
        scene.batch(10)
    for _ in range(500):
        scene.advance_until_due()
        batch = scene.send()
        assert len(batch) == 10
        scene.answer(batch, UNAVAILABLE)
    assert scene.counts() == (0, {})


@pytest.mark.parametrize("verdict", [Undetermined("Required event field is missing", 400), Refused({0: "bad"})])
def test_a_kind_whose_first_event_was_refused_is_vetted_again(verdict: object) -> None:
    scene = Scene()
    assert scene.lane.vets("email.Open/1")
    assert not scene.lane.vets("email.Open/1")
    scene.batch(1, alone=True, kind="email.Open/1")
    scene.answer(scene.send(), verdict)
    assert scene.counts() == (0, {"rejected": 1})
    assert scene.lane.vets("email.Open/1")


def test_records_of_a_partition_that_was_taken_away_settle_nowhere_and_are_not_sent() -> None:
    scene = Scene()
    scene.batch(3)
    in_flight = scene.send()
    scene.batch(3)
    scene.ledger.close()
    scene.lane.drop_closed()
    scene.answer(in_flight, Delivered())
    assert scene.lane.next(scene.now) is None
    assert scene.counts() == (0, {})


def test_a_batch_that_was_sent_before_keeps_its_bytes_when_a_part_of_it_is_taken_away() -> None:
    scene = Scene()
    other = Ledger[str](0, SinkCounts())
    batch = scene.batch(2)
    batch.add(b"{}", other, other.read(0, 1), "other")
    scene.answer(scene.send(), UNAVAILABLE)
    scene.ledger.close()
    scene.lane.drop_closed()
    scene.advance_until_due()
    assert scene.send() is batch


@pytest.mark.parametrize(
    "verdict", [UNAVAILABLE, Unauthorised(401, "bad"), Undetermined("no list"), Misconfigured("404")]
)
def test_what_comes_back_unsettled_of_a_partition_that_was_taken_away_is_not_sent_again(verdict: Verdict) -> None:
    scene = Scene()
    scene.batch(4)
    batch = scene.send()
    scene.ledger.close()
    scene.lane.drop_closed()
    scene.answer(batch, verdict)
    scene.lane.reset()
    scene.lane.gate.take(Running())
    assert scene.lane.next(scene.now + 1_000.0) is None


def test_a_rate_delays_what_is_sent() -> None:
    gate = Gate(LIMITS.retry_base_seconds, Random(1))
    lane = Lane[str]("default", LIMITS, gate=gate, give_up_seconds=None, bucket=TokenBucket(100.0, 0.0))
    ledger = Ledger[str](0, SinkCounts())
    for _ in range(2):
        batch = Batch[str]("default")
        for _ in range(50):
            batch.add(b"{}", ledger, 0, "record")
        lane.offer(batch)
    assert lane.next(0.0) is not None
    assert lane.next(0.0) is None
    assert lane.due_in(0.0) == pytest.approx(0.5)
    assert lane.next(0.51) is not None


class OrderedScene:
    """A lane that keeps the order of each of two partitions."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.ledgers = [Ledger[str](0, SinkCounts()), Ledger[str](0, SinkCounts())]
        limits = replace(LIMITS, requests_per_second=20.0)
        self.bucket = TokenBucket(None, self.now)
        self.lane = Lane[str](
            "default",
            limits,
            gate=Gate(LIMITS.retry_base_seconds, Random(7)),
            give_up_seconds=None,
            bucket=self.bucket,
            queue=PartitionOrder[str](),
        )

    def batch(self, partition: int, *names: str, may_grow: bool = False) -> Batch[str]:
        batch = Batch[str]("default")
        batch.may_grow = may_grow
        ledger = self.ledgers[partition]
        for name in names:
            batch.add(name.encode(), ledger, ledger.read(ledger.unsettled, 1), name)
        self.lane.offer(batch)
        return batch

    def sent(self) -> list[Batch[str]]:
        """All that may go now."""
        sent = []
        while (batch := self.lane.next(self.now)) is not None:
            sent.append(batch)
        return sent

    def answer(self, batch: Batch[str], verdict: Verdict) -> None:
        self.lane.answered(batch, verdict, self.now, 1_700_000_000.0)


def test_in_order_one_batch_of_each_partition_is_on_its_way() -> None:
    scene = OrderedScene()
    first, second, other = scene.batch(0, "a"), scene.batch(0, "b"), scene.batch(1, "x")
    assert scene.sent() == [first, other]
    assert scene.lane.due_in(scene.now) is None
    scene.answer(other, Delivered())
    assert scene.sent() == []
    scene.answer(first, Delivered())
    assert scene.sent() == [second]


def test_in_order_new_events_join_those_of_their_partition_that_wait() -> None:
    scene = OrderedScene()
    scene.batch(0, "a", may_grow=True)
    scene.batch(1, "x", may_grow=True)
    scene.ledgers[0].skipped(scene.ledgers[0].read(1, 1), "unchanged")
    scene.batch(0, "b", "c", may_grow=True)
    first, other = scene.sent()
    scene.batch(0, "d", may_grow=True)  # the first ones are on their way
    assert [first.sources, other.sources] == [["a", "b", "c"], ["x"]]
    scene.answer(first, Delivered())
    assert [batch.sources for batch in scene.sent()] == [["d"]]
    progress = scene.ledgers[0].progress(10)
    assert progress is not None
    assert (progress.counts.delivered, progress.counts.skipped) == (3, {"unchanged": 1})


def test_in_order_events_that_were_taken_apart_stay_apart() -> None:
    scene = OrderedScene()
    scene.batch(0, "a", "b", may_grow=True)
    [batch] = scene.sent()
    scene.answer(batch, Undetermined("one of them"))
    scene.batch(0, "c", may_grow=True)
    went = []
    while sent := scene.sent():
        [batch] = sent
        went.append(batch.sources)
        scene.answer(batch, Delivered())
    assert went == [["a"], ["b"], ["c"]]


def test_in_order_a_request_that_was_built_takes_no_more_events() -> None:
    scene = OrderedScene()
    built = scene.batch(0, "a", may_grow=True)
    built.request = Request("POST", "http://127.0.0.1:1", {}, b"{}")
    scene.batch(0, "b", may_grow=True)
    assert [batch.sources for batch in scene.sent()] == [["a"]]


def test_in_order_a_batch_that_failed_goes_before_those_behind_it() -> None:
    scene = OrderedScene()
    first, second = scene.batch(0, "a"), scene.batch(0, "b")
    assert scene.sent() == [first]
    scene.answer(first, UNAVAILABLE)
    scene.now += 120
    assert scene.sent() == [first]
    scene.answer(first, Delivered())
    assert scene.sent() == [second]


def test_in_order_halves_and_singles_go_in_the_order_of_their_records() -> None:
    scene = OrderedScene()
    scene.batch(0, "a", "b", "c", "d")
    scene.batch(0, "e")
    went = []
    verdicts: list[Verdict] = [
        Undetermined("one of them"),
        Refused({}, frozenset({0, 1})),
        Delivered(),
        Delivered(),
        Delivered(),
    ]
    for verdict in [*verdicts, Delivered()]:
        [batch] = scene.sent()
        went.append(batch.sources)
        scene.answer(batch, verdict)
    assert went == [["a", "b", "c", "d"], ["a", "b"], ["a"], ["b"], ["c", "d"], ["e"]]


def test_in_order_what_a_stopped_connector_keeps_back_stays_before_those_behind_it() -> None:
    scene = OrderedScene()
    scene.batch(0, "a", "b", "c")
    scene.batch(0, "d")
    [batch] = scene.sent()
    scene.lane.gate.take(Suspended("a flood"))
    scene.answer(batch, Refused({1: "bad"}))
    scene.lane.gate.take(Running())
    [again] = scene.sent()
    assert again.sources == ["b"]
    scene.answer(again, Delivered())
    assert [batch.sources for batch in scene.sent()] == [["d"]]


def test_in_order_partitions_take_turns() -> None:
    scene = OrderedScene()
    for name in ("1", "2", "3"):
        scene.batch(0, "a" + name)
        scene.batch(1, "x" + name)
    went = []
    while (batch := scene.lane.next(scene.now)) is not None:
        went.append(batch.sources[0])
        scene.answer(batch, Delivered())
    assert went == ["a1", "x1", "a2", "x2", "a3", "x3"]


def test_in_order_nothing_of_a_partition_that_was_taken_away_goes_again() -> None:
    scene = OrderedScene()
    first, other = scene.batch(0, "a", "b"), scene.batch(1, "x")
    scene.batch(0, "c")
    assert scene.sent() == [first, other]
    scene.ledgers[0].close()
    scene.lane.drop_closed()
    scene.answer(first, UNAVAILABLE)
    scene.answer(other, Undetermined("no"))
    scene.now += 3600
    assert scene.sent() == []


def test_events_in_doubt_are_parked_where_they_must_not_be_doubled_and_the_others_go_again() -> None:
    scene = OrderedScene()
    batch = scene.batch(0, "a", "b", "c")
    batch.parks_in_doubt = frozenset({1})
    scene.sent()
    scene.answer(batch, Retry("status 429", is_throttling=True, status=429))
    scene.now += 120
    assert [one.sources for one in scene.sent()] == [["a", "b", "c"]]
    scene.answer(batch, Retry("no answer in time"))
    scene.now += 120
    [rest] = scene.sent()
    assert rest.sources == ["a", "c"]
    scene.answer(rest, Delivered())
    progress = scene.ledgers[0].progress(10)
    assert progress is not None
    assert (progress.counts.delivered, progress.counts.parked) == (2, {"gave-up": 1})
    [letter] = progress.letters
    assert (letter.source, letter.cause, letter.detail) == ("b", "gave-up", "no answer in time")


def test_a_rate_of_requests_counts_a_batch_as_one() -> None:
    scene = OrderedScene()
    scene.bucket.set_rate(4.0, scene.now)
    scene.now += 10
    for name in ("a", "b", "c"):
        scene.batch(0, name, name, name)
    went = 0
    while (batch := scene.lane.next(scene.now)) is not None:
        went += 1
        scene.answer(batch, Delivered())
    assert went == 2  # half a second's worth
    assert scene.lane.due_in(scene.now) == pytest.approx(0.25)


def test_a_batch_is_cut_between_any_two_of_its_events() -> None:
    ledger, other = Ledger[str](0, SinkCounts()), Ledger[str](0, SinkCounts())
    for offset in range(10):
        ledger.read(offset, 1)
        other.read(offset, 1)
    wanted = [(ledger, 0), (ledger, 1), (ledger, 4), (other, 2), (other, 3), (ledger, 5)]
    sources = [str(number) for number in range(len(wanted))]

    def filled() -> Batch[str]:
        batch = Batch[str]("default", generation=3)
        batch.failed_at = 1.0
        for source, (each, place) in zip(sources, wanted, strict=True):
            batch.add(source.encode(), each, place, source)
        return batch

    for count in range(1, 6):
        first, rest = filled().cut(count)
        assert rest is not None
        assert [*first.places(), *rest.places()] == wanted
        assert (first.sources, rest.sources) == (sources[:count], sources[count:])
        assert [*first.bodies, *rest.bodies] == [source.encode() for source in sources]
        assert (len(first), rest.generation, rest.failed_at) == (count, 3, 1.0)
        again, last = rest.cut(max(1, len(rest) - 1))
        assert [*again.places(), *([] if last is None else last.places())] == wanted[count:]
    batch = filled()
    assert batch.cut(6) == (batch, None)
