"""The loop of one inlet: it works while this process is the one that the group chose."""

from __future__ import annotations

import structlog

from streams.workers.inlet.lease import InletLease
from streams.workers.lease_loop import LeaseLoop

log = structlog.get_logger(__name__)


class InletLoop(LeaseLoop[InletLease]):
    """Holds the lease of one inlet, and carries out its duties."""

    role = "inlet"

    def _bound(self, name: str) -> structlog.stdlib.BoundLogger:
        bound: structlog.stdlib.BoundLogger = log.bind(inlet=name)
        return bound
