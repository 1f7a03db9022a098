"""The keeper of a connector: holds the lease on its state, and carries out its duties.

It is the process that owns partition 0 of the connector's topic, on its own thread, not the sink's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import structlog

from streams.ports.clock import Clock
from streams.ports.meters import UNMEASURED, KeeperMeter
from streams.ports.pulse import NO_PULSE, Pulse
from streams.workers.keeper.lease import Lease, TakeLease
from streams.workers.lease_loop import Duty, LeaseLoop

log = structlog.get_logger(__name__)


class KeeperDuty(Duty[Lease], Protocol):
    """One of a keeper's duties: a `Duty` under the lease of a connector."""


class Keeper(LeaseLoop[Lease]):
    """The loop of one connector."""

    role = "keeper"

    def __init__(
        self,
        connector: str,
        take_lease: TakeLease,
        duties: Sequence[KeeperDuty],
        clock: Clock,
        meter: KeeperMeter = UNMEASURED,
        pulse: Pulse = NO_PULSE,
    ) -> None:
        super().__init__(connector, take_lease, duties, clock, meter, pulse)

    def _bound(self, name: str) -> structlog.stdlib.BoundLogger:
        bound: structlog.stdlib.BoundLogger = log.bind(connector=name)
        return bound
