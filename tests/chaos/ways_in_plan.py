"""Plans of the world of the ways in, drawn from a seed: what vendors send, what Braze writes, what breaks meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tests.chaos import plan

ANALYTICS, BACK = "analytics", "back"
"""Connectors: Currents events to Mixpanel, and what is received to Braze."""
PROCESSES = ("receiver-0", "receiver-1", "ingest-0", "ingest-1", f"{BACK}-0", f"{BACK}-1")
"""These are broken. One of each role is left alone."""
SPARED = ("router-0", f"{ANALYTICS}-0")
"""These bring Currents events on to a destination; `plan` breaks their like."""
FAULTS: tuple[plan.FaultKind, ...] = ("503", "429", "reset", "slow", "500 after", "reset after")
"""What Braze and Mixpanel do, and nothing is parked for."""


@dataclass(frozen=True, slots=True)
class Send:
    """So many requests of vendors to the receivers; `seed` says which. Each is repeated until it is answered 2xx."""

    requests: int
    seed: int


@dataclass(frozen=True, slots=True)
class PutFile:
    """A file with so many events into the inlet's folder."""

    events: int


Act = Send | PutFile | plan.Fault | plan.ProcessAct | plan.BrokerAct


def draw(seed: int, rounds: int, acts: int) -> Sequence[plan.Round[Act]]:
    """The rounds of a run. In each a broker goes away while requests and a file are on their way."""
    random = Random(seed)
    return [_Drawing(random).round(acts) for _ in range(rounds)]


class _Drawing:
    """Draws one round."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._breakage = plan.Breakage(random, PROCESSES)

    def round(self, acts: int) -> plan.Round[Act]:
        drawn = [*self._load(), *self._broker()]
        while len(drawn) < acts:
            drawn += self._next()
        steps = [plan.Step(plan.pause(self._random), act) for act in drawn]
        return plan.Round("violent", tuple(steps))

    def _next(self) -> list[Act]:
        draws = [self._load, self._fault, *[self._process] * 4, *[self._broker] * 3]
        return self._random.choice(draws)()

    def _load(self) -> list[Act]:
        return [self._send(), PutFile(self._random.randint(100, 6_000))]

    def _send(self) -> Send:
        return Send(self._random.randint(10, 40), self._random.getrandbits(32))

    def _fault(self) -> list[Act]:
        connector = self._random.choice([ANALYTICS, BACK, BACK])
        return [plan.Fault(connector, self._random.choice(FAULTS), self._random.randint(1, 3)), self._send()]

    def _broker(self) -> list[Act]:
        act = self._breakage.broker()
        return [act] if isinstance(act, plan.StartBroker | plan.ThawBroker) else [act, *self._load()]

    def _process(self) -> list[Act]:
        act = self._breakage.process()
        return [] if act is None else [act, self._send()]
