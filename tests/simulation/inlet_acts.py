"""What can happen to an inlet and its files, and plans of it. As in `acts.py` and `plan.py`: an act holds all that it
needs, and the same seed gives the same plan."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Put:
    """A file appears; a late one in the folder of an earlier hour."""

    name: str
    count: int
    codec: str = "null"
    is_late: bool = False


@dataclass(frozen=True, slots=True)
class Grow:
    """It is written again with more records at its end."""

    name: str
    more: int


@dataclass(frozen=True, slots=True)
class Rewrite:
    """It is written again with other records."""

    name: str
    count: int
    version: int


@dataclass(frozen=True, slots=True)
class Cut:
    """It is written again, and cut off."""

    name: str
    percent: int


@dataclass(frozen=True, slots=True)
class Repair:
    """What was cut off is written whole."""

    name: str


@dataclass(frozen=True, slots=True)
class Copy:
    """The same bytes appear under another name."""

    name: str
    to: str


@dataclass(frozen=True, slots=True)
class Remove:
    name: str


@dataclass(frozen=True, slots=True)
class Work:
    """The process that was chosen takes so many steps."""

    steps: int


@dataclass(frozen=True, slots=True)
class Pass:
    """Time goes by, and nobody works."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Kill:
    """The process dies at the n-th call of a port from now on, before or after the call has its effect."""

    calls: int
    is_after: bool


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Another process is chosen, and the one before does not know it yet: a zombie."""


@dataclass(frozen=True, slots=True)
class Wake:
    """The oldest zombie takes so many steps."""

    steps: int


@dataclass(frozen=True, slots=True)
class StoreFails:
    """The object store answers nothing, or answers again."""

    is_on: bool


Act = Put | Grow | Rewrite | Cut | Repair | Copy | Remove | Work | Pass | Kill | TakeOver | Wake | StoreFails
CODECS = ("null", "deflate")


def draw(seed: int, acts: int) -> list[Act]:
    """The plan of a seed."""
    random = Random(f"inlets of {seed}")
    plan: list[Act] = []
    names: list[str] = []
    while len(plan) < acts:
        if not names or random.random() < 0.2:
            names.append(f"part-{len(names)}.avro")
            plan.append(Put(names[-1], random.randint(1, 14), random.choice(CODECS), random.random() < 0.3))
        elif random.random() < 0.35:
            plan.append(_of_file(random, random.choice(names), names))
        else:
            plan += _of_process(random)
    return plan


def _of_file(random: Random, name: str, names: list[str]) -> Act:
    number = random.randrange(1_000_000)
    match random.choices(["grow", "rewrite", "cut", "repair", "copy", "remove"], [25, 15, 20, 20, 12, 8])[0]:
        case "grow":
            return Grow(name, random.randint(1, 6))
        case "rewrite":
            return Rewrite(name, random.randint(1, 10), number)
        case "cut":
            return Cut(name, random.randint(5, 95))
        case "repair":
            return Repair(name)
        case "copy":
            names.append(f"part-{len(names)}.avro")
            return Copy(name, names[-1])
        case _:
            return Remove(name)


def _of_process(random: Random) -> list[Act]:
    match random.choices(["work", "pass", "kill", "take over", "wake", "store"], [40, 15, 20, 8, 12, 5])[0]:
        case "work":
            return [Work(random.randint(1, 20))]
        case "pass":
            return [Pass(random.choice([1.0, 31.0, 31.0, 910.0, 3_700.0])), Work(6)]
        case "kill":
            return [Kill(random.choice([1, 2, 3, 5, 8, 13, 21]), random.random() < 0.5), Work(12)]
        case "take over":
            return [TakeOver(), Work(random.randint(1, 8))]
        case "wake":
            return [Wake(random.randint(1, 8))]
        case _:
            return [StoreFails(is_on=True), Work(3), Pass(40.0), StoreFails(is_on=False)]
