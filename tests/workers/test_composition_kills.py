"""A sink that composes is killed between any two steps: the next one goes on, and the destination has the truth."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

import pytest

from streams.delivery.contract import NoResponse, Request, Response
from streams.testing.ports import Kill, Killed
from tests.workers.composition_stage import ID, TOPIC, CompositionStage, killed
from tests.workers.notebook import Notebook, said

RUNS = int(os.environ.get("COMPOSING_KILLS_RUNS", "40"))
SEED = int(os.environ.get("COMPOSING_KILLS_SEED", "0")) or Random().randrange(1, 10**9)

Point = Literal["before a commit", "after a commit", "before a request", "after a request"]
POINTS: tuple[Point, ...] = ("before a commit", "after a commit", "before a request", "after a request")


@dataclass
class Server:
    """What was noted, whoever sent it. It ends a process at a request: before it is processed, or before its answer."""

    notes: list[list[Any]] = field(default_factory=list)
    requests: list[list[list[Any]]] = field(default_factory=list)
    kill_before: int = 0
    kill_after: int = 0
    trouble: Random | None = None

    def answer(self, request: Request) -> Response | NoResponse:
        self.kill_before -= 1
        if self.kill_before == 0:
            raise Killed
        troubled = self.trouble is not None and self.trouble.random() < 0.2
        if troubled and self.trouble is not None and self.trouble.random() < 0.5:
            return Response(self.trouble.choice((429, 503)), {}, b"")
        self.requests.append(said(request))
        self.notes += said(request)
        self.kill_after -= 1
        if self.kill_after == 0:
            raise Killed
        return NoResponse("cut off") if troubled else Response(200, {}, b"")

    @property
    def events(self) -> Counter[str]:
        return Counter(note[2] for note in self.notes if note[0] == "event")

    @property
    def users(self) -> dict[str, dict[str, Any]]:
        """The users as they are now."""
        found: dict[str, dict[str, Any]] = {}
        for kind, user, change in self.notes:
            if kind == "user":
                found.setdefault(user, {}).update(change)
        return found


SETTLED_SECONDS_MAX = 3_600
"""A fifth of all requests fail at random: now and then so many in a row that the sink waits for minutes."""
WRITTEN = 17
"""Records of each partition; the sink derives the others."""


def scene() -> CompositionStage:
    """Two partitions with words, events and full copies; their truth is `EXPECTED`."""
    stage = CompositionStage(partitions=2)
    for number in range(2):
        where: dict[str, Any] = {"partition": number}
        ann, bob, eve = (f"{name}-{number}" for name in ("ann", "bob", "eve"))
        stage.write(ann, "set", **where, colour="red")
        stage.write(ann, "join", **where, group="g")
        for event in range(7):
            stage.write(ann, "bought", event_id=f"{number}-{event}", **where)
        stage.write(eve, "present", **where, copy="s", page=1, request="s1")
        stage.write("page", "page", **where, copy="s", page=1, request="s1", pages=2)
        stage.write(ann, "set", **where, colour="blue")
        stage.write("malformed", "malformed", **where)
        stage.write(bob, "present", **where, copy="s", page=2, request="s2")
        stage.write("page", "page", **where, copy="s", page=2, request="s2", pages=2)
        stage.write(bob, "bought", event_id=f"{number}-7", **where)
        stage.write(ann, "set", **where, origin=0, colour="red")
    return stage


EXPECTED = {
    f"{user}-{number}": attributes
    for number in range(2)
    for user, attributes in {
        "ann": {"colour": "blue", "in g": False},
        "bob": {"in g": True},
        "eve": {"in g": True},
    }.items()
}


def arm(stage: CompositionStage, server: Server, point: Point, number: int) -> None:
    """Have the process die there."""
    match point:
        case "before a commit" | "after a commit":
            stage.kafka.kills[ID] = Kill(number, point == "after a commit")
        case "before a request":
            server.kill_before = number
        case "after a request":
            server.kill_after = number


def disarm(stage: CompositionStage, server: Server) -> None:
    stage.kafka.kills.clear()
    server.kill_before = server.kill_after = 0


def check(stage: CompositionStage, server: Server) -> None:
    """All is settled, counted and remembered as the destination has it."""
    assert server.users == EXPECTED
    assert set(server.events) == {f"{number}-{event}" for number in range(2) for event in range(8)}
    for number in range(2):
        records = stage.kafka.records[TOPIC, number]
        counts = stage.counts_of(number)
        assert stage.committed(number) == len(records)
        assert counts["delivered"] + sum(counts["skipped"].values()) + counts["parked"]["rejected"] == len(records)
        assert counts["derived"] == len(records) - WRITTEN
        assert stage.user(f"ann-{number}", number).attributes["colour"].place == 11
        groups = {name: stage.user(f"{name}-{number}", number).groups["lists/g"] for name in ("ann", "bob", "eve")}
        assert {name: view.is_member for name, view in groups.items()} == {
            "ann": False,
            "bob": True,
            "eve": True,
        }
        doubled = sum(count - 1 for event, count in server.events.items() if event.startswith(f"{number}-"))
        assert doubled <= counts.get("maybe_doubled", 0)
        assert not [row for row in stage.rows(number) if row.startswith(b"flight")]
    assert len(stage.letters) == 2


@pytest.mark.parametrize("point", POINTS)
def test_whatever_is_killed_the_next_sink_goes_on_and_at_most_one_request_is_doubled(point: Point) -> None:
    deaths = 0
    for number in range(1, 100):
        stage, server = scene(), Server()
        arm(stage, server, point, number)
        if not killed(stage.process(server.answer)):
            break
        deaths += 1
        disarm(stage, server)
        stage.process(server.answer).run(5)
        check(stage, server)
        for partition in range(2):
            mine = [
                sum(note[0] == "event" and note[2].startswith(f"{partition}-") for note in request)
                for request in server.requests
            ]
            doubled = sum(count - 1 for event, count in server.events.items() if event.startswith(f"{partition}-"))
            assert doubled <= max(mine)
            assert stage.counts_of(partition).get("maybe_doubled", 0) <= max(mine)
    assert deaths >= 5


@pytest.mark.parametrize("run", range(RUNS))
def test_many_kills_lost_answers_and_rebalances_end_with_the_truth(run: int) -> None:
    print(f"COMPOSING_KILLS_SEED={SEED}, run {run}")
    random = Random(SEED + run)
    stage, server = scene(), Server(trouble=random)
    stage.destination = Notebook()
    for _ in range(random.randint(2, 8)):
        disarm(stage, server)
        arm(stage, server, random.choice(POINTS), random.randint(1, 8))
        process = stage.process(server.answer)
        with suppress(Killed):
            process.run(random.random() * 20)
            process.consumer.revoke([(TOPIC, random.randrange(2))])
            process.run(random.random() * 20)
    disarm(stage, server)
    process, began = stage.process(server.answer), stage.clock.monotonic()
    while any(stage.committed(number) < len(stage.kafka.records[TOPIC, number]) for number in range(2)):
        assert stage.clock.monotonic() - began < SETTLED_SECONDS_MAX, "it is never settled"
        process.run(1)
    check(stage, server)
