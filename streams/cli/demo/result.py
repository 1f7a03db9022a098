"""What came of a demo: what was sent, where it went, and whether the accounts add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streams.delivery.account import Account, RouterCounts
from streams.state.top import Trouble

TROUBLES_SHOWN_MAX = 5
"""Of each connector."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """What an emulated destination says of itself: how many events it took, and how many of them it shows to its users.

    The second is less where it deduplicates, as it should: Braze's own sample files share one id. It is `None` where
    the emulator took more than it remembers.
    """

    taken: int
    shown: int | None

    def problem(self, delivered: int) -> str | None:
        """At least once means: everything that counts as delivered was taken; what was taken twice is shown once."""
        if self.taken < delivered:
            return f"{delivered:,} delivered, the destination took {self.taken:,}"
        if self.shown is not None and self.shown > delivered:
            return f"{delivered:,} delivered, the destination holds {self.shown:,}"
        return None

    def __str__(self) -> str:
        if self.shown is None or self.shown == self.taken:
            return f"the destination holds {self.taken:,}"
        return f"the destination took {self.taken:,}, and holds {self.shown:,} after its own deduplication"


@dataclass(frozen=True, slots=True)
class Written:
    """What an emulated destination says that keeps users: how often one was written. Several records of one user are
    one object, so no count of records follows from it."""

    objects: int

    def problem(self, delivered: int) -> str | None:
        """Nothing can be delivered that was not written."""
        return f"{delivered:,} delivered, nothing was written" if delivered and not self.objects else None

    def __str__(self) -> str:
        return f"the destination wrote {self.objects:,} objects"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it. `arrived` is what each connector's destination says. `remarks` are no problems of the accounts:
    who stops a demo stops it with records under way."""

    sent: int
    router: RouterCounts
    accounts: dict[str, Account]
    arrived: Mapping[str, Arrived | Written]
    first_delivery_seconds: float | None
    problems: tuple[str, ...] = field(default=())
    remarks: tuple[str, ...] = field(default=())
    troubles: Mapping[str, Sequence[Trouble]] = field(default_factory=dict)
    """Why events of files were parked, by connector, most first."""

    def to_json(self) -> dict[str, Any]:
        return {
            "first_delivery_seconds": self.first_delivery_seconds,
            "connectors": {name: account.to_json() for name, account in self.accounts.items()},
        }

    def to_text(self) -> str:
        """The summary: every event sent, and where it went."""
        lines = [f"sent to Currents topics   {self.sent:>8,}"]
        skipped = ", ".join(f"{reason} {count:,}" for reason, count in sorted(self.router.skipped.items()))
        lines.append(f"skipped by the router     {sum(self.router.skipped.values()):>8,}  {skipped}".rstrip())
        if self.router.undecodable:
            lines.append(f"undecodable               {self.router.undecodable:>8,}")
        for name, totals in self.accounts.items():
            parked = sum(totals.parked.values())
            lines += [
                "",
                name,
                f"  routed                  {totals.routed:>8,}",
                f"  delivered               {totals.delivered:>8,}  {self.arrived[name]}",
                f"  skipped                 {sum(totals.skipped.values()):>8,}",
                f"  parked as dead letters  {parked:>8,}",
                *(_reason(trouble) for trouble in self.troubles.get(name, ())[:TROUBLES_SHOWN_MAX]),
                *([f"  purged, with receipts   {totals.purged:>8,}"] if totals.purged else []),
                f"  waiting                 {totals.waiting:>8,}",
            ]
        if self.first_delivery_seconds is not None:
            lines += ["", f"first delivery after {self.first_delivery_seconds:.1f} s"]
        lines += ["", *self.remarks, "the accounts add up" if not self.problems else "the accounts do NOT add up:"]
        return "\n".join([*lines, *(f"  {problem}" for problem in self.problems)])


def _reason(trouble: Trouble) -> str:
    """How many were parked for one reason, and the destination's words or ours."""
    largest = trouble.largest
    status = f", {largest.status}" if largest.status else ""
    return f"    {trouble.count:,} {largest.cause}{status}: {largest.message}"
