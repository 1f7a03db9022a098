"""What Braze adds to the contract: requests that depend on what was sent before, in the order of a partition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streams.delivery.composer import UNACCOUNTED, Composed, Heard, InDoubt, Item, Memory
from streams.destinations.braze import imports, remarks, user_track
from streams.destinations.braze.settings import COHORTS, BrazeSettings


@dataclass(frozen=True, slots=True)
class BrazeComposer:
    """Requests of one configured workspace."""

    settings: BrazeSettings

    @property
    def in_doubt(self) -> InDoubt:
        return self.settings.in_doubt

    @property
    def tallies(self) -> Sequence[str]:
        return (*user_track.TALLIES, *remarks.TALLIES, UNACCOUNTED)

    def compose(self, scope: str, items: Sequence[Item], memory: Memory, now_s: int) -> Composed:
        if scope == COHORTS:
            return imports.compose(self.settings, items, memory, now_s)
        return user_track.compose(self.settings, items, memory, now_s)

    def hear(self, item: Item, memory: Memory, now_s: int) -> Heard:
        return remarks.hear(self.settings, item, memory, now_s)

    def reread_from(self, memory: Memory) -> int | None:
        return remarks.reread_from(memory)

    def open_copies(self, memory: Memory) -> Mapping[str, int]:
        return remarks.open_copies(memory)

    def gone(self, memory: Memory, before: int, now_s: int) -> Heard | None:
        return remarks.gone(memory, before, now_s)

    def expired(self, memory: Memory, now_s: int) -> Heard | None:
        return remarks.expired(memory, now_s)
