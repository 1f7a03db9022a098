"""What an operation may raise besides the errors of its ports. A message says what, where and what would be right.

OperationError
├── BadRequest      what was asked for makes no sense: an unknown name, options that contradict each other
├── NothingMatched  nothing is there that was asked for
├── PlanStale       the plan that was to be carried out no longer holds
└── Refused         a keeper said no
"""

from __future__ import annotations

from collections.abc import Sequence


class OperationError(Exception):
    """An operation cannot be done."""


class BadRequest(OperationError):
    """What was asked for makes no sense; the message says what would.

    `fields` are the arguments that are wrong: the command line names their options, a page its fields. The message
    knows neither.
    """

    def __init__(self, message: str, *, field: str = "", fields: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.fields = (field,) if field else tuple(fields)


class NothingMatched(OperationError):
    """Nothing is there that was asked for."""


class PlanStale(OperationError):
    """Letters came or were settled since the plan was made: make a new one."""


class Refused(OperationError):
    """A keeper refused; the message holds its words."""
