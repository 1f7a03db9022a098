"""How many letters are parked now, by cause: what was ever parked, less what left."""

from __future__ import annotations

from collections.abc import Mapping

from streams.keeping.standing import Standing


def parked_now(parked: Mapping[str, int], standing: Standing) -> dict[str, int]:
    """`parked` is what was parked since ever, by cause: the sinks' (or the router's) own count.

    The counts of sinks and keeper are read one after the other: what left in between never makes less than none.
    """
    totals = standing.totals
    gone = (totals.redriven, totals.replayed, totals.purged, totals.expired)
    imported = standing.imported_letters
    causes = dict.fromkeys([*parked, *imported, *(cause for counts in gone for cause in counts)])
    return {
        cause: max(0, parked.get(cause, 0) + imported.get(cause, 0) - sum(counts.get(cause, 0) for counts in gone))
        for cause in causes
    }
