"""What an operation may raise beside the errors of its ports. Each message says what, where and what would be right.

OperationError
├── BadRequest      what was asked for makes no sense: an unknown name, options that contradict each other
├── NothingMatched  nothing is there that was asked for
└── Refused         a keeper said no
"""

from __future__ import annotations


class OperationError(Exception):
    """An operation cannot be done."""


class BadRequest(OperationError):
    """What was asked for makes no sense; the message says what would."""


class NothingMatched(OperationError):
    """Nothing is there that was asked for."""


class Refused(OperationError):
    """A keeper refused; the message holds its words."""
