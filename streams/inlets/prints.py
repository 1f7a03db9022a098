"""Recognizes records that were taken already when a file is written again with another content.

A running hash covers all records of a file. Of a file of N records we keep the hash after the last record, and hashes
at up to 64 places before. So a longer rewrite is compared exactly: are its first N records the same? A shorter one is
compared at the last of these places that it reaches: at most its last 1/32 of N is not compared.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

MARKS_MAX = 64
MARK_BYTES = 4
HEAD_BYTES = 8


@dataclass(frozen=True, slots=True)
class Prints:
    """Hashes of the first records of a file: `first` after one, `marks` after each `stride`, `head` after the last."""

    records: int = 0
    stride: int = 1
    marks: bytes = b""
    head: bytes = b""
    first: bytes = b""


class Printing:
    """Makes the prints of records that come one by one. `told` are those of an earlier content to compare with."""

    def __init__(self, told: Prints = Prints()) -> None:
        self._hash = hashlib.sha256()
        self._told = told
        self._records = 0
        self._stride = 1
        self._marks = bytearray()
        self._first = b""
        self._compared = 0
        self._differs = False

    def add(self, datum: bytes) -> None:
        self._hash.update(datum)
        self._records += 1
        if self._records == 1:
            self._first = self._digest()[:MARK_BYTES]
        if self._records % self._stride == 0:
            self._mark()
        told = self._told
        if self._records <= told.records:
            self._compare(told)

    @property
    def prints(self) -> Prints:
        """Of the records so far."""
        return Prints(self._records, self._stride, bytes(self._marks), self._digest()[:HEAD_BYTES], self._first)

    @property
    def known(self) -> int:
        """How many of the records so far, counted from the first, were in the earlier content; 0 if it is another."""
        told = self._told
        if self._differs or not told.records:
            return 0
        if self._records >= told.records:
            return told.records
        return self._records if self._compared else 0

    def _digest(self) -> bytes:
        return self._hash.copy().digest()

    def _mark(self) -> None:
        self._marks += self._digest()[:MARK_BYTES]
        if len(self._marks) == MARKS_MAX * MARK_BYTES:
            kept = bytearray()
            for start in range(MARK_BYTES, len(self._marks), 2 * MARK_BYTES):
                kept += self._marks[start : start + MARK_BYTES]
            self._marks = kept
            self._stride *= 2

    def _compare(self, told: Prints) -> None:
        if self._records == told.records:
            self._differs = self._differs or self._digest()[:HEAD_BYTES] != told.head
            self._compared += 1
        elif self._records == 1:
            self._differs = self._first != told.first
            self._compared += 1
        elif self._records % told.stride == 0:
            start = (self._records // told.stride - 1) * MARK_BYTES
            mark = told.marks[start : start + MARK_BYTES]
            if mark:
                self._differs = self._differs or self._digest()[:MARK_BYTES] != mark
                self._compared += 1
