"""How storage inlets stand, from what they wrote to Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from streams.inlets.inlet_view import InletView
from streams.inlets.progress import Counts, Entry, State
from streams.operations.errors import BadRequest
from streams.operations.installation import Installation
from streams.ports.errors import TopicMissing
from streams.state.moments import iso


@dataclass(frozen=True, slots=True)
class ParkedFile:
    """A file that cannot be read. `records` were taken of it."""

    key: str
    reason: str
    since_ms: int
    size_bytes: int
    records: int
    state: State

    def to_json(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "reason": self.reason,
            "since": iso(self.since_ms),
            "size_bytes": self.size_bytes,
            "records": self.records,
            "state": self.state.value,
        }


@dataclass(frozen=True, slots=True)
class InletOverview:
    """One inlet. Its state is `active` while a process is chosen for it, `inactive` while none is, `new` where none
    ever was. What is pending, and why it is `failing`, is told by the active process twice a minute."""

    name: str
    url: str
    state: str
    active_instance: str
    counts: Counts
    ignored: int
    pending: int
    oldest_pending_seconds: int
    failing: str
    files: tuple[ParkedFile, ...] = field(default=())

    @property
    def parked(self) -> list[ParkedFile]:
        return [one for one in self.files if one.state is State.PARKED]

    @property
    def damaged(self) -> list[ParkedFile]:
        return [one for one in self.files if one.state is State.DAMAGED]

    def to_json(self) -> dict[str, Any]:
        return {
            "inlet": self.name,
            "kind": "storage",
            "url": self.url,
            "state": self.state,
            "active_instance": self.active_instance,
            "oldest_pending_seconds": self.oldest_pending_seconds,
            "pending": self.pending,
            "failing": self.failing,
            "taken": self.counts.taken,
            "records": self.counts.records,
            "parked": [one.to_json() for one in self.parked],
            "damaged": [one.to_json() for one in self.damaged],
            "rewritten": self.counts.rewritten,
            "copies": self.counts.copies,
            "lost": self.counts.lost,
            "ignored": self.ignored,
            "passed_records": self.counts.passed,
        }


def overviews(installation: Installation, name: str | None = None) -> Iterator[InletOverview]:
    """Each storage inlet, or one. Raises `BadRequest`, `KafkaUnreachable` and `StateError`."""
    inlets = installation.settings.storage_inlets
    for inlet in inlets if name is None else (name,):
        view = view_of(installation, inlet)
        yield _overview(installation, inlet, view)


def view_of(installation: Installation, name: str) -> InletView:
    """What an inlet wrote. Raises `BadRequest` for an unknown name, `KafkaUnreachable` and `StateError`."""
    settings = installation.settings
    if name not in settings.storage_inlets:
        known = ", ".join(settings.storage_inlets) or "none"
        raise BadRequest(f"there is no storage inlet {name}; there are: {known}")
    view = InletView(name)
    try:
        rows = installation.read_latest(settings.topics.inlets, b"")
    except TopicMissing:
        return view
    for key, value in rows.items():
        view.apply(key.decode(errors="replace"), value)
    return view


def _overview(installation: Installation, name: str, view: InletView) -> InletOverview:
    settings, now_ms = installation.settings, installation.clock.epoch_ms()
    is_active = installation.cluster.members(settings.groups.inlet(name)) > 0
    head = view.head
    oldest_ms = head.oldest_pending_ms if head.pending else now_ms
    state = "active" if is_active else ("inactive" if head.term else "new")
    return InletOverview(
        name=name,
        url=settings.storage_inlets[name].url,
        state=state,
        active_instance=head.instance if is_active else "",
        counts=head.counts,
        ignored=head.ignored,
        pending=head.pending,
        oldest_pending_seconds=max(0, (now_ms - oldest_ms) // 1000),
        failing=head.failing,
        files=tuple(_file(key, entry) for key, entry in sorted(view.waiting.items())),
    )


def _file(key: str, entry: Entry) -> ParkedFile:
    return ParkedFile(key, entry.reason, entry.since_ms, entry.size_bytes, entry.records, entry.state)
