"""What errors of the Kafka client mean: their text, and whether the client can go on."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException

from streams.adapters.kafka.member_settings import GroupProtocol
from streams.ports.errors import ClientFatal, Fenced

_REFUSED_FOR_GOOD = frozenset({KafkaError.INVALID_SESSION_TIMEOUT})
"""What the brokers say to a setting of ours. The client does not call it fatal: it asks again for ever."""
_FENCED = frozenset({KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED})


def text_of(exception: KafkaException) -> str:
    """What the client says."""
    return str(exception.args[0]) if exception.args else type(exception).__name__


def is_fatal(error: KafkaError) -> bool:
    """Whether the client can never go on. The same error on a record does not say that it is fatal."""
    return error.fatal() or error.code() == KafkaError._FATAL or error.code() in _REFUSED_FOR_GOOD


def is_fenced(error: KafkaError) -> bool:
    """Whether another process took this one's place. After the first such error, the client only says "fatal"."""
    return error.code() in _FENCED or (error.code() == KafkaError._FATAL and "fenced" in error.str().lower())


def is_not_begun(error: KafkaError) -> bool:
    """Whether the broker refused to end a transaction, because it knows of none that is open. After the first such
    error, the client only says "fatal"."""
    return error.code() == KafkaError.INVALID_TXN_STATE or (
        error.code() == KafkaError._FATAL and "transactional operation in an invalid state" in error.str()
    )


def ending_error(error: KafkaError, group: str, protocol: GroupProtocol) -> Exception:
    """What to raise for a fatal error of a group's member, with what may be wrong in the configuration."""
    if error.code() in (KafkaError._FENCED, KafkaError.FENCED_INSTANCE_ID):
        return Fenced(error.str())
    hint = ""
    if error.code() == KafkaError.INVALID_SESSION_TIMEOUT:
        hint = (
            "; session.timeout.ms of kafka.options must be between the brokers' group.min.session.timeout.ms and "
            "group.max.session.timeout.ms. Without it, it is 10 s"
        )
    elif "assignor" in error.str():
        hint = "; is group.remote.assignor of kafka.options one that the brokers have? Without it they choose one"
    elif protocol == "consumer":
        hint = "; kafka.group_protocol is consumer (KIP-848), which not every broker has: set it to classic"
    return ClientFatal(f"the Kafka consumer of group {group} cannot continue: {error.str()}{hint}")
