"""Forgetting users: their dead letters are purged, and sinks are told to skip their records.

1. The order is accepted in one transaction: the job, a record of `streams.forgotten` for each user, and for a connector
   that remembers what it sent an order in each partition to forget these users' rows.
2. The job waits until a sink of each partition of the connector's topic obeys: nothing of these users is under way.
3. Dead letters are read from their cursors to their ends. Those of these users are settled as purged, each transaction
   with a receipt. A keeper that goes on with the job reads them again: what is settled stays settled.

Users come as salted hashes, and are named nowhere. Replays, redrives and purges of other letters go on beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streams.delivery.forgotten import USERS_MAX, ForgottenUser, ForgottenUsers, IdKind, key_of
from streams.delivery.letter import CAUSE_HEADER, header_of
from streams.ports.errors import SchemasUnavailable
from streams.ports.kafka import Message, Partition
from streams.ports.letters import Letters, LetterTopics
from streams.ports.state import Journal
from streams.state.audit import Line, ReceiptLine
from streams.state.receipt import Receipt
from streams.state.records import CREDENTIALS, PURGED, REJECTED, Answer, Job, Record, Request, SettledBlock, key
from streams.state.settled import SettledLetters
from streams.state.state_view import added
from streams.wayback.records import Page, encode
from streams.workers.keeper.jobs.records import ending, forgotten_jobs, is_active
from streams.workers.keeper.lease import Lease, Outgoing
from streams.workers.reading.event_reader import EventReader

log = structlog.get_logger(__name__)

Ordered = tuple[dict[str, Record | None], Answer, Sequence[Outgoing]]

ORDERED_USERS_MAX = 2_000
"""Hashes of one order: what one request and one job may hold."""
PAGE_LETTERS_MAX = 500
READ_SECONDS_MAX = 0.1
LOOK_SECONDS = 60.0
"""Between two looks for users whose time is over."""
SAY_SECONDS = 30.0


class ForgetOrder(BaseModel):
    """Arguments of a request: hashes of users, their salt, until when records of theirs may be on topics (ms)."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    users: tuple[str, ...] = Field(min_length=1, max_length=ORDERED_USERS_MAX)
    salt: str = Field(min_length=16, max_length=128)
    until: int = Field(gt=0)
    planned: int = 0
    by: IdKind = "external"


@dataclass(slots=True)
class _Run:
    """A job under way, under one lease."""

    lease: Lease
    job_id: str
    users: ForgottenUsers
    reader: Letters
    names: dict[str, str]
    """Letters by topic."""
    unread: set[Partition]
    left_out: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Found:
    """Letters of these users that one page held."""

    settled: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    receipts: dict[str, Receipt] = field(default_factory=dict)
    users: dict[str, dict[str, int]] = field(default_factory=dict)
    causes: dict[str, int] = field(default_factory=dict)


class Forgetting:
    """`scopes` are the connector's credential scopes, `entries` what it receives; none of both for the source."""

    def __init__(
        self,
        topic: str,
        scopes: Sequence[str],
        entries: Sequence[str],
        *,
        open_letters: Callable[[], Letters],
        open_journal: Callable[[], Journal],
        topics: LetterTopics,
        events: EventReader,
    ) -> None:
        """`topic` is that of forgotten users, which `open_journal` reads."""
        self._topic = topic
        self._letters = (REJECTED, *(CREDENTIALS + scope for scope in scopes))
        self._entries = tuple(entries)
        self._open_letters = open_letters
        self._open_journal = open_journal
        self._topics = topics
        self._events = events
        self._run: _Run | None = None
        self._look_at = 0.0
        self._say_at = 0.0

    def begin(self) -> None:
        """A lease began, or a transaction was aborted: read again."""
        if self._run is not None:
            self._run.reader.close()
            self._run = None

    # Orders.

    def order(self, lease: Lease, request_id: str, request: Request) -> Ordered:
        """What a `forget` changes, the answer, and the records. Raises `KafkaUnreachable`."""
        try:
            order = ForgetOrder.model_validate(request.arguments)
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, one['loc'])) or 'arguments'}: {one['msg']}" for one in error.errors()]
            return _refused(f"this forget cannot be carried out: {'; '.join(problems)}")
        if not self._topics.partitions(self._topic):
            return _refused(f"there is no topic {self._topic}; make it with `streams topics apply`")
        there = len(self._known(lease))
        if there + len(order.users) > USERS_MAX:
            return _refused(f"{there:,} users are being forgotten, {USERS_MAX:,} at most at a time")
        now = lease.now()
        user = ForgottenUser(salt=order.salt, at=now, until=order.until, by=order.by).to_bytes()
        records = [Outgoing(self._topic, key_of(lease.connector, one).encode(), user, []) for one in order.users]
        changes: dict[str, Record | None] = {}
        rows = self._rows_orders(lease, request_id, order)
        if rows:
            changes[key("totals", lease.connector)] = lease.counted(again=len(rows))
        changes[key("job", lease.connector, request_id)] = Job(
            action="forget",
            status="queued",
            who=request.who,
            reason=request.reason,
            created=now,
            selection={"users": list(order.users), "salt": order.salt, "by": order.by},
            planned=order.planned,
        )
        return changes, Answer(outcome="done", content={"job": request_id}), [*records, *rows]

    def _rows_orders(self, lease: Lease, request_id: str, order: ForgetOrder) -> list[Outgoing]:
        """In each partition of a connector that remembers what it sent: forget these users' rows."""
        if not self._entries or order.by == "braze":  # vendors do not tell the ids that Braze gave
            return []
        page = encode(
            Page(
                id=f"forget/{request_id}",
                entry=self._entries[0],
                time_ms=lease.now(),
                received_ms=lease.now(),
                group_id=order.salt,
                group_name="",
                purpose="forget",
                session=request_id,
                request=",".join(order.users),
            )
        )
        topic = lease.topics.connector
        return [Outgoing(topic, None, page, [], number) for _, number in self._topics.partitions(topic)]

    # The job under way.

    def step(self, lease: Lease) -> bool:
        """Carry the oldest order on by one transaction; whether there was anything to do.

        Raises `TransactionAborted`, `Fenced` and `KafkaUnreachable`.
        """
        jobs = lease.view.jobs.items()
        found = next(((job_id, job) for job_id, job in jobs if job.action == "forget" and is_active(job)), None)
        if found is None:
            self.begin()
            return self._take_back(lease)
        job_id, job = found
        if self._run is None or self._run.job_id != job_id or self._run.lease is not lease:
            self.begin()
            if waiting := self._waiting(lease, job):
                self._say_waiting(lease, job_id, waiting)
                return False
            self._start(lease, job_id, job)
        assert self._run is not None
        return self._carry_on(self._run, job)

    def _waiting(self, lease: Lease, job: Job) -> list[int]:
        """Partitions of the connector's topic of which no sink has said yet that it obeys."""
        topic = lease.topics.connector
        numbers = [number for _, number in self._topics.partitions(topic)] if topic else []
        withheld = lease.view.withheld
        return [
            number for number in numbers if str(number) not in withheld or withheld[str(number)].obeyed < job.created
        ]

    def _start(self, lease: Lease, job_id: str, job: Job) -> None:
        users = ForgottenUsers(lease.connector)
        selected = job.selection
        by: IdKind = "braze" if selected.get("by") == "braze" else "external"
        value = ForgottenUser(salt=str(selected.get("salt", "")), at=job.created, until=job.created, by=by).to_bytes()
        for user_hash in selected.get("users", ()):
            users.apply(key_of(lease.connector, str(user_hash)), value)
        starts: dict[Partition, int] = {}
        names = {}
        for letters in self._letters:
            topic = lease.topics.dead_letters(letters)
            for partition in self._topics.partitions(topic):
                starts[partition] = lease.view.cursor((letters, partition[1]))
                names[topic] = letters
        reader = self._open_letters()
        self._run = _Run(lease, job_id, users, reader, names, set(starts))
        if starts:
            reader.open(starts)
        log.info("job under way", connector=lease.connector, job=job_id, action="forget", users=len(users))

    def _carry_on(self, run: _Run, job: Job) -> bool:
        found = _Found()
        if run.unread:
            page = run.reader.read(PAGE_LETTERS_MAX, READ_SECONDS_MAX)
            last = {(letter.topic(), letter.partition()): letter.offset() for letter in page.letters}
            try:
                for letter in page.letters:
                    self._look_at_letter(run, letter, found)
            except SchemasUnavailable as error:
                self.begin()  # what was read is read again
                log.warning("job waits for the schema registry", connector=run.lease.connector, error=str(error))
                return False
            run.unread.difference_update(place for place, end in page.ends.items() if end > last.get(place, -1))
        is_over = not run.unread
        if not found.settled and not is_over:
            return True
        self._commit(run, job, found, is_over)
        return True

    def _look_at_letter(self, run: _Run, letter: Message, found: _Found) -> None:
        letters, number, offset = run.names[letter.topic()], letter.partition(), letter.offset()
        if run.lease.view.is_settled((letters, number), offset):
            return
        user_hash = run.users.hash_of(self._events.ids(letter))
        if user_hash is None:
            if not self._events.can_read(letter):
                run.left_out["unreadable"] = run.left_out.get("unreadable", 0) + 1
            return
        cause = (header_of(letter.headers() or [], CAUSE_HEADER) or b"").decode("ascii", "replace") or "unknown"
        event = self._events.read_now(letter)
        found.settled.setdefault((letters, number), []).append(offset)
        found.causes[cause] = found.causes.get(cause, 0) + 1
        found.receipts.setdefault(letters, Receipt()).add(number, offset, cause, event.event_type, event.time)
        by_user = found.users.setdefault(letters, {})
        by_user[user_hash] = by_user.get(user_hash, 0) + 1

    def _commit(self, run: _Run, job: Job, found: _Found, is_over: bool) -> None:
        lease, view = run.lease, run.lease.view
        changes: dict[str, Record | None] = {}
        for (letters, number), offsets in found.settled.items():
            for name in (REJECTED, PURGED) if letters == REJECTED else (letters,):
                before = view.settled.get((name, number), SettledLetters())
                for block, bits in before.with_added(offsets).items():
                    changes[key("settled", lease.connector, name, number, block)] = SettledBlock(bits=bits)
        if found.causes:
            changes[key("totals", lease.connector)] = lease.counted(purged=found.causes)
        after = job.model_copy(update={"status": "running", "done": job.done + sum(found.causes.values())})
        audit: list[Line] = [_receipt(run.job_id, job, letters, found) for letters in found.receipts]
        if is_over:
            left_out = added(job.left_out, run.left_out)
            ended: dict[str, Any] = {"status": "done", "left_out": left_out, "selection": {"users": len(run.users)}}
            after = after.model_copy(update=ended)
            audit.append(ending(run.job_id, after))
            changes.update(forgotten_jobs(view))
        changes[key("job", lease.connector, run.job_id)] = after
        try:
            lease.commit(changes, audit=audit)
        except Exception:  # whatever it is: what was gathered is not committed, and is read again
            self.begin()
            raise
        if is_over:
            self.begin()
            log.info("job ended", connector=lease.connector, job=run.job_id, action="forget", done=after.done)

    def _say_waiting(self, lease: Lease, job_id: str, partitions: list[int]) -> None:
        now = lease.clock.monotonic()
        if now >= self._say_at:
            self._say_at = now + SAY_SECONDS
            log.info("job waits until sinks obey", connector=lease.connector, job=job_id, partitions=partitions)

    # Users whose time is over.

    def _known(self, lease: Lease) -> ForgottenUsers:
        """As the topic tells now. Raises `KafkaUnreachable`."""
        users = ForgottenUsers(lease.connector)
        journal = self._open_journal()
        try:
            for record in journal.read_to_end():
                users.apply(record.key, record.value)
        finally:
            journal.close()
        return users

    def _take_back(self, lease: Lease) -> bool:
        now = lease.clock.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_SECONDS
        if not self._topics.partitions(self._topic):
            return False
        over = self._known(lease).over(lease.now())
        if over:
            names = [key_of(lease.connector, one).encode() for one in over]
            lease.commit({}, records=[Outgoing(self._topic, name, None, []) for name in names])
        return bool(over)


def _receipt(job_id: str, job: Job, letters: str, found: _Found) -> ReceiptLine:
    return ReceiptLine.model_validate(
        {
            "what": "purged",
            "who": job.who,
            "why": job.reason,
            "job": job_id,
            "from": letters,
            "users": found.users[letters],
            "bytes": "leave with their prefix, or 14 days after they were parked",
            **found.receipts[letters].to_json(),
        }
    )


def _refused(detail: str) -> Ordered:
    return {}, Answer(outcome="refused", detail=detail), ()
