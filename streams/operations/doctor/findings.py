"""What was looked at and what was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["ok", "warning", "problem"]
Trouble = Literal["configuration", "unreachable", "credentials", "failed"]
"""What kind of problem it is."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`fix` is what to do: a command or a sentence. Only a problem has a `trouble`."""

    what: str
    outcome: Outcome
    detail: str
    fix: str = ""
    trouble: Trouble | None = None

    def to_json(self) -> dict[str, str | None]:
        return {"what": self.what, "outcome": self.outcome, "detail": self.detail, "fix": self.fix or None}


def ok(what: str, detail: str) -> Finding:
    return Finding(what, "ok", detail)


def warning(what: str, detail: str, fix: str = "") -> Finding:
    return Finding(what, "warning", detail, fix)


def problem(what: str, trouble: Trouble, detail: str, fix: str = "") -> Finding:
    return Finding(what, "problem", detail, fix, trouble)
