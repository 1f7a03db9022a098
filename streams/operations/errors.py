"""What an operation may raise besides the errors of its ports. A message says what, where and what would be right.

OperationError
├── BadRequest      what was asked for makes no sense: an unknown name, options that contradict each other
├── NothingMatched  nothing is there that was asked for
├── PlanStale       the plan that was to be carried out no longer holds
└── Refused         a keeper said no
"""

from __future__ import annotations


class OperationError(Exception):
    """An operation cannot be done."""


class BadRequest(OperationError):
    """What was asked for makes no sense; the message says what would.

    `field` is the argument that is wrong, where it is one: the command line names its option, a page its field.
    """

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class NothingMatched(OperationError):
    """Nothing is there that was asked for."""


class PlanStale(OperationError):
    """Letters came or were settled since the plan was made: make a new one."""


class Refused(OperationError):
    """A keeper refused; the message holds its words."""
