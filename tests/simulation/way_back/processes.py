"""The processes of the way back: receivers, and sinks to Braze with their keepers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from threading import Event
from typing import TYPE_CHECKING, cast

from streams.delivery.contract import Destination
from streams.delivery.received import rows_of_instance
from streams.destinations.braze.destination import BrazeDestination
from streams.ports.clock import Clock
from streams.ports.errors import KafkaUnreachable
from streams.ports.kafka import Member, Position
from streams.ports.memory import Memories, PartitionMemory
from streams.testing.ports import FakeTransactions
from streams.workers.receiver.writer import KafkaConnection, ReceiverTopics
from tests.simulation import names as common
from tests.simulation.mortal import Life
from tests.simulation.processes import SinkProcess
from tests.simulation.way_back import names

if TYPE_CHECKING:
    from tests.simulation.way_back.world import WayBack
    from tests.simulation.world import World


class ImpatientClock:
    """The world's clock for a receiver: it does not wait for requests that come within ten milliseconds, for nobody
    sends meanwhile."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._looks = 0

    def monotonic(self) -> float:
        self._looks += 1
        return self._clock.monotonic() + self._looks

    def epoch_ms(self) -> int:
        return self._clock.epoch_ms()


class DoubtfulTransactions(FakeTransactions):
    """A producer whose commits may get no answer."""

    def __init__(self, process: ReceiverProcess) -> None:
        super().__init__(process.world.kafka, process.transactional_id)
        self._process = process

    def commit(self, positions: Sequence[Position], member: Member | None) -> None:
        if not self._process.unanswered:
            super().commit(positions, member)
            return
        if self._process.unanswered.popleft():
            super().commit(positions, member)
        raise KafkaUnreachable("no broker answers")


class ReceiverProcess:
    """A receiver's writer: what is above it is a socket."""

    group = ""

    def __init__(self, world: WayBack, instance: str) -> None:
        self.world = world
        self.instance = instance
        self.life = Life()
        self.unanswered: deque[bool] = deque()
        self.writer = world.makers.receiver(
            ReceiverTopics({common.CONNECTOR: common.TOPIC}, names.RECEIVED),
            instance,
            connect=self.life.owns(self).connection,
            partitions_of=lambda _topic: common.PARTITIONS,
            clock=ImpatientClock(world.clock),
        )

    @property
    def transactional_id(self) -> str:
        return f"streams.receiver-{self.instance}"

    def connection(self) -> KafkaConnection:
        """As `streams.cli.assembly.receiver` makes it: the rows are read once the predecessor is shut out."""
        transactions = self.life.owns(self.world.makers.receivers_transactions(self))
        rows = {one.key() or b"": one.value() or b"" for one in self.world.kafka.read(names.RECEIVED)}
        return KafkaConnection(transactions, rows_of_instance(rows, self.instance))

    def work(self) -> None:
        self.writer.step(0.0)

    def keep(self) -> None:
        """It has no keeper."""

    def stop(self) -> None:
        """What is in hand is answered first."""
        self.writer.step(0.0)
        stopped = Event()
        stopped.set()
        self.writer.run(stopped, lambda: False)

    def leave(self) -> None:
        """An error ended the process."""
        self.life.end()


class BrazeSink(SinkProcess):
    """A sink to Braze, and the keeper of its connector."""

    grace_seconds = names.GRACE_SECONDS

    def __init__(self, world: WayBack, instance: str) -> None:
        self.way_back = world
        super().__init__(cast("World", world), instance)

    def build(self) -> Destination:
        return BrazeDestination(self.way_back.settings)

    def memories(self) -> Memories:
        self.kept = self.way_back.memories_of(self.instance, self.clock)
        return MortalMemories(self.life, self.kept)


class MortalMemories:
    """The memories of a process that may die at any use of one."""

    def __init__(self, life: Life, memories: Memories) -> None:
        self._life = life
        self._memories = memories

    @property
    def topic(self) -> str:
        return self._memories.topic

    def open(self, partition: int, beat: Callable[[], None]) -> PartitionMemory:
        found: PartitionMemory = self._life.carry_out(self._memories.open, partition, beat)
        return self._life.owns(found)
