"""Says what Kafka's authorizer refused: which operation on which resource is missing."""

from __future__ import annotations

from confluent_kafka import KafkaError

from streams.ports.errors import AccessDenied

_FIX = "`streams topics acls` prints what each role needs"


def denial(
    error: KafkaError, *, topic: str = "", group: str = "", transactional_id: str = "", operation: str = ""
) -> AccessDenied | None:
    """What is missing, if the authorizer refused; else None. `operation` is what was asked of a topic."""
    match error.code():
        case KafkaError.TOPIC_AUTHORIZATION_FAILED:
            missing = f"{operation or 'what was asked'} on topic {topic}" if topic else "an operation on a topic"
        case KafkaError.GROUP_AUTHORIZATION_FAILED:
            missing = f"Read (or, without joining it, Describe) on group {group}" if group else "a consumer group"
        case KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
            missing = f"Write on transactional-id {transactional_id}"
        case KafkaError.CLUSTER_AUTHORIZATION_FAILED:
            missing = "an operation on the cluster"
        case _:
            return None
    return AccessDenied(f"Kafka does not allow {missing}; {_FIX}")
