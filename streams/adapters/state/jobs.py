"""Follows one job of a keeper on the state topic, from order to end."""

from __future__ import annotations

import time
from collections.abc import Iterator

from streams.adapters.kafka.journal import StateJournal
from streams.config import Settings
from streams.state.records import Job, key, parse

CLIENT_ID = "streams-jobs"
LOOK_SECONDS = 0.2


def follow_job(settings: Settings, connector: str, job_id: str) -> Iterator[Job | None]:
    """The job each time that it moved, up to its end; None after each look that found nothing new.

    Raises `KafkaUnreachable` and `StateError`.
    """
    journal = StateJournal(settings.kafka.client_config(CLIENT_ID), settings.topics.state, CLIENT_ID)
    job_key = key("job", connector, job_id)
    try:
        records = journal.read_to_end()
        while True:
            newest = None
            for record in records:
                if record.key == job_key and record.value is not None:
                    newest = parse(job_key, record.value)
            if isinstance(newest, Job):
                yield newest
                if newest.status not in ("queued", "running"):
                    return
            else:
                yield None
                time.sleep(LOOK_SECONDS)
            records = journal.poll()
    finally:
        journal.close()
