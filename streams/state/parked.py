"""How many letters are parked now, by cause: all that were ever parked, minus those that left."""

from __future__ import annotations

from collections.abc import Mapping

from streams.state.state_view import StateView, added


def parked_now(parked: Mapping[str, int], view: StateView) -> dict[str, int]:
    """`parked` is how many were ever parked, by cause: the count of the sinks (or the router).

    The counts of sinks and keeper are read one after the other. If letters left in between, the result is 0, not less.
    """
    settled = _settled(view)
    imported = added(view.imported_letters, {"rejected": sum(view.totals.refused.values())})
    causes = dict.fromkeys([*parked, *imported, *(cause for counts in settled for cause in counts)])
    return {
        cause: max(0, parked.get(cause, 0) + imported.get(cause, 0) - sum(counts.get(cause, 0) for counts in settled))
        for cause in causes
    }


def parked_in_all(parked: int, view: StateView) -> int:
    """As `parked_now`, for all causes together: the router has one count."""
    settled = sum(sum(counts.values()) for counts in _settled(view))
    moved = sum(view.totals.refused.values())
    return max(0, parked + sum(view.imported_letters.values()) + moved - settled)


def _settled(view: StateView) -> tuple[Mapping[str, int], ...]:
    totals = view.totals
    gone = (totals.redriven, totals.replayed, totals.purged, totals.expired, totals.refused, totals.passed)
    return (*gone, totals.deleted)
