"""One configuration and the cluster that it runs on: what every operation is given.

Whoever calls operations (the command line, the console, a keeper) builds it once, may use it for any number of calls,
and closes it. One thread uses it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streams.config import Settings
from streams.ports.clock import Clock
from streams.ports.cluster import Cluster
from streams.ports.letters import Letters
from streams.ports.state import Journal, Keepers


@dataclass(frozen=True, slots=True)
class Installation:
    """`open_journal` and `open_letters` give a reader of the state topic and of dead letters; whoever opens one closes
    it."""

    settings: Settings
    cluster: Cluster
    keepers: Keepers
    open_journal: Callable[[], Journal]
    open_letters: Callable[[], Letters]
    clock: Clock

    def close(self) -> None:
        self.cluster.close()
