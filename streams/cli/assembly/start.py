"""What every process does before it works: log, configuration, Kafka within a minute, its topics."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from streams.adapters.kafka.admin import Administration
from streams.adapters.telemetry.log import configure_log
from streams.cli.errors import CommandError, ExitCode
from streams.cli.options import settings_from
from streams.config import Settings, access, topology
from streams.delivery.metadata import MetadataError
from streams.operations.group_protocol import FIX, group_protocol_problem
from streams.operations.topics import unread_sentence, wanted
from streams.ports.errors import ClientFatal, Fenced, KafkaRefusal, KafkaUnreachable
from streams.ports.memory import RowsNotUnderstood
from streams.state.records import StateError, StateTooNew

log = structlog.get_logger(__name__)

CONTACT_SECONDS_MAX = 60.0
"""A process that starts together with its Kafka waits this long for it."""
CONTACT_RETRY_SECONDS = 2.0


def start_log() -> None:
    """Lines for people on a terminal, JSON anywhere else; `STREAMS_LOG_LEVEL` says from which level on."""
    configure_log("human" if sys.stderr.isatty() else "json", os.environ.get("STREAMS_LOG_LEVEL", "info"))


@contextmanager
def prepared(path: Path | None, role: str | None = None) -> Iterator[Settings]:
    """Settings, with logs set up, Kafka there and the role's topics made; without a role, all of ours.

    What stops the worker becomes an exit code.
    """
    start_log()
    settings = settings_from(path)
    _ready_topics(settings, role)
    try:
        yield settings
    except MetadataError as error:
        raise CommandError(
            f"{error}; another program commits for a group of ours: choose another kafka.topic_prefix",
            ExitCode.FAILED,
        ) from error
    except StateTooNew as error:
        raise CommandError(f"{settings.topics.state}: {error}", ExitCode.STATE_TOO_NEW) from error
    except StateError as error:
        raise CommandError(f"{settings.topics.state}: {error}", ExitCode.FAILED) from error
    except RowsNotUnderstood as error:
        raise CommandError(str(error), ExitCode.STATE_TOO_NEW) from error
    except Fenced as error:
        raise CommandError(
            f"another process took this one's place ({error}); give each process its own STREAMS_INSTANCE",
            ExitCode.FENCED,
        ) from error
    except ClientFatal as error:
        raise CommandError(str(error), ExitCode.CLIENT_FATAL) from error


def _usual_topics(settings: Settings, administration: Administration) -> tuple[topology.WantedTopic, ...]:
    """What this configuration needs, once a broker answers. Raises `KafkaUnreachable`."""
    deadline = time.monotonic() + CONTACT_SECONDS_MAX
    while True:
        try:
            return topology.wanted_topics(settings, administration.brokers())
        except KafkaUnreachable as error:
            if time.monotonic() >= deadline:
                raise
            log.warning("waiting for Kafka", error=str(error))
            time.sleep(CONTACT_RETRY_SECONDS)


def _ready_topics(settings: Settings, role: str | None) -> None:
    """Create the topics that are missing, where the configuration allows it; name them where it does not.

    Only those of the role: where access is as narrow as can be, others are not seen.
    """
    administration = Administration(settings.kafka.client_config("streams-start"))
    usual = _usual_topics(settings, administration)
    if protocol_problem := group_protocol_problem(settings, administration):
        raise CommandError(f"{protocol_problem}; {FIX}", ExitCode.CLIENT_FATAL)
    there = administration.topic_names()
    needed = {grant.name for one in access.roles(settings) if one.name == role for grant in one.grants}
    names = [topic.name for topic in usual if topic.name not in there and (role is None or topic.name in needed)]
    if not names:
        return
    if not settings.kafka.topics.create:
        raise CommandError(
            f"topics are missing: {', '.join(names)}; create them with `streams topics apply`", ExitCode.FAILED
        )
    # Settings of the Currents topics are asked for only to create topics: processes need not be allowed to read them.
    sized = wanted(settings, administration)
    if sized.unread:
        log.warning(unread_sentence(sized.unread))
    missing = [topic for topic in sized.topics if topic.name in names]
    for topic in missing:
        try:
            if administration.create_topic(topic.name, topic.partitions, topic.replication, topic.configuration):
                log.info("topic created", topic=topic.name, partitions=topic.partitions)
        except KafkaRefusal as error:
            raise CommandError(
                f"topic {topic.name} does not exist, or may not be seen, and was not created: {error}; "
                "create topics with `streams topics apply`",
                ExitCode.FAILED,
            ) from error
