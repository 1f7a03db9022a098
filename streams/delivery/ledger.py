"""What became of each record read from a partition, in offset order: commits go only past settled records.

> A record is settled when it was delivered, skipped for a counted reason, or parked.

Plain classes and not dataclasses: mypyc compiles no generic dataclass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from streams.delivery.account import SinkCounts

Source = TypeVar("Source")

WAITING, DELIVERED, SKIPPED, PARKED = 0, 1, 2, 3
TRIM_RECORDS = 4096
"""Settled places are forgotten in blocks of this many: cheaper than one by one, and a few kB at most."""


class ParkedRecord(Generic[Source]):
    """A record to write to a dead-letter topic in the transaction of the commit that passes it."""

    __slots__ = ("attempts", "cause", "detail", "scope", "source", "status")

    def __init__(self, source: Source, cause: str, status: int, detail: str, scope: str, attempts: int) -> None:
        self.source = source
        self.cause = cause
        self.status = status
        self.detail = detail
        self.scope = scope
        self.attempts = attempts


class Progress(Generic[Source]):
    """A settled prefix: commit `next_offset` with `counts`, writing `letters` in the same transaction."""

    __slots__ = ("counts", "letters", "next_offset", "records")

    def __init__(
        self, next_offset: int, records: int, counts: SinkCounts, letters: Sequence[ParkedRecord[Source]]
    ) -> None:
        self.next_offset = next_offset
        self.records = records
        self.counts = counts
        self.letters = letters


class Loss:
    """`count` offsets before `earliest` that retention deleted. They follow the records before `place`."""

    __slots__ = ("count", "earliest", "place")

    def __init__(self, place: int, earliest: int, count: int) -> None:
        self.place = place
        self.earliest = earliest
        self.count = count


class Ledger(Generic[Source]):
    """One partition's records between the last commit and the last read, and the counts of all before them.

    A place is a record's number since the assignment. One byte a record; C-speed search and counting.
    """

    __slots__ = (
        "_closed",
        "_counts",
        "_first",
        "_head",
        "_letters",
        "_losses",
        "_next_offset",
        "_offsets",
        "_outcomes",
        "_sizes",
        "_skips",
        "_unsettled_bytes",
    )

    def __init__(self, next_offset: int, counts: SinkCounts) -> None:
        self._next_offset = next_offset
        self._counts = counts
        self._outcomes = bytearray()
        self._offsets: list[int] = []
        self._sizes: list[int] = []
        self._unsettled_bytes = 0
        self._first = 0  # place of _outcomes[0]
        self._head = 0  # index of the first record that is not committed
        self._skips: dict[int, str] = {}
        self._letters: dict[int, ParkedRecord[Source]] = {}
        self._losses: list[Loss] = []
        """What retention deleted behind records that are not committed yet."""
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether the partition was taken away: what is settled later counts nowhere."""
        return self._closed

    @property
    def unsettled(self) -> int:
        """Records read and not committed past."""
        return len(self._outcomes) - self._head

    @property
    def unsettled_bytes(self) -> int:
        """Bytes of their values."""
        return self._unsettled_bytes

    @property
    def settled(self) -> int:
        """Records that could be committed past now."""
        return self._settled_end() - self._head

    @property
    def next_offset(self) -> int:
        """The offset of the last commit."""
        return self._next_offset

    @property
    def next_read(self) -> int:
        """The offset after the last record that was read."""
        if not self.unsettled:
            return self._next_offset
        after = self._offsets[-1] + 1
        return max(after, self._losses[-1].earliest) if self._losses else after

    @property
    def counts(self) -> SinkCounts:
        """Counts as of the last commit."""
        return self._counts

    def is_waiting(self, place: int) -> bool:
        """Whether the record there is not settled."""
        return self._outcomes[place - self._first] == WAITING

    def is_passed_next(self, place: int) -> bool:
        """Whether the next commit passes the record there: it is settled, and so are all before it."""
        return place < self._first + self._settled_end()

    def close(self) -> None:
        self._closed = True

    def lose(self, earliest: int, count: int) -> None:
        """Retention deleted `count` records before `earliest` that were not read. They count with the commit that
        passes them: a process that begins before them finds them missing again."""
        if self.unsettled:
            self._losses.append(Loss(self._first + len(self._outcomes), earliest, count))
        else:
            self._counts.lost += count
            self._next_offset = earliest

    def read(self, offset: int, value_bytes: int) -> int:
        """A record was read; gives its place. Offsets must rise."""
        return self.read_run([offset], [value_bytes])

    def read_run(self, offsets: list[int], values_bytes: list[int]) -> int:
        """Records were read one after the other, with values of these sizes; gives the place of the first. Offsets must
        rise."""
        place = self._first + len(self._outcomes)
        self._outcomes += bytes(len(offsets))
        self._offsets += offsets
        self._sizes += values_bytes
        self._unsettled_bytes += sum(values_bytes)
        return place

    def delivered(self, first: int, end: int) -> None:
        """The records at places `first` to `end` (exclusive) were delivered."""
        begin, until = first - self._first, end - self._first
        assert self._outcomes.count(WAITING, begin, until) == until - begin, "a record was settled before"
        self._outcomes[begin:until] = bytes((DELIVERED,)) * (until - begin)

    def skipped(self, place: int, reason: str) -> None:
        self._settle(place, SKIPPED)
        self._skips[place] = reason

    def parked(self, place: int, letter: ParkedRecord[Source]) -> None:
        self._settle(place, PARKED)
        self._letters[place] = letter

    def unparked(self, letter: ParkedRecord[Source], reason: str) -> None:
        """No topic takes this letter: its record counts as skipped."""
        place = next(place for place, one in self._letters.items() if one is letter)
        del self._letters[place]
        self._outcomes[place - self._first] = SKIPPED
        self._skips[place] = reason

    @property
    def uncommitted_letters(self) -> Sequence[ParkedRecord[Source]]:
        """Letters that no commit wrote yet."""
        return list(self._letters.values())

    def progress(self, letters_max: int) -> Progress[Source] | None:
        """The longest settled prefix with at most `letters_max` letters; None where nothing is settled.

        Changes nothing: give it to `committed` once its commit was accepted.
        """
        end = self._settled_end()
        places = sorted(place for place in self._letters if place < self._first + end)
        if len(places) > letters_max:
            end = places[letters_max] - self._first
            places = places[:letters_max]
        if end == self._head:
            return None
        counts = self._counts.copy()
        counts.delivered += self._outcomes.count(DELIVERED, self._head, end)
        for place, reason in self._skips.items():
            if place < self._first + end:
                counts.skip(reason)
        letters = [self._letters[place] for place in places]
        for letter in letters:
            counts.park(letter.cause)
        next_offset = self._offsets[end - 1] + 1
        for loss in self._losses:
            if loss.place <= self._first + end:
                counts.lost += loss.count
                next_offset = max(next_offset, loss.earliest)
        return Progress(next_offset, end - self._head, counts, letters)

    def standstill(self) -> Progress[Source]:
        """A commit that passes no record: where the last one stood, with counts that changed since."""
        return Progress(self._next_offset, 0, self._counts.copy(), ())

    def is_last_waiting(self, place: int) -> bool:
        """Whether all records before the one at `place`, which was read last, are committed past."""
        return self._first + self._head == place

    def committed(self, progress: Progress[Source]) -> None:
        """The prefix is committed: its counts are the partition's now, its letters are written."""
        self._unsettled_bytes -= sum(self._sizes[self._head : self._head + progress.records])
        self._head += progress.records
        self._next_offset = progress.next_offset
        self._counts = progress.counts
        until = self._first + self._head
        for place in [place for place in self._skips if place < until]:
            del self._skips[place]
        for place in [place for place in self._letters if place < until]:
            del self._letters[place]
        self._losses = [loss for loss in self._losses if loss.place > until]
        if self._head >= TRIM_RECORDS:
            del self._outcomes[: self._head], self._offsets[: self._head], self._sizes[: self._head]
            self._first += self._head
            self._head = 0

    def _settled_end(self) -> int:
        end = self._outcomes.find(WAITING, self._head)
        return len(self._outcomes) if end < 0 else end

    def _settle(self, place: int, outcome: int) -> None:
        index = place - self._first
        assert self._outcomes[index] == WAITING, f"place {place} was settled before"
        self._outcomes[index] = outcome
