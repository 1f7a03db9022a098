"""Where records go that the router cannot route, and what is audited: written in the transaction that passes them."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from streams.config.names import SOURCE
from streams.delivery.account import SourceCause
from streams.delivery.letter import ORIGIN_HEADER, Origin, Reason, letter_headers
from streams.ports.errors import RecordRefused
from streams.ports.kafka import Message
from streams.state.audit import Line
from streams.workers.reading.passed_records import passed_line
from streams.workers.reading.start_positions import audit_lines
from streams.workers.router.partitions import PartitionState
from streams.workers.router.ports import RouterPorts, RouterTopics
from streams.workers.router.refusals import Refusals

log = structlog.get_logger(__name__)


class SourceLetters:
    """Parks records in the source's dead letters; what not even that topic takes is passed, counted and audited."""

    def __init__(self, topics: RouterTopics, ports: RouterPorts, refusals: Refusals) -> None:
        self._topics = topics
        self._clock = ports.clock
        self._transactions = ports.transactions
        self._refusals = refusals
        self._passed: list[tuple[Origin, str]] = []
        """Of the open transaction: records that no topic takes, and why."""

    def park_refused(self, message: Message, state: PartitionState, refusals: Mapping[str, str]) -> None:
        """The letter names the connectors that did not get the record: a replay is for those alone."""
        why = "; ".join(dict.fromkeys(refusals.values()))
        self.park(message, state, "refused", f"{', '.join(refusals)}: {why}", ",".join(refusals))

    def park(self, message: Message, state: PartitionState, cause: SourceCause, detail: str, owed_to: str = "") -> None:
        """Write the record as a dead letter, and count it."""
        origin = Origin(message.topic(), message.partition(), message.offset())
        reason = Reason(cause, 0, detail, owed_to, "", 0, self._clock.epoch_ms())
        read = [*(message.headers() or []), (ORIGIN_HEADER, origin.to_header())]
        headers = letter_headers(read, origin, reason)
        topic = self._topics.source_letters
        why = self._refusals.why((origin.topic, origin.partition, origin.offset), topic)
        if not why:
            try:
                self._transactions.write(topic, message.value(), message.key(), headers)
            except RecordRefused as refusal:
                why = refusal.why
            else:
                state.pending.undecodable += 1
                return
        state.pending.skip("refused_by_kafka")
        self._passed.append((origin, f"{detail}; as a dead letter: {why}" if cause == "refused" else why))

    def audit_passed(self) -> None:
        """Which records no topic took: in the transaction that passes them."""
        if self._passed:
            self._audit(passed_line("router", SOURCE, self._clock.epoch_ms(), self._passed))

    def audit_starts(self, states: Mapping[tuple[str, int], PartitionState]) -> None:
        """The audit line goes in the transaction of the first commit: so it is said once, whatever is killed."""
        begun = [state.beginning for state in states.values() if state.beginning and state.must_audit_beginning]
        places = {f"{one.start.topic}/{one.start.partition}": (one.start.offset, one.why) for one in begun}
        for line in audit_lines("router", SOURCE, self._clock.epoch_ms(), places):
            self._audit(line)

    def committed(self) -> None:
        """Say which records were passed."""
        for origin, why in self._passed:
            log.error(
                "record skipped: Kafka refuses it",
                topic=origin.topic,
                partition=origin.partition,
                offset=origin.offset,
                why=why,
            )
        self._passed.clear()

    def aborted(self) -> None:
        """They are read again."""
        self._passed.clear()

    def _audit(self, line: Line) -> None:
        """What the audit itself does not take is in the log."""
        if self._refusals.is_audit_refused:
            log.error("Kafka refused an audit line", **line.to_json())
            return
        try:
            self._transactions.write(self._topics.audit, line.to_bytes(), b"router")
        except RecordRefused as refusal:
            log.error("Kafka refused an audit line", error=refusal.why, **line.to_json())  # noqa: TRY400
