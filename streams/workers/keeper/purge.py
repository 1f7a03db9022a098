"""Purge: deletes what expired while a scope's credentials stayed INVALID, exactly that, and with a receipt.

1. Only while the scope is INVALID and the connector RUNNING, after a probe that began after the deadline (and the
   clocks' margin) was answered 401 or 403, and while the keeper's clock and the broker's agree. The probe is this
   keeper's own: when another began is known by that one's clock only.
2. The longest prefix of each partition that is wholly past its deadline is read, as committed.
3. One transaction holds the cursors, the receipt and the totals: that commit is the purge. The letters' bytes are
   deleted afterwards (`keeper.deletion`).
"""

from __future__ import annotations

import structlog

from streams.ports.letters import Letters, LetterTopics
from streams.state.audit import ReceiptLine
from streams.state.credentials import Outcome, Rules, deadline_ms, outcome_of, purgeable_until
from streams.state.records import CREDENTIALS, Cursor, Record, key
from streams.workers.keeper.lease import Lease
from streams.workers.keeper.prefix import Prefix, read_prefix
from streams.workers.keeper.probes import Probes
from streams.workers.reading.event_reader import EventReader

log = structlog.get_logger(__name__)

LATE_MS = 60_000
"""A purge that is later than this is said to be overdue, with the reason."""
LOOK_MS_MAX = 60_000
"""A letter that was imported, or parked late, may be due before those that were read."""
CLOCK_FRESH_SECONDS = 120.0
"""The broker's clock must have been compared within this: each probe's record does."""


class Purge:
    """Looks at each INVALID scope when its first letter may be due."""

    def __init__(
        self, probes: Probes, topics: LetterTopics, reader: Letters, events: EventReader, rules: Rules
    ) -> None:
        self._probes = probes
        self._topics = topics
        self._reader = reader
        self._events = events
        self._rules = rules
        self._next_at: dict[str, int] = {}

    def begin(self) -> None:
        self._next_at.clear()
        self._reader.close()  # a client may be unable to read a topic that was made again: the next one can

    def step(self, lease: Lease) -> bool:
        is_busy = False
        for scope in self._probes.scopes:
            is_busy = self._look(lease, scope) or is_busy
        return is_busy

    def next_at(self, lease: Lease, scope: str) -> int:
        """When the first letter of an INVALID scope may be purged (ms), as far as known without reading."""
        state = lease.view.scope(scope)
        first = deadline_ms(0, state, lease.view.state, self._rules, lease.now())
        return max(first, self._next_at.get(scope, 0))

    def _look(self, lease: Lease, scope: str) -> bool:
        state, connector = lease.view.scope(scope), lease.view.state
        if state.state != "INVALID" or connector.state != "RUNNING":
            self._next_at.pop(scope, None)
            return False
        if self._is_order_waiting(lease):
            return False
        began = self._probes.newest_began(lease, scope)
        if began is None:
            return False  # an earlier keeper's clock may have been wrong when it probed: this one asks first
        if not lease.is_clock_compared_since(state.probe_began) or lease.now() < state.probe_began:
            return (
                False  # it may have jumped before the probe: the probe's own record tells; or it has jumped back since
            )
        due_at = self.next_at(lease, scope) + self._rules.skew_ms
        now = lease.now()
        if now < due_at:
            self._probes.ask_by(scope, (due_at - now) / 1000, lease.clock.monotonic())
            return False
        until = purgeable_until(state, connector, self._rules, began)
        problem = self._problem(lease, scope, until, due_at - self._rules.skew_ms)
        if problem or until is None:
            return self._say_overdue(lease, scope, problem, now - due_at)
        return self._purge(lease, scope, until)

    def _is_order_waiting(self, lease: Lease) -> bool:
        """Whether a person ordered what may move a deadline, before the purge. Each order is answered within a few
        steps."""
        return any(request.what != "probe" for request in lease.view.requests.values())

    def _problem(self, lease: Lease, scope: str, until: int | None, due_at: int) -> str:
        """Why nothing may be purged though a letter may be due; empty where it may be."""
        state = lease.view.scope(scope)
        if state.probe is None or outcome_of(state.probe.status) is not Outcome.BAD:
            status = 0 if state.probe is None else state.probe.status
            return f"no probe was refused since the deadline: the last was answered {status or 'by nobody'}"
        if until is None or until < due_at:
            return "no probe began after the deadline yet"
        return lease.clock_problem(CLOCK_FRESH_SECONDS)

    def _purge(self, lease: Lease, scope: str, until: int) -> bool:
        prefix = self._read(lease, scope, until)
        if not prefix.cursors:
            return not prefix.is_whole
        self._commit(lease, scope, prefix)
        return True

    def _read(self, lease: Lease, scope: str, until: int) -> Prefix:
        """The letters whose deadline is at or before `until`; and when to look again."""
        state, connector, now = lease.view.scope(scope), lease.view.state, lease.now()
        letters_name = CREDENTIALS + scope

        def is_over(parked_at: int) -> bool:
            return deadline_ms(parked_at, state, connector, self._rules, now) <= until

        partitions = list(self._topics.partitions(lease.topics.dead_letters(letters_name)))
        prefix = read_prefix(lease, letters_name, partitions, self._reader, self._events, is_over)
        if prefix.is_whole:
            heads = [deadline_ms(parked_at, state, connector, self._rules, now) for parked_at in prefix.heads]
            self._next_at[scope] = min([*heads, now + min(self._rules.grace_ms, LOOK_MS_MAX)])
        return prefix

    def _commit(self, lease: Lease, scope: str, prefix: Prefix) -> None:
        state = lease.view.scope(scope)
        assert state.state == "INVALID", "a VALID scope is never purged"
        changes: dict[str, Record | None] = {
            key("cursor", lease.connector, CREDENTIALS + scope, number): Cursor(offset=offset)
            for number, offset in prefix.cursors.items()
        }
        changes[key("totals", lease.connector)] = lease.counted(purged={"credentials": prefix.letters})
        told = lease.view.told
        changes[key("told", lease.connector)] = told.model_copy(update={"purged": told.purged + prefix.letters})
        if state.overdue:
            changes[key("scope", lease.connector, scope)] = state.model_copy(update={"overdue": ""})
        receipt = ReceiptLine(
            what="purged",
            why="credentials stayed INVALID beyond the grace",
            scope=scope,
            invalid_since=state.since,
            evidence=state.evidence,
            probe_began=state.probe_began,
            grace_ms=self._rules.grace_ms,
            extended_ms=state.extended_ms,
            **prefix.receipt(),
        )
        lease.commit(changes, audit=[receipt])
        log.warning("letters purged", connector=lease.connector, scope=scope, letters=prefix.letters)

    def _say_overdue(self, lease: Lease, scope: str, problem: str, late_ms: int) -> bool:
        state = lease.view.scope(scope)
        if late_ms < min(LATE_MS, 2 * self._rules.skew_ms) or state.overdue == problem:
            return False
        if not self._read(lease, scope, lease.now() - self._rules.skew_ms).cursors:
            return False  # no letter is due
        lease.commit({key("scope", lease.connector, scope): state.model_copy(update={"overdue": problem})})
        self._next_at.pop(scope, None)  # they are due: they need not be looked for
        log.warning("purge postponed", connector=lease.connector, scope=scope, reason=problem)
        return True
