"""Carries out what people ordered about parked objects, each with an audit line, in one transaction."""

from __future__ import annotations

from dataclasses import replace

from streams.inlets.objects import StoredObject
from streams.inlets.progress import Entry, Order, State, What
from streams.inlets.schedule import Pass
from streams.state.audit import InletOrdered
from streams.workers.inlet.lease import InletLease
from streams.workers.inlet.queue import Queue


class Orders:
    """The duty."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def begin(self) -> None:
        """Nothing is remembered."""

    def step(self, lease: InletLease) -> bool:
        for key, order in list(lease.view.orders.items()):
            self._carry_out(lease, key, order)
            return True
        return False

    def _carry_out(self, lease: InletLease, key: str, order: Order) -> None:
        entry = lease.view.waiting.get(key)
        after = None if entry is None else _after(entry, order)
        outcome = "nothing waits under this key any more" if after is None else "done"
        records = 0 if entry is None else entry.records
        line = InletOrdered(what=order.what, who=order.who, why=order.reason, key=key, outcome=outcome, records=records)
        lease.commit({} if after is None else {key: after}, orders_done=[key], audit=[line])
        if after is not None:
            listed = self._queue.drop(key)
            if after.state is State.UNDER_WAY:
                known = StoredObject(key, after.size_bytes, after.etag, after.modified_ms)
                self._queue.put(Pass.RECENT, [listed or known])


def _after(entry: Entry, order: Order) -> Entry:
    """How the object stands with the order."""
    if order.what is What.SKIP:
        return replace(entry, state=State.SKIPPED, salvages=False)
    return replace(entry, state=State.UNDER_WAY, salvages=order.what is What.SALVAGE, since_ms=0)
