"""What a chaos run does and when, drawn from its seed before anything begins: the same seed, the same plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Generic, Literal, TypeVar, get_args

MIXPANEL, MPARTICLE = "analytics", "cdp"
OPEN, PUSH, ENTRY = "users.messages.email.Open", "users.messages.pushnotification.Open", "users.canvas.Entry"
EVENT_TYPES = (OPEN, PUSH, ENTRY)
SCOPES = {MIXPANEL: ("default",), MPARTICLE: ("ios", "unbound")}
PROCESSES = ("router-0", "router-1", f"{MIXPANEL}-0", f"{MIXPANEL}-1", f"{MPARTICLE}-0", f"{MPARTICLE}-1")
ALIVE_MIN = 1
"""Of each role so many processes are left alone at any time: a role that is away altogether tests nothing."""

RegistryFault = Literal["503", "401", "404 of a proxy", "garbage"]
"""What the schema registry answers instead: none of these says that a schema does not exist, so nothing is parked."""

FLOOD_RECORDS, FLOOD_SHARE = 60, 0.5
"""The breaker of Mixpanel's connector: so many records at least, and more than this share of them refused."""
FLOOD_EVENTS_MIN = 2 * FLOOD_RECORDS
GIVE_UP_SECONDS = 3
"""After so long of failures the connector to mParticle parks a record as `gave-up`; the other one never does."""

BROKERS = 3
"""Of a cluster. One of them may be away at a time: then two of three replicas are left, and writes go on."""

Mood = Literal["calm", "violent"]
FaultKind = Literal[
    "503",
    "outage",
    "500 after",
    "429",
    "reset",
    "reset after",
    "truncated",
    "slow",
    "413",
    "html 401",
    "401 once",
    "404",
]
CALM_FAULTS: tuple[FaultKind, ...] = ("503", "outage", "429", "reset", "slow", "413", "html 401", "401 once")
"""Faults after which the destination has not seen the request: nothing may be sent twice because of them."""
FAULTS: tuple[FaultKind, ...] = (*CALM_FAULTS, "500 after", "reset after", "truncated", "404")


@dataclass(frozen=True, slots=True)
class Write:
    """Put so many events on the Currents topics; `seed` says which."""

    events: int
    seed: int


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL; the process stays away until it is started."""

    process: str


@dataclass(frozen=True, slots=True)
class Leave:
    """SIGTERM: the process settles and leaves its group."""

    process: str


@dataclass(frozen=True, slots=True)
class Start:
    process: str


@dataclass(frozen=True, slots=True)
class Freeze:
    """SIGSTOP: to Kafka a process that died, and that does not know."""

    process: str


@dataclass(frozen=True, slots=True)
class Thaw:
    """SIGCONT: it goes on where it was, whatever took its place."""

    process: str


@dataclass(frozen=True, slots=True)
class Replace:
    """SIGSTOP, and another process with the same instance name in its place: the first becomes a zombie."""

    process: str


@dataclass(frozen=True, slots=True)
class Wake:
    """SIGCONT to the zombies of a process that was replaced."""

    process: str


@dataclass(frozen=True, slots=True)
class RestartBroker:
    pass


BrokerName = Literal["1", "2", "3", "controller"]
"""A broker of a cluster by its node id, or whichever leads the controllers when it happens."""


@dataclass(frozen=True, slots=True)
class KillBroker:
    """SIGKILL one broker of a cluster, once all its replicas are in sync. It stays away until `StartBroker`."""

    broker: BrokerName


@dataclass(frozen=True, slots=True)
class LeaveBroker:
    """SIGTERM, as an upgrade does it: the broker hands its partitions over. It stays away until `StartBroker`."""

    broker: BrokerName


@dataclass(frozen=True, slots=True)
class StartBroker:
    """The broker that is away comes back, with its disk."""


@dataclass(frozen=True, slots=True)
class FreezeBroker:
    """SIGSTOP: connections stay open and nothing answers, as when a network is cut. Until `ThawBroker`."""

    broker: BrokerName


@dataclass(frozen=True, slots=True)
class ThawBroker:
    """SIGCONT: the broker goes on where it was, and does not know yet that others lead its partitions."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What the destination does to the next `count` requests."""

    connector: str
    kind: FaultKind
    count: int


@dataclass(frozen=True, slots=True)
class Revoke:
    connector: str
    scope: str


@dataclass(frozen=True, slots=True)
class Restore:
    connector: str
    scope: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A person's order. `letters` are those of a job, `scope` and `by_ms` belong to an extension."""

    connector: str
    what: Literal["suspend", "resume", "extend", "replay", "purge", "cancel"]
    scope: str = ""
    by_ms: int = 0
    letters: str = ""


@dataclass(frozen=True, slots=True)
class Import:
    """Export the letters that are parked, and import the file: as after a purge that was a mistake, but whatever of
    them is still there. Each of them is there once more."""

    connector: str
    letters: str


@dataclass(frozen=True, slots=True)
class Flood:
    """So many events that their destination refuses by name: more than its flood breaker allows."""

    events: int
    seed: int


@dataclass(frozen=True, slots=True)
class FailRegistry:
    """From now on the schema registry answers so, until it is well again."""

    kind: RegistryFault


@dataclass(frozen=True, slots=True)
class HealRegistry:
    pass


@dataclass(frozen=True, slots=True)
class ForbidDeletion:
    """From now on Kafka refuses to delete records of a connector's dead-letter topics, until it allows it again."""

    connector: str


@dataclass(frozen=True, slots=True)
class AllowDeletion:
    connector: str


@dataclass(frozen=True, slots=True)
class AwaitRedrive:
    """Go on once a redrive is under way: what comes next comes half way through it."""

    connector: str


@dataclass(frozen=True, slots=True)
class MakeAgain:
    """Delete a Currents topic and make it again, while so many events are written to it; `seed` says which."""

    event_type: str
    events: int
    seed: int


ProcessAct = Kill | Leave | Start | Freeze | Thaw | Replace | Wake
BrokerAct = KillBroker | LeaveBroker | StartBroker | FreezeBroker | ThawBroker
Act = (
    Write
    | ProcessAct
    | RestartBroker
    | BrokerAct
    | Fault
    | Revoke
    | Restore
    | Ask
    | Import
    | Flood
    | FailRegistry
    | HealRegistry
    | ForbidDeletion
    | AllowDeletion
    | AwaitRedrive
    | MakeAgain
)


A = TypeVar("A")
"""The acts of one world."""


@dataclass(frozen=True, slots=True)
class Step(Generic[A]):
    """An act, so many seconds after the one before."""

    pause: float
    act: A


@dataclass(frozen=True, slots=True)
class Round(Generic[A]):
    """Acts until everything is fixed, and waited for, and checked."""

    mood: Mood
    steps: tuple[Step[A], ...]

    def __str__(self) -> str:
        return "\n".join([f"round ({self.mood})", *(f"  {step.pause:5.2f} s  {step.act}" for step in self.steps)])


def draw(seed: int, rounds: int, acts: int, *, is_cluster: bool = False) -> Sequence[Round[Act]]:
    """The rounds of a run. The first is violent; each after it is so in three of four.

    In a cluster each violent round begins with a broker that goes away: `BROKERS` of them are there.
    """
    random = Random(seed)
    return [
        _Drawing(random, "violent" if number == 0 or random.random() < 0.75 else "calm", is_cluster).round(acts)
        for number in range(rounds)
    ]


def pause(random: Random) -> float:
    """Mostly short; now and then as long as a grace, so that deadlines pass."""
    long = random.random() < 0.12
    return round(random.uniform(3.0, 7.0) if long else random.uniform(0.05, 1.0), 2)


class Breakage:
    """Draws what is broken next of these processes and of a cluster; knows who is away, frozen or replaced."""

    def __init__(self, random: Random, processes: Sequence[str]) -> None:
        self._random = random
        self._processes = processes
        self._broker_back: StartBroker | ThawBroker | None = None
        """What brings the broker back that is away."""
        self._away: set[str] = set()
        self._frozen: set[str] = set()
        self._zombies: set[str] = set()

    def broker(self) -> BrokerAct:
        """One that is away comes back; if none is, one goes. So at most one is away."""
        if self._broker_back is not None:
            back, self._broker_back = self._broker_back, None
            return back
        victim = self._random.choice(get_args(BrokerName))
        match self._random.choice(["kill", "kill", "freeze", "freeze", "leave"]):
            case "kill":
                self._broker_back = StartBroker()
                return KillBroker(victim)
            case "leave":
                self._broker_back = StartBroker()
                return LeaveBroker(victim)
            case _:
                self._broker_back = ThawBroker()
                return FreezeBroker(victim)

    def process(self) -> ProcessAct | None:
        """None if there is nobody who may suffer."""
        backs: list[Start | Thaw | Wake] = [
            *(Start(process) for process in sorted(self._away)),
            *(Thaw(process) for process in sorted(self._frozen)),
            *(Wake(process) for process in sorted(self._zombies)),
        ]
        if backs and self._random.random() < 0.5:
            return self._back(self._random.choice(backs))
        victims = [process for process in self._processes if self._may_suffer(process)]
        return self._hurt(self._random.choice(victims)) if victims else None

    def _hurt(self, process: str) -> ProcessAct:
        match self._random.choice(["kill", "kill", "leave", "freeze", "freeze", "replace"]):
            case "kill":
                self._away.add(process)
                return Kill(process)
            case "leave":
                self._away.add(process)
                return Leave(process)
            case "freeze":
                self._frozen.add(process)
                return Freeze(process)
            case _:
                self._zombies.add(process)
                return Replace(process)

    def _back(self, act: Start | Thaw | Wake) -> ProcessAct:
        for absent in (self._away, self._frozen, self._zombies):
            absent.discard(act.process)
        return act

    def _may_suffer(self, process: str) -> bool:
        role = process.rpartition("-")[0]
        hurt = self._away | self._frozen
        present = [one for one in self._processes if one.startswith(f"{role}-") and one not in hurt]
        return process in present and process not in self._zombies and len(present) > ALIVE_MIN


class _Drawing:
    """Draws one round; knows which keys are revoked."""

    def __init__(self, random: Random, mood: Mood, is_cluster: bool) -> None:
        self._random = random
        self._mood = mood
        self._is_cluster = is_cluster
        self._breakage = Breakage(random, PROCESSES)
        self._revoked: set[tuple[str, str]] = set()
        self._broker_was_restarted = False
        self._registry_fails = False
        self._undeletable: set[str] = set()
        self._topic_was_made_again = False

    def round(self, acts: int) -> Round[Act]:
        steps: list[Step[Act]] = [Step(0.0, self._write())]
        if self._is_cluster and self._mood == "violent":
            steps += [Step(pause(self._random), act) for act in self._broker()]
        while len(steps) < acts:
            steps += [Step(pause(self._random), act) for act in self._next()]
        return Round(self._mood, tuple(steps))

    def _next(self) -> list[Act]:
        draws = [self._write_again, self._fault, self._flip, self._flip, self._order, self._registry, self._deletion]
        draws += [self._flood]
        if self._mood == "violent":
            draws += [self._violence] * 4
            draws += [self._import]
            draws += [self._broker] * 3 if self._is_cluster else []
            draws += [] if self._topic_was_made_again or self._is_cluster else [self._make_again] * 2
        return self._random.choice(draws)()

    def _write(self) -> Write:
        return Write(self._random.randint(100, 600), self._random.getrandbits(32))

    def _write_again(self) -> list[Act]:
        return [self._write()]

    def _fault(self) -> list[Act]:
        kinds = CALM_FAULTS if self._mood == "calm" else FAULTS
        connector = self._random.choice([MIXPANEL, MPARTICLE])
        fault = Fault(connector, self._random.choice(kinds), self._random.randint(1, 3))
        return [fault, self._write()]

    def _flip(self) -> list[Act]:
        """A key dies, or is fixed; now and then it dies again half way through the redrive."""
        connector = self._random.choice([MIXPANEL, MPARTICLE])
        scope = self._random.choice(SCOPES[connector])
        if (connector, scope) not in self._revoked:
            self._revoked.add((connector, scope))
            return [Revoke(connector, scope), self._write()]
        if self._random.random() < 0.3:
            return [Restore(connector, scope), AwaitRedrive(connector), Revoke(connector, scope)]
        self._revoked.discard((connector, scope))
        return [Restore(connector, scope)]

    def _order(self) -> list[Act]:
        connector = self._random.choice([MIXPANEL, MPARTICLE])
        revoked = sorted(scope for name, scope in self._revoked if name == connector)
        if revoked and self._random.random() < 0.6:
            return [Ask(connector, "extend", self._random.choice(revoked), self._random.randint(1_000, 5_000))]
        if self._random.random() < 0.5:
            job = self._job(connector)
            return [job, Ask(connector, "cancel")] if self._random.random() < 0.3 else [job]
        return [Ask(connector, "suspend"), self._write(), Ask(connector, "resume")]

    def _registry(self) -> list[Act]:
        """The registry fails, or is well again. What needs it waits, everything else goes on."""
        self._registry_fails = not self._registry_fails
        if not self._registry_fails:
            return [HealRegistry()]
        return [FailRegistry(self._random.choice(get_args(RegistryFault))), self._write()]

    def _deletion(self) -> list[Act]:
        connector = self._random.choice([MIXPANEL, MPARTICLE])
        if connector in self._undeletable:
            self._undeletable.discard(connector)
            return [AllowDeletion(connector)]
        self._undeletable.add(connector)
        return [ForbidDeletion(connector)]

    def _make_again(self) -> list[Act]:
        """Once in a violent round. What was read twice and is refused by name is rightly sent again: not when calm."""
        self._topic_was_made_again = True
        event_type = self._random.choice(EVENT_TYPES)
        return [self._write(), MakeAgain(event_type, self._random.randint(150, 600), self._random.getrandbits(32))]

    def _job(self, connector: str) -> Ask:
        """In a calm round nothing is replayed: what was refused by name would rightly be sent again."""
        is_replay = self._random.random() < 0.7 and self._mood == "violent"
        return Ask(connector, "replay" if is_replay else "purge", letters=self._letters(connector))

    def _letters(self, connector: str) -> str:
        is_rejected = self._random.random() < 0.6
        return "rejected" if is_rejected else f"credentials.{self._random.choice(SCOPES[connector])}"

    def _import(self) -> list[Act]:
        """Not when calm: a copy of what was refused by name later is rightly sent again."""
        connector = self._random.choice([MIXPANEL, MPARTICLE])
        return [Import(connector, self._letters(connector))]

    def _flood(self) -> list[Act]:
        return [Flood(self._random.randint(FLOOD_EVENTS_MIN, 2 * FLOOD_EVENTS_MIN), self._random.getrandbits(32))]

    def _broker(self) -> list[Act]:
        act = self._breakage.broker()
        return [act] if isinstance(act, StartBroker | ThawBroker) else [act, self._write()]

    def _violence(self) -> list[Act]:
        if not self._is_cluster and not self._broker_was_restarted and self._random.random() < 0.1:
            self._broker_was_restarted = True
            return [RestartBroker()]
        act = self._breakage.process()
        return [] if act is None else [act]
