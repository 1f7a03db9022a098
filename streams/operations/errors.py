"""What an operation may raise besides the errors of its ports. A message says what, where and what would be right.

OperationError
├── BadRequest      the request is wrong: an unknown name, options that contradict each other
├── NothingMatched  nothing matches the request
├── PlanStale       the plan no longer holds
└── OrderRefused    a keeper refused the order
"""

from __future__ import annotations

from collections.abc import Sequence


class OperationError(Exception):
    """An operation cannot be done."""


class BadRequest(OperationError):
    """The request is wrong. The message says what would be right.

    `fields` are the wrong arguments. The message does not name them: the command line adds its options, a page its
    fields.
    """

    def __init__(self, message: str, *, field: str = "", fields: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.fields = (field,) if field else tuple(fields)


class NothingMatched(OperationError):
    """Nothing matches the request."""


class PlanStale(OperationError):
    """Letters came or were settled after the plan was made: make a new plan."""


class OrderRefused(OperationError):
    """A keeper refused the order. The message contains its reason."""
