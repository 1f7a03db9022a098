"""What a replay or purge would do: which letters it takes, how many of each kind, which it leaves out, and why."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from streams.state.orders import Action
from streams.state.records import CREDENTIALS, PURGED, REJECTED
from streams.state.selection import REPLAYS_MAX, LetterFacts, Selection
from streams.state.state_view import StateView

LeftOut = Literal["settled", "purged", "replays"]
LEFT_OUT_SENTENCES: Mapping[str, str] = {
    "settled": "replayed, redriven, purged or expired already (`replay --again` sends them once more)",
    "purged": "purged: they cannot come back",
    "replays": f"came back from {REPLAYS_MAX} replays: look at one with `streams dlq show`, then fix or purge",
}
PLAN_ID_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Plan:
    """The result of planning. `id` changes if other letters are selected, or if letters were settled meanwhile."""

    id: str
    action: Action
    selection: Selection
    letters: int
    counts: Mapping[tuple[str, str], int]
    """By cause and event type."""
    left_out: Mapping[str, int]
    ends: Mapping[str, int]
    """`<letters>/<partition>` to the offset after the last letter that is taken."""
    revision: int

    def to_arguments(self, rate: float | None, *, is_bound: bool) -> dict[str, Any]:
        """The arguments of the request to the keeper.

        `is_bound`: the keeper must refuse the order if letters were settled meanwhile. Otherwise it leaves out those
        letters (a redrive may go on for hours) and does the rest.
        """
        return {
            "selection": dict(self.selection.to_arguments()),
            "ends": dict(self.ends),
            "planned": self.letters,
            "revision": self.revision if is_bound else None,
            "rate": rate,
        }

    def to_json(self) -> dict[str, Any]:
        """The plan as it is printed."""
        return {
            "plan": self.id,
            "action": self.action,
            "selection": dict(self.selection.to_arguments()),
            "letters": self.letters,
            "counts": [
                {"cause": cause, "event_type": event_type, "letters": count}
                for (cause, event_type), count in self.most_first()
            ],
            "left_out": dict(self.left_out),
        }

    def most_first(self) -> list[tuple[tuple[str, str], int]]:
        return sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))


@dataclass(slots=True)
class Planner:
    """Takes letters in offset order per partition. If there is a limit, it takes one partition after the other."""

    action: Action
    selection: Selection
    revision: int
    _letters: int = 0
    _counts: dict[tuple[str, str], int] = field(default_factory=dict)
    _left_out: dict[str, int] = field(default_factory=dict)
    _ends: dict[int, int] = field(default_factory=dict)
    _digests: dict[int, Any] = field(default_factory=dict)
    _closed: set[int] = field(default_factory=set)

    @property
    def is_prefix(self) -> bool:
        """Whether only the oldest letters of each partition may be taken."""
        return self.selection.letters.startswith(CREDENTIALS)

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached: later letters are not looked at."""
        return self.selection.limit is not None and self._letters >= self.selection.limit

    def is_closed(self, partition: int) -> bool:
        """Whether no more letters of this partition are taken."""
        return self.is_full or partition in self._closed

    def take(self, partition: int, offset: int, facts: LetterFacts, *, is_settled: bool, is_purged: bool) -> bool:
        """Look at one letter. Returns whether it is taken."""
        if self.is_closed(partition):
            return False
        if not self.selection.takes(facts):
            if self.is_prefix:
                self._closed.add(partition)
            return False
        reason = self._reason(facts, is_settled, is_purged)
        if reason is not None:
            self._left_out[reason] = self._left_out.get(reason, 0) + 1
            return False
        self._letters += 1
        kind = (facts.cause, facts.event_type)
        self._counts[kind] = self._counts.get(kind, 0) + 1
        self._ends[partition] = offset + 1
        digest = self._digests.get(partition)
        if digest is None:
            digest = self._digests[partition] = hashlib.sha256()
        digest.update(b"%d," % offset)
        return True

    def finish(self) -> Plan:
        """The plan for all letters that were looked at."""
        letters = self.selection.letters
        content = {
            "action": self.action,
            # Times are not part of the id: `--until 2h` moves with the clock. The places say which letters were taken.
            "selection": {
                name: value for name, value in self.selection.to_arguments().items() if name not in ("since", "until")
            },
            "places": {str(number): digest.hexdigest() for number, digest in sorted(self._digests.items())},
            "revision": self.revision,
        }
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return Plan(
            id=hashlib.sha256(canonical.encode()).hexdigest()[:PLAN_ID_DIGITS],
            action=self.action,
            selection=self.selection,
            letters=self._letters,
            counts=self._counts,
            left_out=self._left_out,
            ends={f"{letters}/{number}": end for number, end in sorted(self._ends.items())},
            revision=self.revision,
        )

    def _reason(self, facts: LetterFacts, is_settled: bool, is_purged: bool) -> LeftOut | None:
        if is_settled and is_purged and self.selection.again:
            return "purged"
        if is_settled and not self.selection.again:
            return "settled"
        if self.action == "replay" and not self.is_prefix and facts.verdict.replays >= REPLAYS_MAX:
            return "replays"
        return None


def is_purged(view: StateView, letters: str, partition: int, offset: int) -> bool:
    """Whether a person purged this letter. Its bytes may still be on the topic, but it cannot come back.

    Those of credentials leave as a prefix: one that is settled behind the cursor was of a user who was to be forgotten.
    """
    if letters == REJECTED:
        return view.is_settled((PURGED, partition), offset)
    settled = view.settled.get((letters, partition))
    return settled is not None and offset in settled
