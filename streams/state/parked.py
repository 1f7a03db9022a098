"""How many letters are parked now, by cause: what was ever parked, less what left."""

from __future__ import annotations

from collections.abc import Mapping

from streams.state.standing import Standing, added


def parked_now(parked: Mapping[str, int], standing: Standing) -> dict[str, int]:
    """`parked` is what was parked in total, by cause: the sinks' (or the router's) own count.

    The counts of sinks and keeper are read one after the other: what left in between never makes less than none.
    """
    settled = _settled(standing)
    imported = added(standing.imported_letters, {"rejected": sum(standing.totals.refused.values())})
    causes = dict.fromkeys([*parked, *imported, *(cause for counts in settled for cause in counts)])
    return {
        cause: max(0, parked.get(cause, 0) + imported.get(cause, 0) - sum(counts.get(cause, 0) for counts in settled))
        for cause in causes
    }


def parked_in_all(parked: int, standing: Standing) -> int:
    """As `parked_now`, of all causes together: the router counts its letters so."""
    settled = sum(sum(counts.values()) for counts in _settled(standing))
    moved = sum(standing.totals.refused.values())
    return max(0, parked + sum(standing.imported_letters.values()) + moved - settled)


def _settled(standing: Standing) -> tuple[Mapping[str, int], ...]:
    totals = standing.totals
    gone = (totals.redriven, totals.replayed, totals.purged, totals.expired, totals.refused, totals.passed)
    return (*gone, totals.deleted)
