"""Ids of topics: a topic that was deleted and made again has the same name and another id (KIP-516)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import cache
from typing import Any

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, TopicCollection, Uuid
from confluent_kafka.admin import AdminClient

from streams.adapters.kafka.answers import answer_of
from streams.adapters.kafka.clients import forget_errors
from streams.adapters.kafka.denials import denial
from streams.ports.errors import KafkaUnreachable

ANSWER_SECONDS_MAX = 10.0
NONE = "AAAAAAAAAAAAAAAAAAAAAA"
"""Sixteen zero bytes: the answer of brokers before 2.8, which know no ids."""
GONE = ""
"""Stands for an id if the topic does not exist now."""

Asked = Mapping[str, "Future[Any]"]


@cache
def _one_for_each_id(most_significant_bits: int, least_significant_bits: int) -> Uuid:
    return Uuid(most_significant_bits, least_significant_bits)


# The client (2.16) never lets go of the id in a description of a topic, and topics are asked for every 5 s: a router of
# 60 topics would grow by about 70 MB a day. It makes ids by this name, so it gets the same object for the same id.
vars(confluent_kafka)["Uuid"] = _one_for_each_id


def ask_topic_ids(client: AdminClient, topics: Collection[str]) -> Asked:
    """Ask for the ids of these topics; `answered` gives them once all futures are done."""
    if not topics:
        return {}
    forget_errors(client)
    collection = TopicCollection(sorted(topics))
    return dict(client.describe_topics(collection, request_timeout=ANSWER_SECONDS_MAX))


def answered(asked: Asked) -> dict[str, str]:
    """Ids by topic; `GONE` if the topic does not exist. Topics whose ids Kafka does not tell are left out.

    Raises `KafkaUnreachable`.
    """
    found: dict[str, str] = {}
    for topic, future in asked.items():
        try:
            name = str(answer_of(future, 2 * ANSWER_SECONDS_MAX).topic_id)
        except KafkaException as exception:
            error: KafkaError = exception.args[0]
            if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                found[topic] = GONE
            elif denial(error) is None:
                raise KafkaUnreachable(f"{topic}: {error.str()}") from exception
        except TimeoutError as error:
            raise KafkaUnreachable(
                f"{topic}: Kafka did not tell its id within {2 * ANSWER_SECONDS_MAX:.0f} s"
            ) from error
        else:
            if name != NONE:
                found[topic] = name
    return found


def partition_counts(asked: Asked) -> dict[str, int]:
    """How many partitions each topic has, by the answers that came; others are left out."""
    counts: dict[str, int] = {}
    for topic, future in asked.items():
        with suppress(KafkaException):
            counts[topic] = len(answer_of(future).partitions)
    return counts


def topic_ids(client: AdminClient, topics: Collection[str]) -> dict[str, str]:
    """Ids of the topics that exist, as far as Kafka tells them. Raises `KafkaUnreachable`."""
    return {topic: name for topic, name in answered(ask_topic_ids(client, topics)).items() if name != GONE}
