"""What a router is given: names of topics, and ports to the outside."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from streams.config.names import SOURCE
from streams.ports.clock import Clock
from streams.ports.kafka import Consumer, Transactions
from streams.ports.meters import UNMEASURED, RouterMeter
from streams.ports.pulse import NO_PULSE, Pulse
from streams.state.state_view import StateView
from streams.workers.reading.start_positions import Copies
from streams.workers.reading.wait_report import WaitReport
from streams.workers.router.delete_requests import DeleteRequests
from streams.workers.router.metadata import HandOvers

SourceView = Callable[[], StateView]
"""Reads the state of the source. Raises `KafkaUnreachable` and `StateError`."""


def empty_view() -> StateView:
    return StateView(SOURCE)


@dataclass(frozen=True, slots=True)
class RouterTopics:
    """`patterns` (regular expressions) say which topics are read. None of our own is: those begin with `own_prefix`."""

    patterns: Sequence[str]
    own_prefix: str
    source_letters: str
    audit: str
    state: str


@dataclass(frozen=True, slots=True)
class RouterPorts:
    """The outside of one router. `keep` is told whether partition 0 of the first Currents topic is ours: its owner
    keeps the source's dead letters."""

    consumer: Consumer
    transactions: Transactions
    clock: Clock
    keep: Callable[[bool], None]
    copies: Copies
    hand_overs: HandOvers = dict
    source_view: SourceView = empty_view
    connectors: Collection[str] = ()
    """Of the configuration: counts of others are given to the keeper."""
    deletions: DeleteRequests | None = None
    """Where deletions in Braze are orders to forget users."""
    report: WaitReport | None = None
    meter: RouterMeter = UNMEASURED
    pulse: Pulse = NO_PULSE
