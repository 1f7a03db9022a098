"""The first commit of partitions that the group never committed: with a line in the audit, once, whatever is killed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog

from streams.delivery.ledger import Ledger
from streams.ports.clock import Clock
from streams.ports.errors import RecordsRefused, TransactionAborted
from streams.ports.kafka import Consumer, Message, Position, Transactions
from streams.workers.reading.start_positions import Beginning, audit_lines
from streams.workers.sink.letters import SinkTopics

log = structlog.get_logger(__name__)


class FirstStarts:
    """Where partitions began, until it is audited. Nothing else of them is committed before."""

    def __init__(
        self, connector: str, topics: SinkTopics, *, consumer: Consumer, transactions: Transactions, clock: Clock
    ) -> None:
        self._connector = connector
        self._topics = topics
        self._consumer = consumer
        self._transactions = transactions
        self._clock = clock
        self._begun: list[Beginning] = []
        self._log = log.bind(connector=connector)

    @property
    def is_pending(self) -> bool:
        """Whether there are partitions whose start is not audited yet."""
        return bool(self._begun)

    def assigned(self, begun: Sequence[Beginning]) -> None:
        """Those of these partitions that have to be audited."""
        self._begun += [beginning for beginning in begun if beginning.why]

    def commit(self, ledgers: Mapping[int, Ledger[Message]]) -> bool:
        """Write the audit line and the first commit in one transaction. Returns whether nothing is left to do."""
        self._begun = [
            beginning
            for beginning in self._begun
            if (ledger := ledgers.get(beginning.start.partition)) is not None
            and ledger.next_offset == beginning.start.offset
        ]
        if not self._begun:
            return True
        places = {str(one.start.partition): (one.start.offset, one.why) for one in self._begun}
        try:
            self._transactions.begin()
            for line in audit_lines(f"sink {self._connector}", self._connector, self._clock.epoch_ms(), places):
                self._transactions.write(self._topics.audit, line.to_bytes(), self._connector.encode())
            self._transactions.commit(self._positions(ledgers), self._consumer)
        except RecordsRefused as error:
            self._log.error("could not write to the audit where partitions began", error=str(error), **places)
        except TransactionAborted as error:
            self._log.warning("first commit refused: the group has rebalanced", error=str(error))
            return False
        self._begun = []
        return True

    def _positions(self, ledgers: Mapping[int, Ledger[Message]]) -> list[Position]:
        return [
            Position(self._topics.connector, number, start.offset, ledgers[number].counts.to_metadata())
            for number, start in ((one.start.partition, one.start) for one in self._begun)
        ]
