"""Takes a lease, carries out its duties a step at a time, and drops the lease when fenced.

One process of several is chosen by a consumer group: the one that owns a certain partition. Taking the lease fences the
predecessor and reads the state to its end; nothing is done before. Each duty's step is at most one transaction. An
aborted one changed nothing: all duties begin again from the committed state.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

import structlog

from streams.ports.clock import Clock
from streams.ports.errors import Fenced, KafkaUnreachable, TransactionAborted
from streams.ports.pulse import NO_PULSE, Pulse

log = structlog.get_logger(__name__)

RETAKE_SECONDS = 5.0
"""A fenced process that still owns its partition waits this long: two that take turns would do nothing else."""
IDLE_SECONDS = 0.1
"""Between two steps that found nothing to do."""


class BeginAgain(Exception):
    """What duties remember means nothing any more: each begins again from the committed state."""


class HeldLease(Protocol):
    """A lease of any kind, from the moment it was taken."""

    @property
    def epoch(self) -> int: ...

    def follow(self) -> None:
        """Take what others wrote since."""
        ...

    def close(self) -> None: ...


AnyLease = TypeVar("AnyLease", bound=HeldLease)
TakenLease = TypeVar("TakenLease", bound=HeldLease, contravariant=True)


class Duty(Protocol[TakenLease]):
    """One of the duties of the process that holds the lease."""

    def begin(self) -> None:
        """A lease began or ended, or a transaction was aborted: forget what was not committed."""
        ...

    def step(self, lease: TakenLease) -> bool:
        """Do a little, at most one transaction; whether there was anything to do.

        Raises `TransactionAborted`, `BeginAgain`, `Fenced` and `KafkaUnreachable`.
        """
        ...


class LeaseMeter(Protocol):
    """Is told whether this process holds the lease."""

    def lease_held(self, is_held: bool) -> None: ...


class LeaseLoop(Generic[AnyLease]):
    """`own` is called by the thread that learns of partitions; `run`, or `step` for ever, by a thread of its own."""

    role = "holder"
    """What log lines call it."""

    def __init__(
        self,
        name: str,
        take_lease: Callable[[], AnyLease],
        duties: Sequence[Duty[AnyLease]],
        clock: Clock,
        meter: LeaseMeter,
        pulse: Pulse = NO_PULSE,
    ) -> None:
        self._take_lease = take_lease
        self._duties = duties
        self._clock = clock
        self._meter = meter
        self._pulse = pulse
        self._owns = threading.Event()
        self._lease: AnyLease | None = None
        self._retake_at = 0.0
        self._log = self._bound(name)

    def own(self, is_ours: bool) -> None:
        """Whether this process owns the partition now."""
        if is_ours:
            self._owns.set()
        else:
            self._owns.clear()

    @property
    def lease(self) -> AnyLease | None:
        """The lease, while it is held."""
        return self._lease

    def run(self, stop: threading.Event) -> None:
        """Work while the partition is ours, until told to stop. What is not expected, raises."""
        try:
            while not stop.is_set():
                self._pulse.beat(self.role)
                if not self.step():
                    stop.wait(IDLE_SECONDS)
            self._finish()
        finally:
            self._leave()

    def _finish(self) -> None:
        """Told to stop: what is done last, while the lease is held."""

    def step(self) -> bool:
        """Take or give up the lease, or let each duty do a little; whether there was anything to do."""
        if not self._owns.is_set():
            self._leave()
            return False
        try:
            if self._lease is None:
                return self._take()
            self._lease.follow()
            is_busy = False
            for duty in self._duties:
                is_busy = duty.step(self._lease) or is_busy
        except TransactionAborted as error:
            self._log.warning(f"{self.role}'s transaction was aborted, will try again", error=str(error))
            self._begin()
        except BeginAgain as reason:
            self._log.warning("all duties begin again", reason=str(reason))
            self._begin()
        except (Fenced, KafkaUnreachable) as error:
            self._log.warning(f"this process is no longer the {self.role}", reason=str(error))
            self._leave()
            self._retake_at = self._clock.monotonic() + RETAKE_SECONDS
        else:
            return is_busy
        return False

    def _bound(self, name: str) -> structlog.stdlib.BoundLogger:
        bound: structlog.stdlib.BoundLogger = log.bind(name=name)
        return bound

    def _take(self) -> bool:
        if self._clock.monotonic() < self._retake_at:
            return False
        self._lease = self._take_lease()
        self._log.info(f"{self.role} starts", epoch=self._lease.epoch)
        self._meter.lease_held(True)
        self._begin()
        return True

    def _begin(self) -> None:
        if self._lease is not None:
            for duty in self._duties:
                duty.begin()

    def _leave(self) -> None:
        if self._lease is not None:
            self._log.info(f"{self.role} stops", epoch=self._lease.epoch)
            self._meter.lease_held(False)
            self._begin()
            self._lease.close()
            self._lease = None
