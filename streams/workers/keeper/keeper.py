"""The keeper of a connector: takes office, carries out its tasks a step at a time, and drops the office when fenced.

It is the process that owns partition 0 of the connector's topic, on its own thread, not the sink's. Taking
office fences the predecessor and reads the state to its end; nothing is done before. Each task's step is at most one
transaction. An aborted one changed nothing: all tasks begin again from the committed state.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

import structlog

from streams.ports.clock import Clock
from streams.ports.errors import Fenced, KafkaUnreachable, TransactionAborted
from streams.ports.meters import UNMEASURED, KeeperMeter
from streams.ports.pulse import NO_PULSE, Pulse
from streams.workers.keeper.office import BeginAgain, Office, OpenOffice

log = structlog.get_logger(__name__)

RETAKE_SECONDS = 5.0
"""A fenced keeper that still owns its partition waits this long: two that take turns would do nothing else."""
IDLE_SECONDS = 0.1
"""Between two steps that found nothing to do."""


class Task(Protocol):
    """One of a keeper's duties."""

    def begin(self) -> None:
        """A term began or ended, or a transaction was aborted: forget what was not committed."""
        ...

    def step(self, office: Office) -> bool:
        """Do a little, at most one transaction; whether there was anything to do.

        Raises `TransactionAborted`, `BeginAgain`, `Fenced` and `KafkaUnreachable`.
        """
        ...


class Keeper:
    """`own` is called by the thread that learns of partitions; `run`, or `step` for ever, by the keeper's own."""

    def __init__(
        self,
        connector: str,
        open_office: OpenOffice,
        tasks: Sequence[Task],
        clock: Clock,
        meter: KeeperMeter = UNMEASURED,
        pulse: Pulse = NO_PULSE,
    ) -> None:
        self._open_office = open_office
        self._tasks = tasks
        self._clock = clock
        self._meter = meter
        self._pulse = pulse
        self._owns = threading.Event()
        self._office: Office | None = None
        self._retake_at = 0.0
        self._log = log.bind(connector=connector)

    def own(self, is_ours: bool) -> None:
        """Whether this process owns partition 0 now."""
        if is_ours:
            self._owns.set()
        else:
            self._owns.clear()

    @property
    def office(self) -> Office | None:
        """The office, while it is held."""
        return self._office

    def run(self, stop: threading.Event) -> None:
        """Keep while the partition is ours, until told to stop. What is not expected, raises."""
        try:
            while not stop.is_set():
                self._pulse.beat("keeper")
                if not self.step():
                    stop.wait(IDLE_SECONDS)
        finally:
            self._leave()

    def step(self) -> bool:
        """Take or leave office, or let each task do a little; whether there was anything to do."""
        if not self._owns.is_set():
            self._leave()
            return False
        try:
            if self._office is None:
                return self._take()
            self._office.follow()
            is_busy = False
            for task in self._tasks:
                is_busy = task.step(self._office) or is_busy
        except TransactionAborted as error:
            self._log.warning("keeper's transaction aborted, done again", error=str(error))
            self._begin()
        except BeginAgain as reason:
            self._log.warning("all tasks begin again", reason=str(reason))
            self._begin()
        except (Fenced, KafkaUnreachable) as error:
            self._log.warning("office dropped", reason=str(error))
            self._leave()
            self._retake_at = self._clock.monotonic() + RETAKE_SECONDS
        else:
            return is_busy
        return False

    def _take(self) -> bool:
        if self._clock.monotonic() < self._retake_at:
            return False
        self._office = self._open_office()
        self._log.info("keeper in office", epoch=self._office.epoch)
        self._meter.in_office(True)
        self._begin()
        return True

    def _begin(self) -> None:
        if self._office is not None:
            for task in self._tasks:
                task.begin()

    def _leave(self) -> None:
        if self._office is not None:
            self._log.info("keeper leaves office", epoch=self._office.epoch)
            self._meter.in_office(False)
            self._begin()
            self._office.close()
            self._office = None
