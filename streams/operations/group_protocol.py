"""Whether the brokers have the group protocol that the configuration asks for."""

from __future__ import annotations

from streams.config import Settings
from streams.ports.cluster import Cluster
from streams.ports.errors import AccessDenied, KafkaRefusal

SETTING = "group.coordinator.rebalance.protocols"
"""A broker's list of what it speaks: `classic`, and `consumer` (KIP-848) where it is on, as it is from Kafka 4.0 on."""
FIX = "set kafka.group_protocol to classic, or switch the protocol on in the brokers (Kafka 4.0 and later have it)"


def group_protocol_problem(settings: Settings, cluster: Cluster) -> str:
    """What is wrong, as a sentence; empty if nothing is wrong, or if the brokers do not tell.

    Raises `KafkaUnreachable`.
    """
    if settings.kafka.group_protocol != "consumer":
        return ""
    try:
        spoken = cluster.broker_setting(SETTING)
    except (AccessDenied, KafkaRefusal):
        return ""
    if spoken is None:
        return "the brokers do not know the group protocol consumer (KIP-848), which kafka.group_protocol asks for"
    protocols = {name.strip().lower() for name in spoken.split(",")}
    if "consumer" in protocols:
        return ""
    return f"kafka.group_protocol is consumer (KIP-848), but the brokers speak {spoken} ({SETTING})"
