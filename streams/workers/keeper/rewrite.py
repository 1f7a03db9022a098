"""Rewrite: bytes of letters of credentials that were settled one by one leave after 14 days.

Users who were forgotten leave settled letters between others. Kafka deletes bytes only as a prefix, and a suspension or
an extension may keep that prefix for months. So once a settled letter is 14 days old, the other letters of its
partition are written again behind the last one, as they are and in their order, and the cursor passes all before them.
Each transaction holds letters and cursor, so each letter is in one place whatever is killed. The bytes are deleted
afterwards (`deletion.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog

from streams.ports.errors import RecordsRefused
from streams.ports.kafka import Partition
from streams.ports.letters import LetterPage, Letters, LetterTopics
from streams.state.records import CREDENTIALS, Cursor, key
from streams.workers.keeper.jobs.records import is_active
from streams.workers.keeper.lease import Lease, Outgoing

log = structlog.get_logger(__name__)

SETTLED_MS_MAX = 14 * 86_400_000
"""How long the bytes of a settled letter may stay, from when Kafka took them."""
LOOK_SECONDS = 60.0
AGAIN_SECONDS = 3_600.0
"""After Kafka refused a letter that it had taken before: its topic's settings must be changed first."""
PAGE_LETTERS_MAX = 500
READ_SECONDS_MAX = 0.1
SILENT_READS_MAX = 20
"""So many readings without a letter or an end, and the look is given up: the next one begins again."""


@dataclass(slots=True)
class _Run:
    """One partition under way. `end` is behind its last letter; None until it is known."""

    letters: str
    partition: Partition
    reader: Letters
    end: int | None = None
    written: int = 0
    silent: int = 0


class Rewrite:
    """Looks once a minute; `open_letters` makes a reader, which is held while there is something to do."""

    def __init__(self, open_letters: Callable[[], Letters], topics: LetterTopics) -> None:
        self._open_letters = open_letters
        self._topics = topics
        self._look_at = 0.0
        self._run: _Run | None = None

    def begin(self) -> None:
        """A lease began, or a transaction was aborted: look again."""
        self._look_at = 0.0
        self._leave()

    def step(self, lease: Lease) -> bool:
        """At most one transaction. Raises `TransactionAborted`, `Fenced` and `KafkaUnreachable`."""
        if any(is_active(job) for job in lease.view.jobs.values()):
            self._leave()  # a job has read on which offsets letters are
            return False
        if self._run is None:
            return self._look(lease)
        try:
            return self._carry_on(lease, self._run)
        except RecordsRefused as error:
            log.warning("Kafka refuses to write letters again", connector=lease.connector, error=str(error))
            self._look_at = lease.clock.monotonic() + AGAIN_SECONDS
            self._leave()
            return False

    def _look(self, lease: Lease) -> bool:
        now = lease.clock.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_SECONDS
        for letters, number, settled in _first_settled(lease):
            topic = lease.topics.dead_letters(letters)
            if (topic, number) in self._topics.partitions(topic) and self._is_old(lease, (topic, number), settled):
                self._start(lease, letters, (topic, number))
                return True
        return False

    def _is_old(self, lease: Lease, partition: Partition, settled: int) -> bool:
        """Whether the letter at this offset, which is settled, is too old to stay."""
        reader = self._open_letters()
        try:
            reader.open({partition: settled})
            for _ in range(SILENT_READS_MAX):
                page = reader.read(1, READ_SECONDS_MAX)
                if page.letters:
                    _, written_ms = page.letters[0].timestamp()
                    return page.letters[0].offset() == settled and lease.now() - written_ms >= SETTLED_MS_MAX
                if page.ends:
                    return False
        finally:
            reader.close()
        return False

    def _start(self, lease: Lease, letters: str, partition: Partition) -> None:
        self._run = _Run(letters, partition, self._open_letters())
        self._run.reader.open({partition: lease.view.cursor((letters, partition[1]))})
        log.info("letters are written again", connector=lease.connector, letters=letters, partition=partition[1])

    def _carry_on(self, lease: Lease, run: _Run) -> bool:
        page = run.reader.read(PAGE_LETTERS_MAX, READ_SECONDS_MAX)
        run.silent = 0 if page.letters or page.ends else run.silent + 1
        if run.silent >= SILENT_READS_MAX:
            self._leave()
            return False
        if run.end is not None:
            self._move(lease, run, run.end, page)
        elif run.partition in page.ends:  # from here on they are read once more: what is moved comes behind this end
            run.end = page.ends[run.partition]
            run.reader.open({run.partition: lease.view.cursor((run.letters, run.partition[1]))})
        if run.end is not None and lease.view.cursor((run.letters, run.partition[1])) >= run.end:
            log.info("letters were written again", connector=lease.connector, letters=run.letters, count=run.written)
            self._look_at = lease.clock.monotonic()  # perhaps another partition has some
            self._leave()
        return True

    def _move(self, lease: Lease, run: _Run, end: int, page: LetterPage) -> None:
        """Letters before the end go behind it. That all of them came is certain only where a later one or the end
        came: a page may be empty because Kafka is slow."""
        place = (run.letters, run.partition[1])
        letters = [letter for letter in page.letters if letter.offset() < end]
        stay = [letter for letter in letters if not lease.view.is_settled(place, letter.offset())]
        if len(letters) < len(page.letters) or page.ends.get(run.partition, -1) >= end:
            cursor = end
        elif letters:
            cursor = letters[-1].offset() + 1
        else:
            return
        lease.commit(
            {
                key("cursor", lease.connector, *place): Cursor(offset=cursor),
                key("totals", lease.connector): lease.counted(),  # plans that know the old offsets are stale
            },
            records=[
                Outgoing(run.partition[0], one.key(), one.value(), one.headers() or [], run.partition[1])
                for one in stay
            ],
        )
        run.written += len(stay)

    def _leave(self) -> None:
        if self._run is not None:
            self._run.reader.close()
            self._run = None


def _first_settled(lease: Lease) -> Iterator[tuple[str, int, int]]:
    """Credentials letters with a partition, and its first settled letter behind the cursor."""
    for (letters, number), settled in lease.view.settled.items():
        if letters.startswith(CREDENTIALS):
            cursor = lease.view.cursor((letters, number))
            first = next((offset for offset in settled if offset >= cursor), None)
            if first is not None:
                yield letters, number, first
