"""Why no broker answers: what a client was told meanwhile says more than that its time was up."""

from __future__ import annotations

from typing import Protocol

from confluent_kafka import KafkaError, KafkaException

_TELLING = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL})
"""Refused passwords and certificates; whatever follows them, follows from them."""


class _Client(Protocol):
    def poll(self, timeout: float, /) -> object: ...


class Silence:
    """An `error_cb` for a client that is asked while nobody answers."""

    def __init__(self) -> None:
        self._last: KafkaError | None = None

    def __call__(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN or (self._last is not None and self._last.code() in _TELLING):
            return
        self._last = error

    def reason(self, client: _Client, exception: KafkaException) -> str:
        """The cause as far as the client was told; else what the call ended with."""
        client.poll(0.0)  # clients tell nothing while a call blocks
        error = self._last or exception.args[0]
        return error.str() if isinstance(error, KafkaError) else str(error)
