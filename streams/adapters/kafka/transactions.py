"""Kafka transactions: records and a group's offsets, written together or not at all. Foreign exceptions stop here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.adapters.kafka import clients
from streams.adapters.kafka.client_errors import is_fenced, is_not_begun, text_of
from streams.adapters.kafka.denials import denial
from streams.adapters.kafka.group_offsets import topic_partitions
from streams.adapters.kafka.time_limits import CALL_SECONDS_MAX, CONTACT_SECONDS_MAX, PAUSE_SECONDS, Aside, Patience
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
from streams.ports.kafka import Headers, Member, Position

log = structlog.get_logger(__name__)

TRANSACTION_TIMEOUT_MS = 10_000
"""A process killed inside a transaction stalls read_committed readers for this long."""
LINGER_MS = 100
"""How long a record waits for others to share a request with. A commit waits for none of this: it sends at once what
is there. With 5 ms a transaction of 5,000 records went out in dozens of small requests."""
REPORT_SECONDS_MAX = 2.0
"""How long to wait for the report of a refused record. It comes just after the call that failed because of it."""
HANG_SECONDS_MAX = 15.0
"""A call has a time-out of 10 s. If it has not returned after this time, it hangs (see `TransactionalProducer`)."""
AGAIN_SECONDS_MAX = 2.0
"""The longest pause before a transaction is tried again; the first is `PAUSE_SECONDS`, then it doubles."""
ROOM_SECONDS = 0.1
"""How long one wait for room in the client's buffer takes."""
DELIVERY_SECONDS = 0.05
"""How long one wait for records takes. After each wait we look whether a record failed."""

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
"""A broker, or the client itself, will never take this record."""
_AFTER_A_REFUSAL = _REFUSALS | {KafkaError._STATE}
"""What a call says of a transaction in which a record was refused, before the record's report came."""
_TAKEN_BACK = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})
"""The record was discarded by an abort."""
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


class TransactionalProducer:
    """Records and a group's offsets, written together or not at all.

    After a restart of the group's coordinator, librdkafka's `send_offsets_to_transaction` may hang for ever, despite
    its time-out (issues 5456 and 5511). Then a new client takes the transactional id. This aborts the open transaction,
    and fences the old client if it ever goes on.
    """

    def __init__(self, options: Mapping[str, Any], transactional_id: str, client_id: str) -> None:
        self._id = transactional_id
        self._is_open = False
        self._is_closed = False
        self._aside = Aside()
        self._aborts = 0
        # Why records of the open transaction did not reach their topics. An error of the whole transaction names no
        # topic.
        self._undelivered = undelivered = dict[str, KafkaError]()
        self._taken_back = taken_back = set[str]()
        self._refused = refused = dict[str, str]()

        def not_delivered(error: KafkaError, message: Any) -> None:
            # If the client was fenced meanwhile, its own call raises SystemError here.
            with suppress(SystemError):
                if error.code() in _REFUSALS:
                    refused.setdefault(message.topic(), error.str())
                if error.code() in _TAKEN_BACK:
                    taken_back.add(message.topic())
                else:
                    undelivered.setdefault(message.topic(), error)

        self._settings = {
            "linger.ms": LINGER_MS,
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
        """Open a transaction, after a pause if the last ones were aborted. Raises `Fenced` if another producer took
        the id meanwhile."""
        self.abort()
        if self._aborts:
            time.sleep(min(AGAIN_SECONDS_MAX, PAUSE_SECONDS * 2 ** (self._aborts - 1)))
        self._serve(lambda: self._producer.poll(0))  # reports of the aborted transaction are not about the new one
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
            # Positional arguments: keyword arguments cost a third more, and the router writes each record here.
            self._producer.produce(topic, value, key, partition, None, None, 0, headers)  # type: ignore[arg-type]
        except BufferError:
            self._make_room()
            self.write(topic, value, key, headers, partition)
        except KafkaException as exception:
            self._raise_unwritten(exception, topic)

    def commit(self, positions: Sequence[Position], member: Member | None) -> None:
        """Commit the records with the group's offsets. Raises `TransactionAborted` or `Fenced`."""
        if positions:
            assert member is not None, "offsets are committed for a member of a group"
            self._add_offsets(positions, member)
        self._await_delivery()
        self._until_done(lambda: self._producer.commit_transaction(CALL_SECONDS_MAX), CONTACT_SECONDS_MAX)
        self._is_open = False
        self._aborts = 0

    def abort(self) -> None:
        """Abort the open transaction, if there is one. Its records are written first: see `_end_aborted`."""
        if self._is_open:
            self._write_out()
            self._end_aborted()

    def close(self) -> None:
        """Abort what is open and close the client; once. Raises nothing: another error must not hide why the process
        ends."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self.abort()
            self._producer.flush(CALL_SECONDS_MAX)
        except Exception as error:  # it is told, and does not hide why the process ends
            log.warning(
                "could not abort the transaction; Kafka ends it after its time-out",
                error=f"{type(error).__name__}: {error}",
            )
        clients.let_go(self._producer)
        self._aside.close()

    def _add_offsets(self, positions: Sequence[Position], member: Member) -> None:
        """Brokers accept offsets from a process that is no member: so we check here."""
        for position in positions:
            if not member.is_assigned((position.topic, position.partition)):
                self.abort()
                raise TransactionAborted(f"{position.topic}/{position.partition} is not assigned")
        offsets = topic_partitions(positions)
        self._until_done(
            lambda: self._send_offsets(offsets, member.group_metadata()),
            CONTACT_SECONDS_MAX,
            member.group,
            ", ".join(sorted({position.topic for position in positions})),
        )

    def _send_offsets(self, offsets: list[TopicPartition], membership: Any) -> None:
        """Raises `TransactionAborted` if the client hangs."""
        producer = self._producer
        try:
            self._aside.within(
                HANG_SECONDS_MAX,
                lambda: producer.send_offsets_to_transaction(offsets, membership, CALL_SECONDS_MAX),
            )
        except TimeoutError:
            log.warning("the Kafka client hangs: a new one takes over", transactional_id=self._id)
            self._renew()  # nobody can close the old client; it ends when its call returns
            raise TransactionAborted(f"{self._id}: the client hung while it sent offsets") from None

    def _make_room(self) -> None:
        """Wait until records left the client's buffer. Raises as `_raise_failed` does."""
        self._serve(lambda: self._producer.poll(ROOM_SECONDS))
        if self._undelivered:
            self._raise_failed("a record was not delivered")

    def _await_delivery(self) -> None:
        """Wait until every record is written. Raises as `_raise_failed` does. A commit after a failed record would only
        wait for its time-out."""
        self._write_out()
        if self._undelivered:
            self._raise_failed("a record was not delivered")

    def _write_out(self) -> None:
        """Wait until every record is written, or one failed."""
        while self._serve(lambda: self._producer.flush(DELIVERY_SECONDS)) and not self._undelivered:
            """Each record is written or given up within its own time-out."""

    def _serve(self, call: Callable[[], int]) -> int:
        """Let the client report. Raises `Fenced`, `ClientFatal` or `AccessDenied` if it can never write again."""
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
        self._raise_failed(text_of(exception), error.code())  # an earlier record failed: its report says why

    def _raise_failed(self, why: str, code: int | None = None) -> NoReturn:
        """Abort, and raise the reason: `AccessDenied`, `RecordsRefused`, `TransactionAborted` or `Fenced`.

        A record that is refused makes the client fail the whole transaction at once. Its report, which alone names the
        topic, comes a moment later: so after an error with such a `code` it is waited for.
        """
        if code in _AFTER_A_REFUSAL and not self._undelivered:
            deadline = time.monotonic() + REPORT_SECONDS_MAX
            while not self._undelivered and time.monotonic() < deadline:
                self._serve(lambda: self._producer.poll(DELIVERY_SECONDS))
        for error in list(self._undelivered.values()):
            self._require_alive(KafkaException(error))
            why = error.str()
        raise self._aborted(why)

    def _aborted(self, why: str) -> TransactionAborted:
        """Abort, and return the error to raise."""
        self._end_aborted()
        if self._refused:
            return RecordsRefused(self._refused)
        self._aborts += 1
        return TransactionAborted(why)

    def _end_aborted(self) -> None:
        """Abort the open transaction, if there is one. A new client begins where the old one cannot go on.

        After a refusal the client has given a number to a record that the broker never took. The broker would refuse
        the next records as out of order. The old client ends its transaction before: else the new one would have to
        wait until the broker has.

        librdkafka may also ask the broker to end a transaction that has not begun there: its first record is on its
        way, and has to wait for the end of the transaction before. This ends the client (librdkafka issue 4849). If
        another process had taken the id, the broker would have said so.
        """
        if not self._is_open:
            return
        self._is_open = False
        is_spent = bool(self._refused)
        if is_spent:
            self._producer.purge()
        try:
            self._until_done(lambda: self._producer.abort_transaction(CALL_SECONDS_MAX), CONTACT_SECONDS_MAX)
        except (KafkaUnreachable, TransactionAborted):
            if not is_spent:  # the new client ends it anyway
                raise
        except ClientFatal as fatal:
            if not isinstance(fatal.__cause__, KafkaException) or not is_not_begun(fatal.__cause__.args[0]):
                raise
            log.info("the broker had not begun the transaction: a new client takes over", transactional_id=self._id)
            is_spent = True
        if is_spent:
            spent = self._producer
            self._renew()
            clients.let_go(spent)

    def _renew(self) -> None:
        """A new client takes the id. This aborts the open transaction and fences the old client."""
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
                    self._raise_failed(str(error), error.code())
                if not error.retriable() or not patience.again():
                    raise KafkaUnreachable(f"{self._id}: {error}") from exception
            else:
                return

    def _cause(self, exception: KafkaException) -> KafkaException:
        """After the client ended, `produce` says only that it ended. A call to abort says why."""
        if exception.args[0].code() != KafkaError._FATAL:
            return exception
        try:
            self._producer.abort_transaction(CALL_SECONDS_MAX)
        except KafkaException as told:
            return told
        return exception

    def _require_alive(self, exception: KafkaException, group: str = "", read: str = "") -> None:
        """Raises `Fenced`, `ClientFatal` or `AccessDenied` if this producer can never write again."""
        error: KafkaError = exception.args[0]
        if denied := self._denial(error, group, read):
            self._is_open = False  # an abort would be refused too; the broker ends the transaction after its time-out
            raise denied from exception
        if is_fenced(error):
            self._is_open = False
            raise Fenced(f"{self._id}: {error.str()}") from exception
        if error.fatal() or error.code() == KafkaError._FATAL:
            self._is_open = False
            raise ClientFatal(f"the Kafka producer {self._id} cannot continue: {error.str()}") from exception

    def _denial(self, error: KafkaError, group: str, read: str) -> AccessDenied | None:
        """What is missing, if the authorizer refused the call or an earlier record."""
        if not read and not self._undelivered and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            # If a topic may not join the transaction, only the reports of its records name it.
            self._producer.purge()
            self._producer.poll(REPORT_SECONDS_MAX)
        refused = {topic: why for topic, why in self._undelivered.items() if denial(why)}
        topics = read or " or ".join(sorted(refused or self._undelivered or self._taken_back))
        operation = "Read" if read else "Write"
        for cause in (error, *refused.values()):
            if denied := denial(cause, topic=topics, operation=operation, group=group, transactional_id=self._id):
                return denied
        return None
