"""What a keeper's state says for its connector's account."""

from __future__ import annotations

from streams.delivery.account import Returned
from streams.state.state_view import StateView


def returned_of(view: StateView, routed: int = 0) -> Returned:
    """What left the connector's dead letters, and what came in otherwise. `routed` came by replayed source letters."""
    totals = view.totals
    return Returned(
        redriven=totals.redriven,
        replayed=totals.replayed,
        purged=totals.purged,
        expired=totals.expired,
        refused=totals.refused,
        passed=totals.passed,
        deleted=totals.deleted,
        imported=view.imported_letters,
        again=totals.again,
        routed=routed,
        undelivered=totals.undelivered,
        overcounted=totals.overcounted,
    )
