"""The queue to which a bucket tells that an object was written. It only wakes: nothing depends on a message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """`receipt` is what it is deleted by."""

    body: str
    receipt: str


class NoticeQueue(Protocol):
    """A message that is not deleted comes again some minutes later, to the process that asks then."""

    def poll(self) -> Sequence[Message] | None:
        """What came; None while no answer is there. Waits for nothing: a call only begins to ask.

        Raises `QueueUnavailable`; the next call asks again.
        """
        ...

    def try_out(self) -> None:
        """Ask once, wait for the answer, and leave every message where it is: may messages be received and deleted?

        Raises `QueueUnavailable`, `QueueForbidden` and `QueueMissing`.
        """
        ...

    def delete(self, receipts: Sequence[str]) -> None:
        """Delete these messages with the next request."""
        ...
