"""The letters of one job, in offset order per partition, up to where they were planned."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from streams.ports.kafka import Message
from streams.ports.letters import Letters

PAGE_LETTERS_MAX = 64
"""Letters read at a time. A letter may weigh 1 MB, and a port that reads does not count bytes: so 64 MB at most."""
READ_SECONDS_MAX = 0.1
"""How long a reading waits for the first letter: the keeper has other things to do, too."""


class JobLetters:
    """Read ahead a little. A partition is over with the first letter at or beyond its end, or with its last one."""

    def __init__(self, reader: Letters, topic: str, starts: Mapping[int, int], ends: Mapping[int, int]) -> None:
        """By partition number: where to start, and the offset after the last letter that was planned."""
        self._reader = reader
        self._ahead: deque[Message] = deque()
        self._ends = {number: end for number, end in ends.items() if starts[number] < end}
        if self._ends:
            reader.open({(topic, number): starts[number] for number in self._ends})

    @property
    def is_over(self) -> bool:
        """Whether every letter was given out."""
        return not self._ends and not self._ahead

    def next(self) -> Message | None:
        """The next letter; None where none came yet, or all were given out."""
        if not self._ahead and self._ends:
            self._read()
        return self._ahead.popleft() if self._ahead else None

    def put_back(self, letter: Message) -> None:
        """It is the next one again."""
        self._ahead.appendleft(letter)

    def end(self, number: int) -> None:
        """Give out no more of this partition."""
        self._ends.pop(number, None)
        self._ahead = deque(letter for letter in self._ahead if letter.partition() != number)

    def close(self) -> None:
        self._reader.close()

    def _read(self) -> None:
        page = self._reader.read(PAGE_LETTERS_MAX, READ_SECONDS_MAX)
        for letter in page.letters:
            end = self._ends.get(letter.partition())
            if end is None:
                continue
            if letter.offset() < end:
                self._ahead.append(letter)
            if letter.offset() >= end - 1:
                del self._ends[letter.partition()]
        for _, number in page.ends:
            self._ends.pop(number, None)
