"""Letters grouped by what went wrong, most first."""

from __future__ import annotations

from streams.operations.dead_letters.view import Report, silent, view
from streams.operations.installation import Installation
from streams.state.top import Groups


def grouped(installation: Installation, name: str, report: Report = silent) -> Groups:
    """Every unsettled letter of a connector, counted by fingerprint. Raises `BadRequest` and `KafkaUnreachable`."""
    with view(installation, name) as opened:
        events = opened.events
        groups = Groups(lambda message: events.read_now(message).event_type)
        names, settled = opened.dead.names, opened.standing.settled
        for (topic, number), letters in opened.scan(opened.starts(opened.dead.topics), report):
            groups.take(letters, f"{names[topic]}/{number}", settled.get((names[topic], number)))
    return groups
