"""Puts exported dead letters back onto their topics, each once, however often it is killed and started again.

Order of effects, in one transaction of up to `CHUNK_LETTERS_MAX` letters:
1. the letters, byte for byte as they were exported;
2. how many of the file are written, by cause, onto the topic of state.

A letter that its topic does not take is found, named and passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from streams.delivery.letter import CAUSE_HEADER, header_of
from streams.ports.errors import RecordsRefused
from streams.ports.kafka import Transactions
from streams.state.letter_file import ExportedLetter
from streams.state.records import Imported
from streams.workers.bisection import write_in_parts

CHUNK_LETTERS_MAX = 500
CHUNK_BYTES_MAX = 4_000_000
"""Well under the 10 s that a transaction may take."""
CAUSE_UNKNOWN = "unknown"
"""Of a letter that another program wrote onto a dead-letter topic."""


class Import:
    """The loop. `before` is how far an earlier import of the same file came."""

    def __init__(
        self,
        transactions: Transactions,
        *,
        topics: Mapping[str, str],
        state_topic: str,
        record_key: str,
        before: Imported,
        now_ms: Callable[[], int],
        report: Callable[[int], None] = lambda _count: None,
    ) -> None:
        """`topics` maps letters (`rejected`, `credentials.<scope>`) to the topic where they go."""
        self._transactions = transactions
        self._topics = topics
        self._state_topic = state_topic
        self._record_key = record_key
        self._record = before
        self._now_ms = now_ms
        self._report = report
        self._skip = sum(before.letters.values()) + before.refused
        self._written = 0
        self._chunk: list[tuple[int, ExportedLetter]] = []
        self._chunk_bytes = 0
        self.refusals: list[tuple[int, str]] = []
        """Letters that Kafka does not take: their number in the file, counted from 1, and why."""

    @property
    def letters(self) -> Mapping[str, int]:
        """By cause, of the whole file as far as it is imported."""
        return dict(self._record.letters)

    def run(self, letters: Iterable[ExportedLetter]) -> int:
        """Import what was not yet; how many letters. Raises `TransactionAborted`, `Fenced` and `KafkaUnreachable`."""
        if self._record.done:
            return 0
        for number, letter in enumerate(letters, start=1):
            if number <= self._skip:
                continue
            self._chunk.append((number, letter))
            self._chunk_bytes += len(letter.value or b"")
            if len(self._chunk) >= CHUNK_LETTERS_MAX or self._chunk_bytes >= CHUNK_BYTES_MAX:
                self._commit()
        self._commit()
        self._write([], is_done=True)
        return self._written

    def _commit(self) -> None:
        if self._chunk:
            write_in_parts(self._chunk, self._write, self._refuse)
        self._chunk, self._chunk_bytes = [], 0

    def _write(self, letters: Sequence[tuple[int, ExportedLetter]], *, is_done: bool = False) -> None:
        """One transaction of these letters, and of how far the file is with them."""
        causes = dict(self._record.letters)
        self._transactions.begin()
        for _, letter in letters:
            cause = (header_of(letter.headers, CAUSE_HEADER) or b"").decode("ascii", "replace") or CAUSE_UNKNOWN
            causes[cause] = causes.get(cause, 0) + 1
            self._transactions.write(self._topics[letter.letters], letter.value, letter.key, list(letter.headers))
        update = {"at": self._now_ms(), "letters": causes, "done": is_done}
        after = self._record.model_copy(update=update)
        self._transactions.write(self._state_topic, after.to_bytes(), self._record_key.encode())
        self._transactions.commit((), None)
        self._record = after
        self._written += len(letters)
        self._report(self._written)

    def _refuse(self, numbered: tuple[int, ExportedLetter], error: RecordsRefused) -> None:
        """It is passed, and remembered as such with what is written next."""
        self.refusals.append((numbered[0], str(error)))
        self._record = self._record.model_copy(update={"refused": self._record.refused + 1})
