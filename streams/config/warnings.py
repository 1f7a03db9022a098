"""What is allowed in a configuration but will surprise someone."""

from __future__ import annotations

from streams.config.loader import Settings
from streams.config.problems import Problem


def warnings(settings: Settings) -> tuple[Problem, ...]:
    """Remarks about a valid configuration, with path and mend."""
    remarks = []
    shape = settings.kafka.topics
    if shape.min_insync_replicas == shape.replication and shape.replication > 1:
        mend = "equals replication: one broker down stops every write; use one less than replication"
        remarks.append(Problem("kafka.topics.min_insync_replicas", mend, str(shape.min_insync_replicas)))
    for connector in settings.connectors.values():
        path = f"connectors.{connector.name}"
        own = getattr(connector.settings, "warnings", tuple)  # a destination may have remarks of its own
        for sentence in own():
            place, _, mend = sentence.partition(": ")
            remarks.append(Problem(f"{path}.{place}", mend))
        webhook = connector.notify.webhook
        if webhook is not None and not webhook.reveal().startswith(("http://", "https://")):
            mend = "no alert will arrive: must be an address that begins with http:// or https://"
            remarks.append(Problem(f"{path}.notify.webhook", mend))
    return tuple(remarks)
