"""A queue of messages in memory, which fails when a test says so."""

from __future__ import annotations

from collections.abc import Sequence

from streams.ports.errors import QueueUnavailable
from streams.ports.notices import Message


class FakeNotices:
    """`failing` is raised by each poll. `waiting` are messages that nobody has, `taken` those that are not deleted."""

    def __init__(self) -> None:
        self.failing: QueueUnavailable | None = None
        self.polls = 0
        self.waiting: list[Message] = []
        self.taken: dict[str, Message] = {}
        self._sent = 0

    def send(self, body: str) -> None:
        self._sent += 1
        self.waiting.append(Message(body, f"receipt {self._sent}"))

    def show_again(self) -> None:
        """What was taken and not deleted is seen again, as after some minutes."""
        self.waiting += self.taken.values()
        self.taken.clear()

    def poll(self) -> Sequence[Message]:
        self.polls += 1
        if self.failing is not None:
            raise self.failing
        came, self.waiting = self.waiting[:10], self.waiting[10:]
        self.taken |= {one.receipt: one for one in came}
        return came

    def try_out(self) -> None:
        if self.failing is not None:
            raise self.failing

    def delete(self, receipts: Sequence[str]) -> None:
        for receipt in receipts:
            self.taken.pop(receipt, None)
