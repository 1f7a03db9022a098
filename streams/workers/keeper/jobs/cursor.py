"""Passes settled letters with the cursor: what was settled one by one is forgotten bit by bit once all before it is.

`step` is at most one transaction, and reads only after something changed:

1. read rejected letters from each cursor on, as committed, while they are settled;
2. in one transaction: the cursors after them, and the blocks of bits before a cursor taken back.

The letters' bytes are deleted afterwards, up to the committed cursors (`keeper.deletion`). Offsets without a letter
(transactions leave some) have no bit, so only reading tells how far the settled ones reach.
"""

from __future__ import annotations

from collections.abc import Callable

from streams.ports.letters import Letters, LetterTopics
from streams.state.records import CREDENTIALS, PURGED, REJECTED, Cursor, Job, Record, key
from streams.state.state_view import StateView
from streams.workers.keeper.jobs.records import active_job
from streams.workers.keeper.lease import Lease

AGAIN_SECONDS = 86_400.0
"""Replayed letters stay for a day, so that `replay --again` finds them: the first replay may have fixed nothing."""
LOOK_SECONDS = 10.0
"""Between two looks, while nothing ends and nothing is passed."""
PAGE_LETTERS_MAX = 64
"""Letters read at a time: 64 MB at most (see `jobs.letters`)."""
PASSED_MAX = 10_000
"""Letters that one step passes: some 100 ms."""
READ_SECONDS_MAX = 0.1
"""How long a reading waits for its first letter."""
SILENT_READS_MAX = 20
"""So many readings without a letter or an end, and the look is given up: the next one begins again."""


class RejectedCursor:
    """`open_letters` makes a reader of dead letters; it is held for one step."""

    def __init__(
        self, open_letters: Callable[[], Letters], topics: LetterTopics, again_seconds: float = AGAIN_SECONDS
    ) -> None:
        self._open_letters = open_letters
        self._topics = topics
        self._again_ms = round(again_seconds * 1000)
        self._look_at = 0.0
        self._settled: dict[int, tuple[int, int]] = {}
        """Per partition what was there when its first letter was found to stay: the cursor, and how many settled."""

    def begin(self) -> None:
        """A lease began, or a transaction was aborted: look again."""
        self._look_at = 0.0
        self._settled.clear()

    def step(self, lease: Lease) -> bool:
        """Pass what is settled; whether anything was. Raises `TransactionAborted`, `Fenced`, `KafkaUnreachable`."""
        now = lease.clock.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_SECONDS
        view = lease.view
        if not may_pass(view.jobs, lease.now() - self._again_ms):
            return False
        changes = self._blocks_before_cursors(view)
        for number, offset in self._passed(lease).items():
            changes[key("cursor", lease.connector, REJECTED, number)] = Cursor(offset=offset)
            changes.update(_blocks_before(view, number, offset))
        if not changes:
            return False
        self._look_at = now  # perhaps there is more
        lease.commit(changes)
        return True

    def _blocks_before_cursors(self, view: StateView) -> dict[str, Record | None]:
        """What lies before cursors that others moved."""
        changes: dict[str, Record | None] = {}
        for number in _partitions(view):
            changes.update(_blocks_before(view, number, view.cursor((REJECTED, number))))
        for letters, number in view.settled:
            if letters.startswith(CREDENTIALS):  # of users who were to be forgotten
                cursor = view.cursor((letters, number))
                for block in view.settled[letters, number].blocks_before(cursor):
                    changes[key("settled", view.connector, letters, number, block)] = None
        return changes

    def _passed(self, lease: Lease) -> dict[int, int]:
        """Per partition number the cursor after its leading settled letters, where there are any."""
        view = lease.view
        changed = {
            number: state
            for number in _partitions(view)
            if (state := _state(view, number)) != self._settled.get(number) and state[1]
        }
        topic = lease.topics.dead_letters(REJECTED)
        there = {number for _, number in self._topics.partitions(topic)} if changed else set()
        starts = {(topic, number): cursor for number, (cursor, _) in changed.items() if number in there}
        if not starts:
            return {}
        reader = self._open_letters()
        try:
            reader.open(starts)
            passed, stayed = _read(reader, view, {number for _, number in starts})
        finally:
            reader.close()
        for number in stayed - passed.keys():
            self._settled[number] = changed[number]
        return passed


def may_pass(jobs: dict[str, Job], ended_before: int) -> bool:
    """Whether no job is under way, and every replay that took rejected letters ended before this time (ms)."""
    return active_job(jobs) is None and all(job.at < ended_before for job in jobs.values() if _may_be_repeated(job))


def _may_be_repeated(job: Job) -> bool:
    return job.action == "replay" and job.done > 0 and job.selection.get("letters", REJECTED) == REJECTED


def _read(reader: Letters, view: StateView, unread: set[int]) -> tuple[dict[int, int], set[int]]:
    """The cursors after the leading settled letters, and the partitions whose first other letter, or end, was seen."""
    passed: dict[int, int] = {}
    stayed: set[int] = set()
    looked_at = silent = 0
    while unread - stayed and looked_at < PASSED_MAX and silent < SILENT_READS_MAX:
        page = reader.read(PAGE_LETTERS_MAX, READ_SECONDS_MAX)
        silent = 0 if page.letters or page.ends else silent + 1
        looked_at += len(page.letters)
        for letter in page.letters:
            number = letter.partition()
            if number in stayed:
                continue
            if view.is_settled((REJECTED, number), letter.offset()):
                passed[number] = letter.offset() + 1
            else:
                stayed.add(number)
        stayed.update(number for _, number in page.ends)
    return passed, stayed


def _partitions(view: StateView) -> set[int]:
    return {number for letters, number in view.settled if letters in (REJECTED, PURGED)}


def _state(view: StateView, number: int) -> tuple[int, int]:
    settled = view.settled.get((REJECTED, number))
    return view.cursor((REJECTED, number)), 0 if settled is None else len(settled)


def _blocks_before(view: StateView, number: int, cursor: int) -> dict[str, Record | None]:
    """The blocks that lie wholly before the cursor, taken back."""
    changes: dict[str, Record | None] = {}
    for letters in (REJECTED, PURGED):
        settled = view.settled.get((letters, number))
        for block in () if settled is None else settled.blocks_before(cursor):
            changes[key("settled", view.connector, letters, number, block)] = None
    return changes
