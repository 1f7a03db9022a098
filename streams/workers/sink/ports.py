"""What a sink is given: ports to the outside, and its connector's limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streams.ports.clock import Clock
from streams.ports.http import Transport
from streams.ports.kafka import Consumer
from streams.ports.memory import Memories
from streams.ports.meters import UNMEASURED, SinkMeter
from streams.ports.pulse import NO_PULSE, Pulse
from streams.ports.state import Journal
from streams.workers.reading.start_positions import Copies
from streams.workers.reading.wait_report import WaitReport


@dataclass(frozen=True, slots=True)
class SinkLimits:
    """What the configuration says of one connector; None: no limit of its own."""

    give_up_seconds: float | None = None
    records_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class SinkPorts:
    """The outside of one sink. `keep` is called with whether this sink owns partition 0: the owner is the connector's
    keeper. `partition_count` gives 0 while no broker answers."""

    consumer: Consumer
    transport: Transport
    clock: Clock
    keep: Callable[[bool], None]
    partition_count: Callable[[], int]
    copies: Copies
    report: WaitReport | None = None
    memories: Memories | None = None
    """For a destination that composes."""
    forgotten: Journal | None = None
    """Follows the topic of users who are to be forgotten."""
    meter: SinkMeter = UNMEASURED
    pulse: Pulse = NO_PULSE
