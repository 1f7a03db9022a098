"""What is allowed in a configuration but will surprise someone."""

from __future__ import annotations

from streams.config.loader import Settings
from streams.config.problems import Problem
from streams.events.schemas import read_folder
from streams.values import Secret, http_problem


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
    return tuple(remarks)


def schema_problems(settings: Settings) -> tuple[Problem, ...]:
    """Files in folders of schemas that hold none: a running process passes over them, and over nothing else."""
    return tuple(
        Problem("source.schema_folders", sentence)
        for folder in settings.source.schema_folders
        for sentence in read_folder(folder)[1]
    )


def _webhook_problem(webhook: Secret) -> str | None:
    """Its address is a secret: the words hold nothing of it."""
    try:
        address = webhook.reveal()
    except ValueError:  # not set here, as it is where secrets are not read
        return None
    problem = http_problem(address)
    return None if problem is None else "must be the address of a host, with http:// or https:// before it"
