"""What is wrong with a configuration: each problem with its path, its value and its fix."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `value` is as written; None where it is missing, a section, or could be a secret."""

    path: str
    fix: str
    value: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        place = self.path or "the file"
        if self.line is not None:
            place += f" (line {self.line})"
        shown = "" if self.value is None else f" {self.value}:"
        return f"{place}:{shown} {self.fix}"


class ConfigurationError(ValueError):
    """The configuration cannot be used; `problems` holds every mistake, in the order of `file`, if there is one."""

    def __init__(self, problems: Iterable[Problem], file: str = "") -> None:
        self.problems = tuple(problems)
        self.file = file
        super().__init__("\n".join(str(problem) for problem in self.problems))
