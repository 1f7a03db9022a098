"""The keeper of a connector: holds the lease on its state, and carries out its duties.

It is the process that owns partition 0 of the connector's topic, on its own thread, not the sink's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from streams.ports.clock import Clock
from streams.ports.errors import Fenced, KafkaUnreachable, TransactionAborted
from streams.ports.meters import UNMEASURED, KeeperMeter
from streams.ports.pulse import NO_PULSE, Pulse
from streams.workers.keeper.lease import Lease, TakeLease
from streams.workers.lease_loop import Duty, LeaseLoop

log = structlog.get_logger(__name__)

WORKER_SECONDS_MAX = 15.0
"""A worker that is told to stop settles what is under way for 12 s, and commits. Where it takes longer, Kafka is likely
to be away, and a process has 22 s to leave."""


class KeeperDuty(Duty[Lease], Protocol):
    """One of a keeper's duties: a `Duty` under the lease of a connector."""


class Keeper(LeaseLoop[Lease]):
    """The loop of one connector. `finish` is called once the process is told to stop and its worker has ended."""

    role = "keeper"

    def __init__(
        self,
        connector: str,
        take_lease: TakeLease,
        duties: Sequence[KeeperDuty],
        clock: Clock,
        meter: KeeperMeter = UNMEASURED,
        pulse: Pulse = NO_PULSE,
        finish: Callable[[Lease], object] | None = None,
    ) -> None:
        super().__init__(connector, take_lease, duties, clock, meter, pulse)
        self._last = finish
        self.worker_ended = threading.Event()

    def _finish(self) -> None:
        if self._last is None or self._lease is None:
            return
        if not self.worker_ended.wait(WORKER_SECONDS_MAX):
            return
        try:
            self._last(self._lease)
        except (Fenced, KafkaUnreachable, TransactionAborted) as error:
            self._log.info("the last step of the keeper was not done", reason=str(error))

    def _bound(self, name: str) -> structlog.stdlib.BoundLogger:
        bound: structlog.stdlib.BoundLogger = log.bind(connector=name)
        return bound
