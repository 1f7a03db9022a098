"""Everything that a sink does more for a destination that composes, put together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from streams.delivery.contract import Remark
from streams.delivery.ledger import Ledger
from streams.ports.kafka import Gap, Message
from streams.ports.memory import Memories
from streams.state.state_view import StateView
from streams.workers.reading.waiting_partitions import WaitingPartitions
from streams.workers.sink.committer import SinkCommitter
from streams.workers.sink.composition.dropped_names import DroppedNames
from streams.workers.sink.composition.memory_report import MemoryReport
from streams.workers.sink.composition.partitions import Partitions
from streams.workers.sink.composition.remarks import Remarks
from streams.workers.sink.composition.requests import ComposedRequests
from streams.workers.sink.composition.second_reading import SecondReading
from streams.workers.sink.dispatch import Dispatch
from streams.workers.sink.encoders import EncoderCache
from streams.workers.sink.ports import SinkPorts

STANDSTILL_SECONDS_MAX = 5.0
"""Without a poll for so long nothing is sent. A member that was away for longer may have lost its partitions: sessions
last 10 s, and 6 s at least."""


class ComposedDelivery:
    """What is remembered of each partition, its remarks, and the requests that are composed. One thread."""

    def __init__(
        self,
        connector: str,
        topic: str,
        ports: SinkPorts,
        memories: Memories,
        *,
        dispatch: Dispatch,
        committer: SinkCommitter,
        encoders: EncoderCache,
        waiting: WaitingPartitions,
        ledgers: Mapping[int, Ledger[Message]],
        view: StateView,
    ) -> None:
        """Makes `dispatch` compose, and `committer` write what is remembered."""
        self._topic = topic
        self._ledgers = ledgers
        self._waiting = waiting
        self._clock = ports.clock
        self._polled_at = ports.clock.monotonic()
        self._dropped = DroppedNames(connector, lambda: view.dropped, committer.tell, ports.clock)
        self._partitions = Partitions(
            connector, topic, dispatch.current, memories, ledgers, ports.clock, ports.pulse, self._dropped
        )
        self._requests = ComposedRequests(
            dispatch.current, encoders, self._partitions, dispatch.lanes, committer.commit_now, self._is_owner
        )
        self._remarks = Remarks(dispatch.current, self._partitions, waiting, committer.commit_now)
        self._second_reading = SecondReading(
            topic,
            dispatch.current,
            self._partitions,
            encoders=encoders,
            consumer=ports.consumer,
            waiting=waiting,
            reached=self._remarks.stand,
        )
        self._memory_report = MemoryReport(dispatch.current, self._partitions, ports.clock, ports.meter)
        dispatch.requests = self._requests
        committer.extras = self._partitions

    def assigned(self, numbers: Collection[int], made_again: Collection[int]) -> None:
        """Open their memories; `made_again` are those whose topic is known to be another one. Raises what no retry
        changes: see `Memories.open`."""
        for number in numbers:
            if self._partitions.open(number, is_made_again=number in made_again) is not None:
                self._second_reading.begin(number, self._ledgers[number].next_read)
        self._memory_report.changed()

    def forget(self, numbers: Collection[int]) -> None:
        """They are not ours any more."""
        self._remarks.forget(numbers)
        self._second_reading.forget(numbers)
        self._requests.reconcile()
        self._partitions.close(numbers)
        self._memory_report.changed()

    def made_again(self, number: int) -> None:
        """The partition's topic was made again, and nothing of what was read of it waits."""
        self._remarks.forget([number])
        self._second_reading.forget([number])
        self._requests.reconcile()
        if self._partitions.find(number) is not None:
            with self._partitions.guarded(number):
                self._partitions.belongs(number, is_made_again=True)

    def gap(self, gap: Gap) -> Gap | None:
        """What of it counts as lost; None: only records that were settled before are gone."""
        return self._second_reading.gap(gap)

    def records(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Those of a poll to be taken in now."""
        self._polled_at = self._clock.monotonic()
        messages = self._second_reading.take(messages)
        damaged = self._partitions.damaged()
        if not damaged:
            return messages
        for number in damaged:
            offset = next((one.offset() for one in messages if one.partition() == number), None)
            if offset is not None and not self._waiting.holds((self._topic, number)):
                detail = "what is remembered of it cannot be opened; the log tells why"
                self._waiting.hold((self._topic, number), offset, self._clock.monotonic(), "memory", detail)
        return [message for message in messages if message.partition() not in damaged]

    def hear(self, remark: Remark, ledger: Ledger[Message], place: int, message: Message) -> bool:
        """A remark was read; whether it was rejected at once."""
        return self._remarks.take(remark, ledger, place, message)

    def flush(self) -> None:
        """All that was read is taken in."""
        self._partitions.flush()

    def _is_owner(self) -> bool:
        return self._clock.monotonic() - self._polled_at < STANDSTILL_SECONDS_MAX

    def step(self) -> None:
        """Before each commit: what was parked is no request any more; remarks go on; damaged memories are opened."""
        for number in self._partitions.damaged():
            self._remarks.made_again(number)
            if self._partitions.reopen(number) is not None:
                self._second_reading.begin(number, self._ledgers[number].next_read)
        self._requests.reconcile()
        self._remarks.step(self._clock.monotonic(), self._second_reading.numbers)
        self._memory_report.step()
        self._dropped.step()

    def end(self) -> None:
        """The process stops, and all that is settled is committed."""
        self._dropped.write()
