"""Letters grouped by what went wrong, most first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streams.operations.dead_letters.open_letters import Report, open_letters, silent
from streams.operations.installation import Installation
from streams.state.moments import iso
from streams.state.top import Group, Groups, Trouble


def grouped(installation: Installation, name: str, report: Report = silent) -> Groups:
    """Every unsettled letter of a connector, counted by fingerprint. Raises `BadRequest` and `KafkaUnreachable`."""
    with open_letters(installation, name) as opened:
        events = opened.events
        groups = Groups(lambda message: events.read_now(message).event_type)
        names, settled = opened.dead.names, opened.view.settled
        for (topic, number), letters in opened.scan(opened.starts(opened.dead.topics), report):
            groups.take(letters, f"{names[topic]}/{number}", settled.get((names[topic], number)))
    return groups


def listed(groups: Groups, name: str, *, limit: int, by_type: bool = False) -> dict[str, Any]:
    """The fields of `streams dlq top --output json`."""
    rows: Sequence[Group | Trouble] = groups.most_first() if by_type else groups.troubles()
    return {
        "connector": name,
        "letters": sum(row.count for row in rows) + groups.others,
        "groups_found": len(rows),
        "others": groups.others,
        "groups": [row.to_json(iso) for row in rows[:limit]],
    }
