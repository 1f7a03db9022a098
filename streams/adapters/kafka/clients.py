"""Makes every Kafka client. Its own lines go to our log; a setting that it refuses is a problem of the
configuration."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from streams.adapters.kafka.member_settings import METADATA_REFRESH_MS, GroupProtocol, member_settings
from streams.adapters.kafka.time_limits import within
from streams.config.problems import ConfigurationError, Problem

log = structlog.get_logger(__name__)

SAY_SECONDS = 30.0
"""While Kafka is unreachable, the client writes a hundred lines a second. Of each kind we log one per this time."""
KINDS_MAX = 200
ERROR, WARNING, INFO, DEBUG = 40, 30, 20, 10
QUIET = frozenset({"CONFWARN"})
"""Kinds that are not logged: one kind of client ignores an option of another kind."""

ERRORS_A_CALL = 1_000
CLOSE_SECONDS_MAX = 10.0
"""A client that does not close within this time hangs."""
ASKING: Mapping[str, Any] = {
    "topic.metadata.refresh.interval.ms": METADATA_REFRESH_MS,
    "enable.sparse.connections": False,
}
"""Many questions go to the controller only. If its broker is gone, a client asks after 5 minutes who it is now, and
until then it answers no question. Meanwhile a client that connects only where it must tries to reach that broker
thousands of times a second, and keeps a core busy (librdkafka 2.16)."""

Client = TypeVar("Client")


class Lines:
    """Takes the lines of librdkafka, as its `logger`.

    Its level "critical" and those above are errors here. Its level "error" is a warning here: a connection failed, and
    the client tries again by itself. An error that ends a call or a worker is raised, and logged by the caller.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._silent_until: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def log(self, level: int, _format: str, kind: str, client: str, line: str) -> None:
        """One line, with Python's level and the client's word for its kind."""
        if level < INFO or kind in QUIET:
            log.debug("kafka client", kind=kind, client=client, line=line)
            return
        now = self._clock()
        if now < self._silent_until.get(kind, 0.0):
            self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
            return
        if len(self._silent_until) > KINDS_MAX:
            self._silent_until.clear()
        self._silent_until[kind] = now + SAY_SECONDS
        say = log.error if level > ERROR else log.warning if level >= WARNING else log.info
        unsaid = self._unsaid.pop(kind, 0)
        say("kafka client", kind=kind, client=client, line=line, **({"unsaid": unsaid} if unsaid else {}))


LINES = Lines()
"""Shared by all clients of this process: an outage is logged once, not once for each client."""


def consumer(settings: Mapping[str, Any]) -> Consumer:
    """Raises `ConfigurationError` where the client refuses a setting."""
    return _made(Consumer, settings)


def producer(settings: Mapping[str, Any]) -> Producer:
    """Raises `ConfigurationError` where the client refuses a setting."""
    return _made(Producer, settings)


def administration_client(
    settings: Mapping[str, Any], error_cb: Callable[[KafkaError], None] | None = None
) -> AdminClient:
    """Raises `ConfigurationError` where the client refuses a setting."""
    return _made(AdminClient, {**ASKING, **settings, **({"error_cb": error_cb} if error_cb else {})})


def unhurried(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """For a client that is needed now and then: while Kafka is away, it tries to connect twice a second and not twenty
    times. The configuration's own times win."""
    if any(option.startswith("reconnect.") for option in options):
        return options
    return {**options, "reconnect.backoff.ms": 1_000}


def forget_errors(client: Consumer | AdminClient) -> None:
    """For a client that nobody polls, because it only asks. Without waiting; a consumer must read no partition.

    While Kafka is away, a client keeps an error of about 440 bytes for each connection that fails, until it is polled:
    a consumer up to 20 a second, 30 MB an hour. After the outage they would stay.
    """
    if isinstance(client, AdminClient):
        client.poll(0)
        return
    with suppress(KafkaException):
        while client.consume(ERRORS_A_CALL, 0):
            """Until none is left."""


def let_go(client: Consumer | Producer | AdminClient) -> None:
    """Close a client now, with its threads and connections. What a producer has not sent is discarded.

    Nobody should wait for the garbage collector to do it: a client that failed is often part of a circle of exceptions
    and frames, and where few objects are made, the collector comes late. If the client does not close within 10 s, it
    is left open: the next one must not wait for it.
    """
    try:
        within(CLOSE_SECONDS_MAX, lambda: _close(client))
    except TimeoutError:
        log.warning("a Kafka client does not close: it is left open", kind=type(client).__name__)


def _close(client: Consumer | Producer | AdminClient) -> None:
    if isinstance(client, AdminClient):
        with client:
            """To leave the block is its only way to close."""
        return
    # It says why it had ended, or, as a RuntimeError, that it was closed before; it is closed now.
    if isinstance(client, Producer):
        with suppress(KafkaException, SystemError, RuntimeError):
            client.purge()
    with suppress(KafkaException, SystemError, RuntimeError):
        client.close()


# A producer that is closed aborts its transaction first. Where it cannot, who closes it knows why.
warnings.filterwarnings("ignore", "Producer abort_transaction failed during close", RuntimeWarning)


def option_problem(options: Mapping[str, Any], protocol: GroupProtocol) -> str | None:
    """Why one of our clients refuses these options, or None. Makes no connection."""
    alone = {**options, "bootstrap.servers": "", "log_level": 0}
    group = member_settings(alone, "streams-config-check", protocol, "streams-config-check")
    times = {"transaction.timeout.ms": 10_000, "message.timeout.ms": 10_000}
    writing = {**alone, "transactional.id": "streams-config-check", **times}
    for make, settings in ((administration_client, alone), (consumer, group), (producer, writing)):
        try:
            make(settings)
        except ConfigurationError as error:
            return error.problems[0].fix
    return None


def _made(make: Callable[[dict[str, Any]], Client], settings: Mapping[str, Any]) -> Client:
    try:
        return make({**settings, "logger": LINES})
    except KafkaException as exception:
        error = exception.args[0]
        text = error.str() if isinstance(error, KafkaError) else str(error)
    except (TypeError, ValueError) as exception:
        text = str(exception)
    text = re.sub(r"^Failed to create [a-z ]+: ", "", text)
    raise ConfigurationError([Problem("kafka.options", f"the Kafka client refuses it: {text}")])
