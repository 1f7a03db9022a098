"""Answers of the client that asks brokers."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaException


def answer_of(asked: Future[Any], seconds_max: float = 0.0) -> Any:
    """What brokers answered. Raises `KafkaException`, and `TimeoutError` if no answer comes in time.

    The error is a new one: the future's own would refer to the frames that it passes, and these to the future. Only
    the garbage collector could free such a circle, with all that the frames hold: clients, and records.
    """
    failure = asked.exception(seconds_max)
    if failure is None:
        return asked.result()
    if isinstance(failure, KafkaException):
        raise KafkaException(*failure.args)
    raise failure
