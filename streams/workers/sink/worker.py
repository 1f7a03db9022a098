"""The sink: delivers one connector's topic to its destination.

> A record is settled when it was delivered, skipped for a counted reason, or parked. Offsets are committed only past
> settled records; parking and the commit are one Kafka transaction.

One thread runs `step` for ever, and each step has the same order:

1. take the answers that came, and let each batch's lane settle it or queue it again;
2. obey the connector's state: tell the keeper what is suspected, park what is for INVALID credentials, skip what is of
   users who are to be forgotten;
3. commit what is settled: letters, counts and offsets in one transaction, or a plain commit where there is no letter;
   this is left to 5 where the requests that are due there need a commit before they go;
4. read records, encode them, fill batches;
5. send what is due.

So a kill between any two loses nothing: what was not committed is read again, and the keys of the first delivery make
the second harmless.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

import structlog

from streams.delivery.account import SinkCounts
from streams.delivery.contract import Destination
from streams.delivery.ledger import Ledger
from streams.delivery.metadata import topic_mark
from streams.ports.kafka import Gap, Message, Partition, Start
from streams.state.worker_records import Waits
from streams.workers.reading.start_positions import MADE_AGAIN, NEVER, Beginning, beginnings
from streams.workers.reading.wait_report import partition_waits
from streams.workers.sink.committer import SinkCommitter
from streams.workers.sink.composition.composed_delivery import ComposedDelivery
from streams.workers.sink.dispatch import Dispatch
from streams.workers.sink.encoders import EncoderCache
from streams.workers.sink.gates import Gates, Reopened
from streams.workers.sink.intake import Intake
from streams.workers.sink.ports import SinkLimits, SinkPorts
from streams.workers.sink.window import Window
from streams.workers.sink.withheld_users import Withholding

log = structlog.get_logger(__name__)

POLL_RECORDS_MAX = 500
"""Small reads keep the working set in cache, and answers are looked at between them."""
POLL_SECONDS_IDLE = 0.1
POLL_SECONDS_BUSY = 0.01
COUNT_SECONDS = 1.0
"""How often the topic's partitions are counted again while no broker answers."""


class Sink:
    """Delivers one connector's topic; one thread calls `run`, or `step` for ever."""

    def __init__(
        self,
        connector: str,
        topic: str,
        build: Callable[[], Destination],
        limits: SinkLimits,
        ports: SinkPorts,
        *,
        committer: SinkCommitter,
        gates: Gates,
        encoders: EncoderCache,
    ) -> None:
        """`build` makes the destination with its secrets as they are now."""
        self._topic = topic
        self._ports = ports
        self._clock = ports.clock
        self._committer = committer
        self._gates = gates
        self._dispatch = Dispatch(connector, build, limits, ports, gates=gates, encoders=encoders)
        self._intake = Intake(connector, topic, ports, dispatch=self._dispatch, encoders=encoders)
        self._waiting = self._intake.waiting
        self._ledgers: dict[int, Ledger[Message]] = {}
        self._composed_delivery = self._composed(connector, topic, encoders)
        self._window = Window(topic, self._ledgers, ports.consumer, self._waiting)
        self._withholding = Withholding(connector, ports.forgotten, encoders, committer.tell, ports.clock)
        self._partitions = 0
        """Of the topic; 0: not known yet."""
        self._count_at = 0.0
        self._is_unmarked = True
        """Whether commits do not name the state topic yet."""
        self._has_settled = False
        """Whether the answers under way were awaited for the last time: the process stops."""
        self._log = log.bind(connector=connector)

    def _composed(self, connector: str, topic: str, encoders: EncoderCache) -> ComposedDelivery | None:
        """What a destination that composes needs more."""
        if self._dispatch.destination.composer is None:
            return None
        assert self._ports.memories is not None, "a destination that composes needs a memory"
        composed_delivery = ComposedDelivery(
            connector,
            topic,
            self._ports,
            self._ports.memories,
            dispatch=self._dispatch,
            committer=self._committer,
            encoders=encoders,
            waiting=self._waiting,
            ledgers=self._ledgers,
            view=self._gates.view,
        )
        self._intake.hear = composed_delivery.hear
        return composed_delivery

    def run(self, stop: threading.Event) -> None:
        """Deliver until told to stop; then settle what is under way, commit and leave. What fails, raises."""
        self._gates.start()
        self._withholding.start()
        self._ports.consumer.subscribe([self._topic], self)
        try:
            while not stop.is_set():
                self._ports.pulse.beat("sink")
                self.step()
            under_way = self._dispatch.in_flight
            self._log.info("sink stops", requests_in_flight=len(under_way))
            self._dispatch.settle(under_way)
            self._has_settled = True
            self._committer.commit(self._ledgers)
            if self._composed_delivery is not None:
                self._composed_delivery.end()
            if self._ports.report is not None:
                self._ports.report.end()
        finally:
            self._withholding.close()
            self._ports.consumer.close()

    def step(self) -> None:
        """Take answers, obey the state, commit, read, send: in this order."""
        self._dispatch.take_answers(0.0)
        self._gates.tell()
        self._take_reopened(self._gates.look())
        if self._is_unmarked:
            self._mark_counts()
        self._park_invalid()
        self._withholding.step(self._ledgers, self._dispatch.lanes.values(), self._flush)
        if self._composed_delivery is not None:
            self._composed_delivery.step()
        self._committer.commit_if_due(self._ledgers, is_next=self._dispatch.commits_next)
        if self._window.is_empty():
            self._gates.flood.all_settled()
        now = self._clock.monotonic()
        if self._window.has_room() and self._gates.may_read:
            self._window.opened()
            self._waiting.resume_due(now)
            messages = self._ports.consumer.poll(POLL_RECORDS_MAX, self._poll_seconds(now))
            if messages and self._gates.invalid:
                # A letter on its way back was written after its scope was VALID again: parked by an older view it
                # would lose its place behind letters that follow it.
                self._take_reopened(self._gates.catch_up())
            self._admit(messages)
        else:
            self._wait_for_room(now)
        self._intake.flush_aged()
        if not self._partitions and now >= self._count_at:
            self._share_rate()
        self._dispatch.send_due()
        self._intake.say_cuts(now)
        if self._ports.report is not None:
            self._ports.report.step(self._waits)

    def _waits(self) -> Waits:
        """What this process waits for now."""
        waits = Waits(partitions=partition_waits(self._waiting, self._clock), back_offs=self._dispatch.back_offs())
        self._ports.meter.waits(waits)
        return waits

    # The group's news, inside `poll`.

    def assigned(self, starts: Sequence[Start]) -> None:
        begun = beginnings(starts, self._ports.copies, self._ports.consumer)
        for beginning in begun:
            start = beginning.start
            counts = SinkCounts.from_metadata(start.metadata)
            lost = self._lost_before(beginning)
            counts.lost += lost
            counts.topic = topic_mark(start.topic_id) or counts.topic
            self._ports.meter.lost(lost)
            self._ledgers[start.partition] = Ledger(start.offset, counts)
        self._committer.assigned(begun)
        self._withholding.assigned(beginning.start.partition for beginning in begun)
        if self._composed_delivery is not None:
            made_again = [beginning.start.partition for beginning in begun if beginning.why == MADE_AGAIN]
            self._composed_delivery.assigned([beginning.start.partition for beginning in begun], made_again)
        self._ports.pulse.joined()
        self._partitions = 0
        self._share_rate()
        self._mark_counts(is_anew=True)
        if 0 in self._ledgers:
            self._ports.keep(True)
        if self._window.is_paused:
            self._ports.consumer.pause([(start.topic, start.partition) for start in starts])
        self._log.info("partitions assigned", partitions=sorted(start.partition for start in starts))

    def _lost_before(self, beginning: Beginning) -> int:
        """What retention deleted before this start. Records that were gone before a sink ever ran are lost, too: the
        router counted them."""
        start = beginning.start
        lost = start.offset if beginning.why == NEVER else beginning.lost
        if lost:
            self._log.error(
                "records lost to retention",
                partition=start.partition,
                from_offset=start.offset - lost,
                to_offset=start.offset,
            )
        return lost

    def _mark_counts(self, *, is_anew: bool = False) -> None:
        """Commits name the state topic once a keeper wrote to it. Counts that named another one do so until then."""
        mark = self._gates.state_mark
        self._is_unmarked = not mark
        for ledger in self._ledgers.values():
            ledger.counts.state = mark if mark and is_anew else ledger.counts.state or mark

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Await the answers that are under way for these partitions, commit, forget them."""
        going = {number for _, number in partitions if number in self._ledgers}
        ledgers = {id(self._ledgers[number]) for number in going}
        under_way = {
            batch for batch in self._dispatch.in_flight if any(id(span.ledger) in ledgers for span in batch.spans)
        }
        if not self._has_settled:
            self._dispatch.settle(under_way)
        self._committer.commit({number: self._ledgers[number] for number in going})
        self._forget(going)
        self._log.info("partitions revoked", partitions=sorted(going))

    def lost(self, partitions: Sequence[Partition]) -> None:
        going = {number for _, number in partitions if number in self._ledgers}
        self._forget(going)
        self._log.warning("partitions lost", partitions=sorted(going))

    def made_again(self, starts: Sequence[Start]) -> None:
        """What was read of the topic that was deleted is sent, and counts nowhere; its counts stay."""
        begun = []
        for start in starts:
            ledger = self._ledgers.get(start.partition)
            if ledger is not None:
                ledger.close()
                ledger.counts.topic = topic_mark(start.topic_id)
                self._ledgers[start.partition] = Ledger(start.offset, ledger.counts)
                begun.append(Beginning(start, MADE_AGAIN))
        for scope, lane in self._dispatch.lanes.items():
            self._intake.flush(scope)
            lane.drop_closed()
        self._waiting.begin_again((self._topic, beginning.start.partition) for beginning in begun)
        if self._window.is_paused:
            self._ports.consumer.pause([(self._topic, beginning.start.partition) for beginning in begun])
        if self._composed_delivery is not None:
            for beginning in begun:
                self._composed_delivery.made_again(beginning.start.partition)
        self._committer.assigned(begun)

    def gap(self, gap: Gap) -> None:
        """Retention deleted what was not read: counted, said, never skipped in silence."""
        kept = gap if self._composed_delivery is None else self._composed_delivery.gap(gap)
        if kept is None:
            return
        gap, ledger = kept, self._ledgers.get(kept.partition)
        if ledger is not None:
            ledger.lose(gap.earliest, gap.offsets)
            self._committer.restate()
            self._ports.meter.lost(gap.offsets)
        self._log.error(
            "records lost to retention", partition=gap.partition, from_offset=gap.position, to_offset=gap.earliest
        )

    def _forget(self, numbers: Iterable[int]) -> None:
        gone = set(numbers)
        if 0 in gone:
            self._ports.keep(False)
        for number in gone:
            self._ledgers[number].close()
        if self._composed_delivery is not None:
            self._composed_delivery.forget(gone)
        for number in gone:
            del self._ledgers[number]
        for scope, lane in self._dispatch.lanes.items():
            self._intake.flush(scope)
            lane.drop_closed()
        self._waiting.forget((self._topic, number) for number in gone)
        self._share_rate()

    def _share_rate(self) -> None:
        """A configured rate is the account's: each process takes its partitions' share of it.

        While no broker says how many partitions there are nothing is sent: a guess could exceed the rate.
        """
        rate, now = self._dispatch.rate, self._clock.monotonic()
        self._count_at = now + COUNT_SECONDS
        if rate is None or not self._ledgers:
            return
        if not self._partitions:
            self._partitions = self._ports.partition_count()
        share = len(self._ledgers) / max(self._partitions, len(self._ledgers)) if self._partitions else 0.0
        self._dispatch.bucket.set_rate(rate * share, now)

    # Reading.

    def _admit(self, messages: Sequence[Message]) -> None:
        if self._composed_delivery is None:
            self._intake.admit(messages, self._ledgers)
        else:
            self._intake.admit(self._composed_delivery.records(messages), self._ledgers)
            self._composed_delivery.flush()

    def _wait_for_room(self, now: float) -> None:
        """Let answers come, unless requests are due whose commit makes room. A window that stays full is a slow
        destination: pause, but stay in the group."""
        self._window.closed(now)
        if self._window.is_paused:
            self._admit(self._ports.consumer.poll(POLL_RECORDS_MAX, 0.0))
        self._dispatch.take_answers(0.0 if self._dispatch.commits_next else POLL_SECONDS_IDLE)

    def _poll_seconds(self, now: float) -> float:
        """Short while anything is under way or soon due: answers come on another thread."""
        if self._dispatch.in_flight:
            return POLL_SECONDS_BUSY
        due = [*self._intake.due_in(now)]
        due += [seconds for lane in self._dispatch.lanes.values() if (seconds := lane.due_in(now)) is not None]
        return max(0.001, min([POLL_SECONDS_IDLE, *due]))

    # What the keeper decided.

    def _take_reopened(self, reopened: Reopened) -> None:
        """Deliver again what the keeper's decisions allow, with the secrets as they are in their files now."""
        if not reopened:
            return
        self._dispatch.renew()
        self._intake.renewed()
        for scope in reopened.at_once:
            self._dispatch.lanes[scope].reset()
        for scope in reopened.after_a_wait:
            self._dispatch.lanes[scope].release(self._clock.monotonic())

    def _flush(self) -> None:
        """What is filling waits in its lane."""
        for scope in self._dispatch.lanes:
            self._intake.flush(scope)

    def _park_invalid(self) -> None:
        """What waits for INVALID credentials is parked; a SUSPENDED connector's gates are stopped, and park nothing."""
        for scope, refusal in self._gates.invalid.items():
            self._intake.flush(scope)
            self._dispatch.lanes[scope].park_waiting(refusal)
