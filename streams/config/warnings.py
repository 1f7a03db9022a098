"""What is allowed in a configuration but will surprise someone."""

from __future__ import annotations

from collections.abc import Iterator

from streams.config.loader import Settings
from streams.config.problems import Problem
from streams.events.schemas import read_folder
from streams.values import Secret, http_problem
from streams.wayback.entries import DataKeys


def warnings(settings: Settings) -> tuple[Problem, ...]:
    """Remarks about a valid configuration, with path and fix."""
    remarks = []
    shape = settings.kafka.topics
    if shape.min_insync_replicas == shape.replication and shape.replication > 1:
        fix = "equals replication: one broker down stops every write; use one less than replication"
        remarks.append(Problem("kafka.topics.min_insync_replicas", fix, str(shape.min_insync_replicas)))
    for connector in settings.connectors.values():
        path = f"connectors.{connector.name}"
        own = getattr(connector.settings, "warnings", tuple)  # a destination may have remarks of its own
        for sentence in own():
            place, _, fix = sentence.partition(": ")
            remarks.append(Problem(f"{path}.{place}", fix))
        webhook = connector.notify.webhook
        if webhook is not None and (problem := _webhook_problem(webhook)):
            remarks.append(Problem(f"{path}.notify.webhook", f"no alert will arrive: {problem}"))
    remarks += _about_receiving(settings)
    return tuple(remarks)


def schema_problems(settings: Settings) -> tuple[Problem, ...]:
    """Files in folders of schemas that hold none: a running process passes over them, and over nothing else."""
    return tuple(
        Problem("source.schema_folders", sentence)
        for folder in settings.source.schema_folders
        for sentence in read_folder(folder)[1]
    )


def _about_receiving(settings: Settings) -> Iterator[Problem]:
    url = settings.receiver.public_url
    if url is not None and not url.startswith("https://"):
        yield Problem(
            "receiver.public_url", "is not https: vendors would send keys and personal data for anyone to read"
        )
    sent = [name for name, connector in settings.connectors.items() if connector.destination == "mparticle"]
    for connector, entries in settings.entries.items():
        for name, entry in entries.items():
            if sent and isinstance(entry, DataKeys) and "*" in entry.events:
                fix = (
                    f"takes every event, and {sent[0]} sends events of Braze to mParticle: those that it forwards here "
                    "are skipped (loop) only where they still say that they came from Braze; name the events instead"
                )
                yield Problem(f"connectors.{connector}.receive.{name}.events", fix)


def _webhook_problem(webhook: Secret) -> str | None:
    """Its address is a secret: the words hold nothing of it."""
    try:
        address = webhook.reveal()
    except ValueError:  # not set here, as it is where secrets are not read
        return None
    problem = http_problem(address)
    return None if problem is None else "must be the address of a host, with http:// or https:// before it"
