"""Puts exported dead letters back onto their topics, each once, however often it is killed and started again.

Order of effects, in one transaction of up to `CHUNK_LETTERS_MAX` letters:
1. the letters, byte for byte as they were exported;
2. how many of the file are written, by cause, onto the topic of state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from streams.delivery.letter import CAUSE_HEADER, header_of
from streams.ports.kafka import Transactions
from streams.state.letter_file import ExportedLetter
from streams.state.records import Imported

CHUNK_LETTERS_MAX = 500
CHUNK_BYTES_MAX = 4_000_000
"""Well under the 10 s that a transaction may take."""
CAUSE_UNKNOWN = "unknown"
"""Of a letter that somebody else wrote onto a dead-letter topic."""


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
        self._skip = sum(before.letters.values())
        self._written = 0
        self._chunk_letters = 0
        self._chunk_bytes = 0
        self._causes: dict[str, int] = dict(before.letters)

    @property
    def letters(self) -> Mapping[str, int]:
        """By cause, of the whole file as far as it is imported."""
        return dict(self._record.letters)

    def run(self, letters: Iterable[ExportedLetter]) -> int:
        """Import what was not yet; how many letters. Raises `TransactionAborted`, `Fenced` and `KafkaUnreachable`."""
        if self._record.done:
            return 0
        for number, letter in enumerate(letters):
            if number >= self._skip:
                self._take(letter)
        self._commit(is_done=True)
        return self._written

    def _take(self, letter: ExportedLetter) -> None:
        if not self._chunk_letters:
            self._transactions.begin()
        cause = (header_of(letter.headers, CAUSE_HEADER) or b"").decode("ascii", "replace") or CAUSE_UNKNOWN
        self._produce(self._topics[letter.letters], letter.key, letter.value, list(letter.headers))
        self._causes[cause] = self._causes.get(cause, 0) + 1
        self._chunk_letters += 1
        self._chunk_bytes += len(letter.value or b"")
        if self._chunk_letters >= CHUNK_LETTERS_MAX or self._chunk_bytes >= CHUNK_BYTES_MAX:
            self._commit(is_done=False)

    def _commit(self, *, is_done: bool) -> None:
        if not self._chunk_letters:
            self._transactions.begin()
        after = self._record.model_copy(update={"at": self._now_ms(), "letters": dict(self._causes), "done": is_done})
        self._produce(self._state_topic, self._record_key.encode(), after.to_bytes(), [])
        self._transactions.commit((), None)
        self._record = after
        self._written += self._chunk_letters
        self._chunk_letters = self._chunk_bytes = 0
        self._report(self._written)

    def _produce(
        self, topic: str, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]]
    ) -> None:
        while True:
            try:
                self._transactions.produce(topic, value, key, headers=headers)
            except BufferError:
                self._transactions.flush_queue()
            else:
                return
