"""What a process waits for is told on the state topic: what lasts, seldom, and taken back when it is over."""

from __future__ import annotations

from streams.state.state_view import StateView
from streams.state.worker_records import BackOff, PartitionWait, Waits
from streams.testing.clock import MovableClock
from streams.testing.ports import FakeConsumer, FakeKafka, FakeTransactions
from streams.workers.reading.wait_report import WaitReport, partition_waits
from streams.workers.reading.waiting_partitions import WaitingPartitions

STATE = "streams.state"


class Scene:
    """A process that waits or does not, and the state topic that it tells it on."""

    def __init__(self) -> None:
        self.kafka, self.clock = FakeKafka(), MovableClock()
        self.report = WaitReport(
            "growth", "sink-0", state_topic=STATE, transactions=FakeTransactions(self.kafka), clock=self.clock
        )
        self.began_ms = self.clock.epoch_ms()

    def back_off(self, status: int = 503, next_try_in: float = 12.0) -> Waits:
        next_try = self.clock.epoch_ms() + round(next_try_in * 1000)
        one = BackOff(status=status, detail=f"status {status}", since=self.began_ms, next_try=next_try)
        return Waits(back_offs={"default": one})

    def run(self, seconds: int, waits: Waits) -> None:
        for _ in range(seconds):
            self.clock.advance(1.0)
            self.report.step(lambda: waits)

    @property
    def told(self) -> list[bytes | None]:
        return [message.value() for message in self.kafka.read(STATE)]

    @property
    def view(self) -> StateView:
        view = StateView("growth")
        for message in self.kafka.read(STATE):
            view.apply((message.key() or b"").decode(), message.value())
        return view


def test_what_is_over_within_seconds_is_not_told() -> None:
    scene = Scene()
    scene.run(2, scene.back_off())
    scene.run(10, Waits())
    assert scene.told == []


def test_a_back_off_that_lasts_is_told_as_people_read_it() -> None:
    scene = Scene()
    scene.run(5, scene.back_off(next_try_in=17.0))
    now_ms = scene.clock.epoch_ms()
    (back_off,) = scene.view.back_offs(now_ms).values()
    assert back_off.sentence(now_ms) == "backing off since 12:00, last answer 503, next try in 12 s"


def test_answers_that_change_each_second_are_told_each_ten_seconds_and_none_that_changes_each_minute() -> None:
    scene = Scene()
    for second in range(60):
        scene.run(1, scene.back_off(next_try_in=second))
    assert 4 <= len(scene.told) <= 7
    scene.told.clear()
    before = len(scene.told)
    scene.run(120, scene.back_off())
    assert len(scene.told) - before <= 3


def test_what_is_over_is_taken_back() -> None:
    scene = Scene()
    scene.run(5, scene.back_off())
    scene.run(1, Waits())
    assert scene.told[-1] is None
    assert scene.view.back_offs(scene.clock.epoch_ms()) == {}


def test_a_process_that_was_killed_is_not_believed_for_ever() -> None:
    scene = Scene()
    scene.run(5, scene.back_off())
    assert scene.view.back_offs(scene.clock.epoch_ms())
    scene.clock.advance(200.0)
    assert scene.view.back_offs(scene.clock.epoch_ms()) == {}


def test_a_refused_transaction_is_told_again() -> None:
    scene = Scene()
    scene.kafka.refuse_commits = 1
    scene.run(6, scene.back_off())
    assert len(scene.told) == 1


def test_a_partition_that_is_asked_again_each_second_waits_since_its_first_second() -> None:
    clock = MovableClock()
    kafka = FakeKafka()
    waiting = WaitingPartitions(FakeConsumer(kafka))
    began_ms = clock.epoch_ms()
    for _ in range(5):
        waiting.hold(("currents.open", 0), 7, clock.monotonic(), "schema", "unknown schema id 9")
        clock.advance(1.0)
        waiting.resume_due(clock.monotonic())
    expected = PartitionWait(why="schema", detail="unknown schema id 9", since=began_ms, offset=7)
    assert partition_waits(waiting, clock) == {"currents.open/0": expected}
    clock.advance(5.0)
    assert partition_waits(waiting, clock) == {}


def test_a_slow_second_or_an_aborted_transaction_does_not_make_an_old_wait_a_new_one() -> None:
    clock = MovableClock()
    waiting = WaitingPartitions(FakeConsumer(FakeKafka()))
    place, began_ms = ("currents.open", 0), clock.epoch_ms()

    def since_ms() -> int:
        waiting.hold(place, 7, clock.monotonic(), "registry", "no answer")
        return partition_waits(waiting, clock)["currents.open/0"].since

    assert since_ms() == began_ms
    waiting.resume_due(clock.monotonic() + 1.0)
    clock.advance(30.0)
    assert partition_waits(waiting, clock) == {}, "nobody has held it for half a minute"
    assert since_ms() == began_ms, "it was never read past this offset"
    waiting.release_all()
    clock.advance(1.0)
    assert since_ms() == began_ms
    waiting.forget([place])
    assert since_ms() == clock.epoch_ms(), "what happened while another process had it is not known"
