"""Why no broker answers. The client's own error events say more than the time-out that ends a call."""

from __future__ import annotations

from typing import Protocol

from confluent_kafka import KafkaError, KafkaException

_TELLING = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL})
"""Refused passwords and certificates. The errors after them are their consequence."""


class _Client(Protocol):
    def poll(self, timeout: float, /) -> object: ...


class Silence:
    """An `error_cb` that remembers why no broker answers."""

    def __init__(self) -> None:
        self._last: KafkaError | None = None

    def __call__(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN or (self._last is not None and self._last.code() in _TELLING):
            return
        self._last = error

    def reason(self, client: _Client, exception: KafkaException) -> str:
        """The cause, if the client reported one; else the error that ended the call."""
        client.poll(0.0)  # a client reports nothing while a call blocks
        error = self._last or exception.args[0]
        return error.str() if isinstance(error, KafkaError) else str(error)
