"""What a port may raise. Foreign exceptions are translated into these by the adapters.

Exception
├── KafkaUnreachable     no broker answered for as long as the caller allows
│   ├── NoKeeperAnswers  no keeper answered a request in time
│   └── TopicMissing     the brokers answer, and have no such topic
├── KafkaRefusal         Kafka answered, and refused
├── CommitRefused        the group moved on
├── TransactionAborted   nothing is left of the transaction
│   └── RecordsRefused   because Kafka does not take one of its records
│       └── RecordRefused  told at once, of one record: the others of the open transaction stand
├── Fenced               another process took the transactional id
├── ClientFatal          the Kafka client can never go on
├── AccessDenied         Kafka refuses what this process needs
└── SchemasUnavailable   the place that knows a schema does not answer
"""

from __future__ import annotations

from collections.abc import Mapping


class KafkaUnreachable(Exception):
    """No broker answered for as long as the caller allows."""


class NoKeeperAnswers(KafkaUnreachable):
    """No keeper answered in time. The request was withdrawn."""


class TopicMissing(KafkaUnreachable):
    """There is no such topic."""


class KafkaRefusal(Exception):
    """Kafka answered, and refused; the message says what and why."""


class CommitRefused(Exception):
    """The group moved on (rebalance, or this member was removed): look at the assignment, redo or let go."""


class TransactionAborted(Exception):
    """The transaction was aborted and left nothing behind; it may be done again if its partitions are still ours."""


class RecordsRefused(TransactionAborted):
    """Kafka does not take a record of the transaction, however often it is written: by its size, or by a policy.

    `refusals` says why, by topic. Records that shared a batch with it failed with it: only a record that was alone in
    its transaction is known to be the one.
    """

    def __init__(self, refusals: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{topic}: {why}" for topic, why in sorted(refusals.items())))
        self.refusals = dict(refusals)


class RecordRefused(RecordsRefused):
    """This one record is not taken, and was not written. The open transaction may go on without it, or start again."""

    def __init__(self, topic: str, why: str) -> None:
        super().__init__({topic: why})
        self.why = why


class Fenced(Exception):
    """Another process took this one's transactional id: leave."""


class ClientFatal(Exception):
    """The Kafka client can never go on; the message names the setting, where one is to blame."""


class AccessDenied(Exception):
    """Kafka knows this process and does not allow what it needs; the message names what is missing."""


class SchemasUnavailable(Exception):
    """The place that knows the schema cannot be asked now (a registry's outage): wait, park nothing."""
