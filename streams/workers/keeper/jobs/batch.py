"""What one transaction of a job holds: records to write, letters that are settled, counts, a purge's receipt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streams.ports.kafka import Message
from streams.state.orders import Action
from streams.state.receipt import Receipt
from streams.state.records import PURGED, REJECTED, Cursor, Record, SettledBlock, Totals, key
from streams.state.settled import SettledLetters
from streams.state.state_view import StateView
from streams.workers.keeper.jobs.outcome import Leaves, LeftOut
from streams.workers.keeper.lease import Lease, Outgoing


@dataclass(slots=True)
class Batch:
    """Gathered letter by letter since the job's last commit."""

    positions: dict[int, int] = field(default_factory=dict)
    """Per partition number the offset after the last letter that was looked at."""
    looked_at: int = 0
    taken: int = 0
    size_bytes: int = 0
    last_taken: Message | None = None
    records: list[Outgoing] = field(default_factory=list)
    settled: dict[int, list[int]] = field(default_factory=dict)
    """Per partition number the offsets that were not settled before."""
    causes: dict[str, int] = field(default_factory=dict)
    """Of those that were not settled before."""
    again: int = 0
    routed: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    receipt: Receipt = field(default_factory=Receipt)

    def look_at(self, letter: Message) -> None:
        """The job's position is after this letter, whatever becomes of it."""
        self.positions[letter.partition()] = letter.offset() + 1
        self.looked_at += 1

    def leave_out(self, reason: LeftOut) -> None:
        self.left_out[reason] = self.left_out.get(reason, 0) + 1

    def take(self, letter: Message, cause: str, leaves: Leaves, again: bool) -> None:
        """The letter leaves; `again`: it had left before, and this is a copy."""
        self.taken += 1
        self.last_taken = letter
        self.size_bytes += len(letter.value() or b"")
        self.records.extend(leaves.records)
        for connector, count in leaves.routed.items():
            self.routed[connector] = self.routed.get(connector, 0) + count
        if again:
            self.again += 1
            return
        self.settled.setdefault(letter.partition(), []).append(letter.offset())
        self.causes[cause] = self.causes.get(cause, 0) + 1
        if leaves.skipped is not None:
            self.skipped[leaves.skipped] = self.skipped.get(leaves.skipped, 0) + 1

    def totals(self, lease: Lease, action: Action) -> Totals:
        """The connector's totals with what this batch did."""
        if action == "purge":
            return lease.counted(purged=self.causes)
        return lease.counted(replayed=self.causes, again=self.again, routed=self.routed, skipped=self.skipped)


def settled_changes(
    view: StateView, letters: str, settled: Mapping[int, list[int]], action: Action
) -> dict[str, Record | None]:
    """What remembers these letters as settled, by partition number and offset.

    Rejected letters are triaged one by one, so bits; credentials letters leave as a prefix, so the cursor passes them.
    """
    changes: dict[str, Record | None] = {}
    for number, offsets in settled.items():
        if letters != REJECTED:
            after = max(view.cursor((letters, number)), max(offsets) + 1)
            changes[key("cursor", view.connector, letters, number)] = Cursor(offset=after)
            continue
        for name in (REJECTED, PURGED) if action == "purge" else (REJECTED,):
            before = view.settled.get((name, number), SettledLetters())
            for block, bits in before.with_added(offsets).items():
                changes[key("settled", view.connector, name, number, block)] = SettledBlock(bits=bits)
    return changes
