"""What a port may raise. Foreign exceptions are translated into these by the adapters.

Exception
├── KafkaUnreachable     no broker answered for as long as the caller allows
│   ├── NoKeeperAnswers  no keeper answered a request in time
│   ├── TopicMissing     the brokers answer, and have no such topic
│   └── JournalBegan     what was read before is no longer so: the journal stands at its beginning
├── KafkaRefusal         Kafka answered, and refused
├── CommitRefused        the group moved on
├── TransactionAborted   nothing is left of the transaction
│   └── RecordsRefused   because Kafka does not take one of its records
│       └── RecordRefused  told at once, of one record: the others of the open transaction stand
├── Fenced               another process took the transactional id
├── ClientFatal          the Kafka client can never go on
├── AccessDenied         Kafka refuses what this process needs
├── SchemasUnavailable   the place that knows a schema does not answer
├── StoreUnavailable     an object store does not serve us now: wait, skip nothing
│   ├── StoreForbidden   it refuses these credentials, or these rights
│   ├── StoreThrottled   it asks for fewer requests
│   └── StoreUnreachable no complete answer came
├── QueueUnavailable     the queue of a bucket's messages does not answer
│   ├── QueueForbidden   it refuses these credentials, or these rights
│   └── QueueMissing     there is no such queue
├── ObjectVanished       the object is not there any more
└── ObjectChanged        the object has another content than the listing showed
"""

from __future__ import annotations

from collections.abc import Mapping


class KafkaUnreachable(Exception):
    """No broker answered for as long as the caller allows."""


class NoKeeperAnswers(KafkaUnreachable):
    """No keeper answered in time. The request was withdrawn."""


class TopicMissing(KafkaUnreachable):
    """There is no such topic."""


class JournalBegan(KafkaUnreachable):
    """The topic that a journal follows was deleted and made again: the next read begins at the new one's beginning."""


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


class StoreUnavailable(Exception):
    """An object store does not serve us now: wait and ask again, skip nothing. The message names store and reason."""

    reason = "unreachable"
    """One word for metrics and listings."""


class StoreForbidden(StoreUnavailable):
    """The store refuses these credentials, or they lack a right."""

    reason = "forbidden"


class StoreThrottled(StoreUnavailable):
    """The store asks for fewer requests."""

    reason = "throttled"


class StoreUnreachable(StoreUnavailable):
    """No complete answer came: no network, a time-out, or a fault of the store."""


class QueueUnavailable(Exception):
    """The queue of a bucket's messages does not answer, or refuses. The message names queue and reason."""


class QueueForbidden(QueueUnavailable):
    """The queue refuses these credentials, or these rights; or there are no credentials."""


class QueueMissing(QueueUnavailable):
    """There is no queue at this address."""


class ObjectVanished(Exception):
    """The object is not there any more."""


class ObjectChanged(Exception):
    """The object's content is not the one that the listing showed."""
