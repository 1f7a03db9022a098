"""Orders about a parked file. They are written to the topic of inlets; the active process carries them out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from streams.inlets.progress import Entry, Order, State, What
from streams.operations.errors import BadRequest, NothingMatched
from streams.operations.inlets.overview import view_of
from streams.operations.installation import Installation

LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Ordered:
    """An order about one file; whether it is carried out, or waits for a process that is active. `after` is what is
    known of the file then; None where nothing is."""

    key: str
    what: What
    is_done: bool
    after: Entry | None = None

    def sentence(self) -> str:
        """What came of it."""
        if not self.is_done:
            return f"no process of the inlet answered: {self.what.value} {self.key} waits until one runs"
        after = self.after
        taken = "" if after is None else f"{after.records:,} {'record' if after.records == 1 else 'records'}"
        match None if after is None else after.state:
            case State.DONE:
                return f"{self.key} was read to its end: {taken} of it are taken, and nothing of it is given up"
            case State.SKIPPED:
                return f"{taken} of {self.key} are taken; the rest of it is given up for good"
            case State.PARKED | State.DAMAGED if after is not None:
                return f"{self.key} still cannot be read: {after.reason}"
            case State.LOST:
                return f"{self.key} is not there any more"
            case _:
                return f"{self.key} is being read; the audit will tell what came of it"


def order(
    installation: Installation,
    name: str,
    key: str,
    what: What,
    *,
    who: str,
    reason: str,
    wait_seconds: float,
    sleep: Callable[[float], None] = time.sleep,
) -> Ordered:
    """Write the order, and wait for a while until it is carried out and what came of it is known. One that is not
    carried out in time stays.

    Raises `BadRequest`, `NothingMatched` where no file with this key waits, `KafkaUnreachable` and `StateError`.
    """
    if not reason.strip():
        raise BadRequest("say why: the audit keeps it", field="reason")
    view = view_of(installation, name)
    if key not in view.waiting:
        waiting = ", ".join(sorted(view.waiting)[:5]) or "none"
        raise NothingMatched(f"inlet {name}: no parked or damaged file has the key {key}; there are: {waiting}")
    settings, cluster, clock = installation.settings, installation.cluster, installation.clock
    wanted = Order(what, who, reason, clock.epoch_ms())
    record_key = f"order/{name}/{key}".encode()
    with installation.open_transactions(f"{settings.groups.inlet(name)}.orders") as transactions:
        transactions.begin()
        transactions.write(settings.topics.inlets, wanted.to_bytes(), record_key)
        transactions.commit((), None)
    written = cluster.high_watermarks(cluster.partitions(settings.topics.inlets))
    deadline = clock.monotonic() + wait_seconds
    while True:
        # Before readers see the end of the transaction, an order that nobody has read yet looks like one that is done.
        is_readable = all(end >= written[place] for place, end in cluster.ends(written).items())
        if is_readable and record_key not in installation.read_latest(settings.topics.inlets, record_key):
            break
        if clock.monotonic() >= deadline:
            return Ordered(key, what, False)
        sleep(LOOK_SECONDS)
    after = view_of(installation, name).entry(key)
    while after is not None and after.state is State.UNDER_WAY and clock.monotonic() < deadline:
        sleep(LOOK_SECONDS)
        after = view_of(installation, name).entry(key)
    return Ordered(key, what, True, after)
