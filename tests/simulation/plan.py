"""Draws a plan from a seed: the same seed, the same plan. Nothing is drawn while it is played."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import get_args

from tests.simulation.acts import (
    Act,
    Ask,
    Connect,
    EventKind,
    Expel,
    Faults,
    Key,
    Kill,
    Latency,
    Leave,
    Limit,
    MakeAgain,
    Pass,
    Probes,
    RefuseCommits,
    Replace,
    Retain,
    Run,
    SetClock,
    Start,
    Wake,
    Work,
    Write,
)
from tests.simulation.names import (
    GRACE_SECONDS,
    PARTITIONS,
    PROCESSES,
    REJECTED,
    ROUTERS,
    SINKS,
    SOURCE,
    SOURCE_LETTERS,
    TOPIC,
    USERS,
    letter_topics,
)
from tests.simulation.vendor import FAULTS
from tests.simulation.wires import WIRES, DestinationName

GROUPS = (ROUTERS, SINKS)
KINDS = get_args(EventKind)
KIND_WEIGHTS = (70, 10, 3, 3, 3, 3, 5, 3)
LIMITED = (TOPIC, TOPIC, REJECTED, SOURCE_LETTERS)


class Drawing:
    """Draws act after act."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._deleting = Random(f"topics of {seed}")
        """Draws what is deleted: other acts are the same with and without it."""
        self._events = 0
        destinations: list[DestinationName] = ["mixpanel", "mparticle"]
        self._destination_name = self._random.choice(destinations)
        self._scopes = WIRES[self._destination_name].scopes

    def plan(self, acts: int) -> list[Act]:
        drawn: list[Act] = [Connect(self._destination_name), self._write()]
        while len(drawn) < acts:
            drawn += self._next()
        return self._with_topics_made_again(drawn)

    def _with_topics_made_again(self, drawn: list[Act]) -> list[Act]:
        """In half of the plans somebody deletes topics, and makes them again: one, or several one after the other."""
        draw = self._deleting
        if draw.random() < 0.5:
            return drawn
        topics = [SOURCE, TOPIC, TOPIC, SOURCE_LETTERS, *letter_topics(self._scopes).values()]
        for _ in range(draw.choice([1, 1, 2, 4])):
            place = draw.randint(2, len(drawn))
            after: list[Act] = [Run(draw.choice([0.5, 2.0, 6.0]))] if draw.random() < 0.7 else []
            drawn = [*drawn[:place], MakeAgain(draw.choice(topics)), *after, *drawn[place:]]
        return drawn

    def _next(self) -> Sequence[Act]:
        draw = self._random.choices(
            [
                *(self._write_some, self._work, self._run, self._pass),
                *(self._hurt, self._destination, self._order, self._redrive),
                *(self._retention, self._limit, self._clock, self._race),
            ],
            [20, 25, 12, 6, 20, 14, 6, 3, 4, 4, 5, 3],
        )[0]
        return draw()

    def _write(self) -> Write:
        count = self._random.randint(1, 8)
        kinds = self._random.choices(KINDS, KIND_WEIGHTS, k=count)
        first, self._events = self._events, self._events + count
        events = tuple((kind, self._random.randrange(USERS)) for kind in kinds)
        return Write(first, events, self._random.randrange(PARTITIONS))

    def _write_some(self) -> Sequence[Act]:
        return [self._write()]

    def _work(self) -> Sequence[Act]:
        return [Work(self._process(), self._random.randint(1, 12), self._random.random() < 0.4)]

    def _run(self) -> Sequence[Act]:
        return [Run(self._random.choice([0.5, 1.0, 2.0, 5.0]))]

    def _pass(self) -> Sequence[Act]:
        """Mostly seconds; now and then so long that deadlines pass."""
        seconds = self._random.choice([0.5, 5.0, 20.0, 31.0, 120.0, GRACE_SECONDS / 2, GRACE_SECONDS + 61.0])
        return [Pass(seconds), Run(1.0)]

    def _hurt(self) -> Sequence[Act]:
        process = self._process()
        match self._random.choices(
            ["kill", "start", "leave", "replace", "wake", "expel", "refuse"], [30, 12, 6, 12, 16, 10, 14]
        )[0]:
            case "kill":
                kill = Kill(process, self._random.choice([1, 2, 3, 5, 8, 13, 21, 34, 55]), self._random.random() < 0.5)
                act: Act = Work(process, 8, self._random.random() < 0.4)
                back = [Start(process)] if self._random.random() < 0.8 else []
                return [kill, act, *back]
            case "start":
                return [Start(process)]
            case "leave":
                return [Leave(process), Run(0.5), Start(process)]
            case "replace":
                return [Replace(process)]
            case "wake":
                return [Wake(self._random.randint(1, 8))]
            case "expel":
                return [Expel(process)]
            case _:
                return [RefuseCommits(self._random.choice(GROUPS), self._random.randint(1, 3))]

    def _destination(self) -> Sequence[Act]:
        match self._random.choices(["faults", "key", "probes", "latency"], [50, 25, 10, 15])[0]:
            case "faults":
                return [Faults(tuple(self._random.choice(FAULTS) for _ in range(self._random.randint(1, 4))))]
            case "key":
                return [Key(self._random.random() < 0.5, self._scope())]
            case "probes":
                return [Probes(self._random.choice([None, None, 0, 200, 401, 500]), self._scope())]
            case _:
                return [Latency(self._random.choice([0.0, 0.0, 0.3, 2.0, 15.0, 40.0]))]

    def _redrive(self) -> Sequence[Act]:
        """Letters go back, and a keeper may die of it."""
        process, scope = self._random.choice(["sink-0", "sink-1"]), self._scope()
        dies, is_fixed = Key(is_dead=True, scope=scope), Key(is_dead=False, scope=scope)
        kill = Kill(process, self._random.randint(1, 60), self._random.random() < 0.5)
        keep: list[Act] = [Work(process, 12, keeper=True), Start(process)]
        return [dies, Run(2.0), self._write(), Run(2.0), is_fixed, Pass(31.0), kill, *keep]

    def _retention(self) -> Sequence[Act]:
        """Mostly of the connector's topic, after records came that nobody may have read."""
        topic = self._random.choice([SOURCE, TOPIC, TOPIC])
        keep = self._random.choice([0, 0, 1, 3, 10])
        retain = Retain(topic, self._random.randrange(PARTITIONS), keep)
        return [self._write(), Work(self._random.choice(["router-0", "router-1"]), 3), retain]

    def _limit(self) -> Sequence[Act]:
        topics = (*LIMITED, letter_topics(self._scopes)[f"credentials.{self._scope()}"])
        return [Limit(self._random.choice(topics), self._random.random() < 0.6)]

    def _clock(self) -> Sequence[Act]:
        """Mostly as good clocks differ; now and then far off, and with a deadline near."""
        error = self._random.choice([-14.0, -7.0, 0.0, 7.0, 14.0, 14.0, -400.0, 400.0, 3_600.0])
        return [SetClock(self._random.choice(["sink-0", "sink-1"]), error), Run(self._random.choice([0.5, 2.0]))]

    def _race(self) -> Sequence[Act]:
        """Letters near their deadline: orders, keys, keepers and clocks change while they are purged."""
        scope = self._scope()
        dies, is_fixed = Key(is_dead=True, scope=scope), Key(is_dead=False, scope=scope)
        race: list[Act] = [
            dies,
            Run(2.0),
            self._write(),
            Run(5.0),
            Pass(GRACE_SECONDS - self._random.choice([5, 20, 40])),
        ]
        for _ in range(self._random.randint(3, 8)):
            extend = Ask("extend", scope=scope, by_ms=self._random.choice([1, 30_000, 120_000]))
            orders = [extend, extend, Ask("probe"), Ask("suspend"), Ask("resume")]
            letters = f"credentials.{scope}"
            orders += [Ask("purge", letters=letters), Ask("replay", letters=letters)]
            draw = self._random.choice(["order", "order", "time", "time", "hurt", "clock", "key"])
            match draw:
                case "order":
                    race += self._random.sample(orders, self._random.randint(1, 3))
                case "time":
                    race += [Pass(self._random.choice([1.0, 15.0, 31.0])), Run(self._random.choice([0.5, 1.0]))]
                case "hurt":
                    race += self._hurt()
                case "clock":
                    race += self._clock()
                case _:
                    race += [is_fixed, Run(0.5), dies] if self._random.random() < 0.5 else [is_fixed]
        return [*race, Ask("resume"), Pass(31.0), Run(2.0)]

    def _order(self) -> Sequence[Act]:
        match self._random.choice(["suspend", "extend", "probe", "replay", "purge", "cancel"]):
            case "suspend":
                return [Ask("suspend"), Run(1.0), Pass(self._random.choice([1.0, GRACE_SECONDS])), Ask("resume")]
            case "extend":
                return [Ask("extend", scope=self._scope(), by_ms=self._random.randint(1, 900_000))]
            case "probe":
                return [Ask("probe")]
            case "cancel":
                return [Ask("cancel")]
            case what:
                letters = self._random.choice(["rejected", f"credentials.{self._scope()}"])
                limit = self._random.choice([0, 1, 3]) if letters == "rejected" else 0
                return [Ask("replay" if what == "replay" else "purge", letters=letters, limit=limit)]

    def _scope(self) -> str:
        return self._random.choice(self._scopes)

    def _process(self) -> str:
        return self._random.choice(PROCESSES)


def draw(seed: int, acts: int) -> list[Act]:
    """The plan of a seed: about so many acts."""
    return Drawing(seed).plan(acts)
