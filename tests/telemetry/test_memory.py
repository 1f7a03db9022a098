"""What a sink that remembers shows of it: rows, bytes, and full copies that are open."""

from __future__ import annotations

from streams.adapters.telemetry.prometheus import Metrics, SinkTelemetry
from tests.telemetry.scrape import Scrape
from tests.workers.composition_stage import TOPIC, CompositionStage, Process, takes_all
from tests.workers.test_composition import present


class Watched:
    """A process of a sink that can be scraped."""

    def __init__(self, stage: CompositionStage) -> None:
        self.metrics = Metrics()
        meter = SinkTelemetry(self.metrics, "notes", ["default"], event_time=lambda _message: None, clock=stage.clock)
        self.process: Process = stage.process(takes_all, meter)

    def shown(self, name: str) -> float | None:
        return Scrape(self.metrics.exposition()).value(f"streams_{name}", connector="notes")


def test_a_sink_shows_the_rows_that_it_remembers_and_their_size() -> None:
    stage = CompositionStage(partitions=2)
    watched = Watched(stage)
    watched.process.run(1)
    assert (watched.shown("sent_rows"), watched.shown("scratch_bytes")) == (0, 0)
    stage.write("ann", "set", partition=0, colour="red")
    stage.write("bob", "set", partition=0, colour="red")
    stage.write("cid", "set", partition=1, colour="red")
    watched.process.run(1)
    assert watched.shown("sent_rows") == 0, "it is not measured for every scrape"
    watched.process.run(30, 0.5)
    assert watched.shown("sent_rows") == len(stage.rows(0)) + len(stage.rows(1)) >= 3
    size = sum(len(key) + len(value) for number in (0, 1) for key, value in stage.rows(number).items())
    assert watched.shown("scratch_bytes") == size
    watched.process.sink.revoked([(TOPIC, 1)])
    watched.process.sink.step()
    assert watched.shown("sent_rows") == len(stage.rows(0))


def test_a_full_copy_is_shown_once_with_its_age_until_it_is_complete() -> None:
    stage = CompositionStage(partitions=2)
    watched = Watched(stage)
    watched.process.run(1)
    assert (watched.shown("sessions_open"), watched.shown("session_open_seconds")) == (0, 0)
    for number in (0, 1):
        present(stage, "s", f"ann-{number}", page=1, pages=2, partition=number)
    watched.process.run(3_600, 5)
    present(stage, "t", "bob", page=1, pages=2)
    watched.process.run(3_600, 5)
    assert watched.shown("sessions_open") == 2
    age = watched.shown("session_open_seconds")
    assert age is not None
    assert 7_100 <= age <= 7_200
    present(stage, "s", page=2, pages=2)
    watched.process.run(60, 0.5)
    assert watched.shown("sessions_open") == 2, "partition 1 waits for its second page"
    present(stage, "s", page=2, pages=2, partition=1)
    present(stage, "t", page=2, pages=2)
    watched.process.run(60, 0.5)
    assert (watched.shown("sessions_open"), watched.shown("session_open_seconds")) == (0, 0)


def test_another_owner_goes_on_with_the_age_of_a_copy() -> None:
    stage = CompositionStage()
    before = Watched(stage)
    present(stage, "s", "ann", page=1, pages=3)
    before.process.run(1_800, 5)
    present(stage, "s", "bob", page=2, pages=3)
    before.process.run(1_800, 5)
    after = Watched(stage)
    after.process.run(1)
    age = after.shown("session_open_seconds")
    assert age is not None
    assert 3_590 <= age <= 3_602


def test_a_damaged_memory_is_not_counted_until_it_was_opened_again() -> None:
    stage = CompositionStage()
    watched = Watched(stage)
    stage.write("ann", "set", colour="red")
    watched.process.run(40, 0.5)
    rows = watched.shown("sent_rows")
    assert rows
    watched.process.memories.full = True
    watched.process.memories.current[0].is_damaged = True
    watched.process.run(60, 0.5)
    assert watched.shown("sent_rows") == 0
    watched.process.memories.full = False
    watched.process.run(60, 0.5)
    assert watched.shown("sent_rows") == rows
