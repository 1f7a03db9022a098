"""Kafka transactions: records and a group's offsets, written together or not at all. Foreign exceptions stop here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.adapters.kafka import clients
from streams.adapters.kafka.consumer import (
    CALL_SECONDS_MAX,
    CONTACT_SECONDS_MAX,
    GroupConsumer,
    text_of,
    topic_partitions,
)
from streams.adapters.kafka.denials import denial
from streams.adapters.kafka.time_limits import Patience, within
from streams.config.kafka import RECORD_BYTES_MAX
from streams.ports.errors import (
    AccessDenied,
    ClientFatal,
    Fenced,
    KafkaUnreachable,
    RecordRefused,
    RecordsRefused,
    TransactionAborted,
)
from streams.ports.kafka import Consumer, Headers, Position

log = structlog.get_logger(__name__)

TRANSACTION_TIMEOUT_MS = 10_000
"""A process killed inside a transaction stalls read_committed readers for this long."""
REPORT_SECONDS_MAX = 2.0
"""How long the report of a refused record is waited for: it comes just after the call that failed because of it."""
HANG_SECONDS_MAX = 15.0
"""A call that was given 10 s and has not returned by then never will (see `TransactionalProducer`)."""

ROOM_SECONDS = 0.1
"""How long room in the client's buffer is waited for at a time."""
DELIVERY_SECONDS = 0.05
"""How long records are waited for at a time, before it is looked whether one failed."""

_REFUSALS = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.POLICY_VIOLATION,
        KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT,
    }
)
"""What a broker, or the client itself, says of a record that it will never take."""
_TAKEN_BACK = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})
"""Reports of records that an abort took back."""
_MOVED_ON = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError._STATE,
        KafkaError._NO_OFFSET,
    }
)
_FENCED = frozenset({KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED})


def is_fenced(error: KafkaError) -> bool:
    """Whether another process took the place. After a first such error the client calls all others fatal."""
    return error.code() in _FENCED or (error.code() == KafkaError._FATAL and "fenced" in error.str().lower())


class TransactionalProducer:
    """Records and a group's offsets, written together or not at all.

    librdkafka's `send_offsets_to_transaction` may hang for ever once the group's coordinator was restarted, whatever
    time it is given (its issues 5456 and 5511). Such a client is given up, and a new one takes its transactional id:
    that aborts the open transaction, and fences the old client should it ever wake.
    """

    def __init__(self, options: Mapping[str, Any], transactional_id: str, client_id: str) -> None:
        self._id = transactional_id
        self._is_open = False
        # Why records of the open transaction did not reach their topics: a failure of the whole names none.
        self._undelivered = undelivered = dict[str, KafkaError]()
        self._taken_back = taken_back = set[str]()
        self._refused = refused = dict[str, str]()

        def not_delivered(error: KafkaError, message: Any) -> None:
            # Called with an error of the client pending (it was fenced) the client's own call raises SystemError.
            with suppress(SystemError):
                if error.code() in _REFUSALS:
                    refused.setdefault(message.topic(), error.str())
                if error.code() in _TAKEN_BACK:
                    taken_back.add(message.topic())
                else:
                    undelivered.setdefault(message.topic(), error)

        self._settings = {
            "linger.ms": 5,
            "compression.type": "lz4",
            "queue.buffering.max.kbytes": 65_536,
            "message.max.bytes": RECORD_BYTES_MAX,
            **options,
            "client.id": client_id,
            "transactional.id": transactional_id,
            "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
            "message.timeout.ms": TRANSACTION_TIMEOUT_MS,
            "partitioner": "murmur2_random",
            "on_delivery": not_delivered,
            "delivery.report.only.error": True,
        }
        self._producer = clients.producer(self._settings)

    def start(self) -> None:
        """Fence every predecessor with this transactional id, and end its open transaction."""
        self._until_done(lambda: self._producer.init_transactions(CALL_SECONDS_MAX), CONTACT_SECONDS_MAX)

    def begin(self) -> None:
        """Open a transaction. Raises `Fenced` where another producer took the id meanwhile."""
        self.abort()
        self._serve(lambda: self._producer.poll(0))  # reports of what was aborted say nothing of what comes
        self._undelivered.clear()
        self._taken_back.clear()
        self._refused.clear()
        self._until_done(self._producer.begin_transaction, CONTACT_SECONDS_MAX)
        self._is_open = True

    def write(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers | None = None,
        partition: int = -1,
    ) -> None:
        """Write a record in the transaction, once there is room for it."""
        try:
            # By place: arguments by name cost a third more, and the router writes each record here.
            self._producer.produce(topic, value, key, partition, None, None, 0, headers)  # type: ignore[arg-type]
        except BufferError:
            self._make_room()
            self.write(topic, value, key, headers, partition)
        except KafkaException as exception:
            self._raise_unwritten(exception, topic)

    def commit(self, positions: Sequence[Position], consumer: Consumer | None) -> None:
        """Commit the records with the group's offsets. Raises `TransactionAborted` or `Fenced`."""
        if positions:
            assert isinstance(consumer, GroupConsumer)
            group_consumer = consumer
            for position in positions:
                if not group_consumer.is_assigned((position.topic, position.partition)):
                    self.abort()
                    raise TransactionAborted(f"{position.topic}/{position.partition} is not assigned")
            offsets = topic_partitions(positions)
            self._until_done(
                lambda: self._send_offsets(offsets, group_consumer.group_metadata()),
                CONTACT_SECONDS_MAX,
                group_consumer.group,
                ", ".join(sorted({position.topic for position in positions})),
            )
        self._await_delivery()
        self._until_done(lambda: self._producer.commit_transaction(CALL_SECONDS_MAX), CONTACT_SECONDS_MAX)
        self._is_open = False

    def abort(self) -> None:
        """Leave nothing behind of the open transaction, if there is one."""
        if self._is_open:
            self._is_open = False
            self._until_done(lambda: self._producer.abort_transaction(CALL_SECONDS_MAX), CONTACT_SECONDS_MAX)

    def close(self) -> None:
        """Abort what is open and let the client go. Raises nothing: why the process leaves must not be masked."""
        try:
            self.abort()
            self._producer.flush(CALL_SECONDS_MAX)
        except Exception as error:
            log.warning("transaction left to its time-out", error=f"{type(error).__name__}: {error}")
        with suppress(KafkaException, SystemError):
            self._producer.purge()

    def _send_offsets(self, offsets: list[TopicPartition], membership: Any) -> None:
        """Raises `TransactionAborted` where the client hangs."""
        producer = self._producer
        try:
            within(
                HANG_SECONDS_MAX,
                lambda: producer.send_offsets_to_transaction(offsets, membership, CALL_SECONDS_MAX),
            )
        except TimeoutError:
            log.warning("the Kafka client hangs, a new one takes over", transactional_id=self._id)
            self._renew()
            raise TransactionAborted(f"{self._id}: the client hung while it sent offsets") from None

    def _make_room(self) -> None:
        """Wait until records left the client's buffer. Raises as `_raise_failed` does."""
        self._serve(lambda: self._producer.poll(ROOM_SECONDS))
        if self._undelivered:
            self._raise_failed("a record was not delivered")

    def _await_delivery(self) -> None:
        """Wait until every record is written, or one is not: then a commit would wait its whole time for the rest."""
        while self._serve(lambda: self._producer.flush(DELIVERY_SECONDS)) and not self._undelivered:
            """Each record is written or given up within its own time-out."""
        if self._undelivered:
            self._raise_failed("a record was not delivered")

    def _serve(self, call: Callable[[], int]) -> int:
        """Let the client report. Raises `Fenced`, `ClientFatal` or `AccessDenied` where it will never write again."""
        try:
            return call()
        except KafkaException as exception:
            self._require_alive(exception)
            raise KafkaUnreachable(f"{self._id}: {text_of(exception)}") from exception

    def _raise_unwritten(self, exception: KafkaException, topic: str) -> NoReturn:
        """Say why a record could not be written."""
        self._require_alive(self._cause(exception))
        error: KafkaError = exception.args[0]
        if error.code() in _REFUSALS:
            raise RecordRefused(topic, error.str()) from exception
        self._serve(lambda: self._producer.poll(0))  # an earlier record failed meanwhile: its report says why
        self._raise_failed(text_of(exception))

    def _raise_failed(self, why: str) -> NoReturn:
        """Abort, and say what it was. Raises `AccessDenied`, `RecordsRefused`, `TransactionAborted` or `Fenced`."""
        for error in list(self._undelivered.values()):
            self._require_alive(KafkaException(error))
            why = error.str()
        raise self._aborted(why)

    def _aborted(self, why: str) -> TransactionAborted:
        """Abort, and what to raise.

        After a refusal the client has numbered records that the broker never took, which would then refuse what
        follows as out of order. So a new client begins.
        """
        if not self._refused:
            self.abort()
            return TransactionAborted(why)
        refused = RecordsRefused(self._refused)
        self._producer.purge()
        self._renew()
        return refused

    def _renew(self) -> None:
        """A new client takes the id: what is open is aborted, and the old client fenced."""
        self._is_open = False
        self._producer = clients.producer(self._settings)
        self.start()

    def _until_done(self, call: Callable[[], Any], seconds_max: float, group: str = "", read: str = "") -> None:
        """Repeat a transactional call while Kafka says that it may be repeated. `group` commits offsets of `read`."""
        patience = Patience(seconds_max)
        while True:
            try:
                call()
            except KafkaException as exception:
                self._require_alive(exception, group, read)
                error: KafkaError = exception.args[0]
                if error.txn_requires_abort() or error.code() in _MOVED_ON:
                    raise self._aborted(str(error)) from exception
                if not error.retriable() or not patience.again():
                    raise KafkaUnreachable(f"{self._id}: {error}") from exception
            else:
                return

    def _cause(self, exception: KafkaException) -> KafkaException:
        """`produce` says of a client that ended only that it did; the call that would abort says why."""
        if exception.args[0].code() != KafkaError._FATAL:
            return exception
        try:
            self._producer.abort_transaction(CALL_SECONDS_MAX)
        except KafkaException as told:
            return told
        return exception

    def _require_alive(self, exception: KafkaException, group: str = "", read: str = "") -> None:
        """Raises `Fenced` or `AccessDenied` where this producer will never write again."""
        error: KafkaError = exception.args[0]
        if denied := self._denial(error, group, read):
            self._is_open = False  # an abort would be refused too: the broker ends it by its time-out
            raise denied from exception
        if is_fenced(error):
            self._is_open = False
            raise Fenced(f"{self._id}: {error.str()}") from exception
        if error.fatal() or error.code() == KafkaError._FATAL:
            self._is_open = False
            raise ClientFatal(f"the Kafka producer {self._id} cannot go on: {error.str()}") from exception

    def _denial(self, error: KafkaError, group: str, read: str) -> AccessDenied | None:
        """What is missing, where the authorizer refused the call or a record before it."""
        if not read and not self._undelivered and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            # A topic that may not join the transaction: only the reports of records that never left name it.
            self._producer.purge()
            self._producer.poll(REPORT_SECONDS_MAX)
        refused = {topic: why for topic, why in self._undelivered.items() if denial(why)}
        topics = read or " or ".join(sorted(refused or self._undelivered or self._taken_back))
        operation = "Read" if read else "Write"
        for cause in (error, *refused.values()):
            if denied := denial(cause, topic=topics, operation=operation, group=group, transactional_id=self._id):
                return denied
        return None
