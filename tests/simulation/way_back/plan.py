"""Draws a plan of the way back from a seed: the same seed, the same plan. Nothing is drawn while it is played."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from tests.simulation.acts import (
    Ask,
    Expel,
    Faults,
    Key,
    Kill,
    Latency,
    Leave,
    Pass,
    Probes,
    RefuseCommits,
    Replace,
    Run,
    SetClock,
    Start,
    Wake,
    Work,
)
from tests.simulation.names import SINKS as GROUP
from tests.simulation.vendor import FAULTS
from tests.simulation.way_back.acts import (
    Asked,
    Batch,
    Begin,
    Broken,
    Copied,
    GroupName,
    LoseScratch,
    Moved,
    Send,
    Unreachable,
    WayAct,
)
from tests.simulation.way_back.names import ATTRIBUTES, PROCESSES, RECEIVERS, SCOPES, SINKS, USERS

KINDS = ("events", "attributes", "email", "copy", "moved", "broken")
KIND_WEIGHTS = (30, 25, 2, 25, 25, 3)
GROUPS: Sequence[GroupName] = ("cohorts/7", "cohorts/8", "cohorts/9", "both/7")


class Drawing:
    """Draws act after act."""

    def __init__(self, seed: int) -> None:
        # A string, so that a seed has another plan here than in the world of the routers.
        self._random = Random(f"way back {seed}")
        self._number = 0
        self._pages: list[Copied] = []
        """Of copies that are under way."""

    def plan(self, acts: int) -> list[WayAct]:
        drawn: list[WayAct] = [Begin(self._random.random() < 0.5, self._random.random() < 0.25), self._send()]
        while len(drawn) < acts:
            drawn += self._next()
        return drawn

    def _next(self) -> Sequence[WayAct]:
        draw = self._random.choices(
            [
                *(self._send_some, self._work, self._run, self._pass, self._hurt, self._braze),
                *(self._clock, self._lost, self._order),
            ],
            [24, 22, 14, 4, 20, 14, 2, 6, 3],
        )[0]
        return draw()

    # What vendors send.

    def _send_some(self) -> Sequence[WayAct]:
        return [self._send()]

    def _send(self) -> Send:
        return Send(tuple(self._asked() for _ in range(self._random.randint(1, 4))))

    def _asked(self) -> Asked:
        match self._random.choices(KINDS, KIND_WEIGHTS)[0]:
            case "events":
                attributes = self._attributes() if self._random.random() < 0.3 else ()
                count = self._random.randint(1, 3)
                return Batch(self._user(), attributes, tuple(self._next_number() for _ in range(count)))
            case "attributes":
                return Batch(self._user(), self._attributes())
            case "email":
                return Batch(self._user(), has_email=True)
            case "copy":
                return self._page()
            case "moved":
                users = tuple(self._random.sample(range(len(USERS)), self._random.randint(0, 3)))
                change = "add_members" if self._random.random() < 0.6 else "remove_members"
                return Moved(self._random.choice(GROUPS), self._next_number(), change, users)  # type: ignore[arg-type]
            case _:
                return Broken(self._next_number())

    def _page(self) -> Copied:
        """One of a copy that is under way, in any order; some never come, some come twice."""
        if not self._pages or self._random.random() < 0.3:
            self._begin_copy()
        page = self._random.choice(self._pages)
        if self._random.random() < 0.9:
            self._pages.remove(page)
        return page

    def _begin_copy(self) -> None:
        group, session, pages = self._random.choice(GROUPS), self._next_number(), self._random.randint(1, 3)
        members = [user for user in range(len(USERS)) if self._random.random() < 0.5]
        for page in range(1, pages + 1):
            users = tuple(user for user in members if user % pages == page - 1)
            self._pages.append(Copied(group, session, page, pages, users))

    def _attributes(self) -> tuple[tuple[str, str | None], ...]:
        chosen = self._random.sample(ATTRIBUTES, self._random.randint(1, 2))
        return tuple((name, self._random.choice(["a", "b", "c", None])) for name in chosen)

    # What happens.

    def _work(self) -> Sequence[WayAct]:
        return [Work(self._process(), self._random.randint(1, 12), self._random.random() < 0.25)]

    def _run(self) -> Sequence[WayAct]:
        return [Run(self._random.choice([0.5, 1.0, 2.0, 5.0]))]

    def _pass(self) -> Sequence[WayAct]:
        return [Pass(self._random.choice([0.5, 4.0, 6.0, 11.0, 46.0])), Run(1.0)]

    def _hurt(self) -> Sequence[WayAct]:
        process = self._process()
        match self._random.choices(
            ["kill", "start", "leave", "replace", "wake", "expel", "refuse"], [36, 12, 6, 12, 14, 10, 10]
        )[0]:
            case "kill":
                kill = Kill(process, self._random.choice([1, 2, 3, 5, 8, 13, 21, 34, 55]), self._random.random() < 0.5)
                act: WayAct = Run(0.5) if self._random.random() < 0.5 else Work(process, 8)
                back = [Start(process)] if self._random.random() < 0.8 else []
                return [self._send(), kill, act, *back]
            case "start":
                return [Start(process)]
            case "leave":
                return [Leave(process), Run(0.5), Start(process)]
            case "replace":
                return [Replace(process)]
            case "wake":
                return [Wake(self._random.randint(1, 8))]
            case "expel":
                return [Expel(self._random.choice(SINKS))]
            case _:
                return [RefuseCommits(GROUP, self._random.randint(1, 3))]

    def _braze(self) -> Sequence[WayAct]:
        match self._random.choices(["faults", "key", "probes", "latency"], [50, 20, 10, 20])[0]:
            case "faults":
                return [Faults(tuple(self._random.choice(FAULTS) for _ in range(self._random.randint(1, 4))))]
            case "key":
                return [Key(self._random.random() < 0.5, self._scope())]
            case "probes":
                return [Probes(self._random.choice([None, None, 0, 200, 401, 500]), self._scope())]
            case _:
                return [Latency(self._random.choice([0.0, 0.0, 0.3, 2.0, 15.0, 40.0]))]

    def _clock(self) -> Sequence[WayAct]:
        return [SetClock(self._random.choice(SINKS), self._random.choice([-14.0, -7.0, 0.0, 7.0, 14.0]))]

    def _lost(self) -> Sequence[WayAct]:
        if self._random.random() < 0.4:
            sink = self._random.choice(SINKS)
            return [LoseScratch(sink, self._random.random() < 0.5), Leave(sink), Start(sink)]
        effects = tuple(self._random.random() < 0.5 for _ in range(self._random.randint(1, 3)))
        return [Unreachable(self._random.choice(RECEIVERS), effects), self._send()]

    def _order(self) -> Sequence[WayAct]:
        """A person suspends the connector for a while, or sends letters once more."""
        if self._random.random() < 0.4:
            return [Ask("suspend"), Run(1.0), self._send(), Run(1.0), Ask("resume")]
        return [Ask("replay", letters=self._random.choice(["rejected", "credentials.default"]))]

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def _user(self) -> int:
        return self._random.randrange(len(USERS))

    def _scope(self) -> str:
        return self._random.choice(SCOPES)

    def _process(self) -> str:
        return self._random.choice(PROCESSES)


def draw(seed: int, acts: int) -> list[WayAct]:
    """The plan of a seed: about so many acts."""
    return Drawing(seed).plan(acts)
