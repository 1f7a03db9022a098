"""What a person orders about a cohort or audience of the way back: forget its members, or send them all again.

The order is a `Page` record in every partition of the connector's topic, behind all that came before: each sink does
its part when it reads it. The keeper writes them in the transaction of its answer, so an order is carried out once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streams.ports.kafka import Partition
from streams.state.records import Answer, Record, Request, key
from streams.wayback.records import Page, encode
from streams.workers.keeper.lease import Lease, Outgoing

Ordered = tuple[dict[str, Record | None], Answer, Sequence[Outgoing]]


class GroupOrders:
    """Orders about a connector's groups: cohorts and audiences, not consumer groups.

    `entries` are what the connector receives; none where it receives nothing.
    """

    def __init__(self, entries: Sequence[str], partitions: Callable[[str], Sequence[Partition]]) -> None:
        """`partitions` gives those of a topic and raises `KafkaUnreachable`."""
        self._entries = tuple(entries)
        self._partitions = partitions

    def order(self, lease: Lease, request_id: str, request: Request) -> Ordered:
        """What a `clear` or `resend` changes, the answer, and the records. Raises `KafkaUnreachable`."""
        entry, group_id = (str(request.arguments.get(name, "")) for name in ("entry", "group"))
        if not self._entries:
            return _refused(f"{lease.connector} receives no cohorts and audiences")
        if entry not in self._entries or not group_id:
            return _refused(f"{request.what} needs a group, and an entry: one of {', '.join(self._entries)}")
        topic = lease.topics.connector
        places = self._partitions(topic)
        if not places:
            return _refused(f"there is no topic {topic}; make it with `streams topics apply`")
        page = encode(
            Page(
                id=f"{request.what}/{request_id}",
                entry=entry,
                time_ms=lease.now(),
                received_ms=lease.now(),
                group_id=group_id,
                group_name=str(request.arguments.get("name", "")),
                purpose="clear" if request.what == "clear" else "resend",
                session=request_id,
            )
        )
        records = [Outgoing(topic, None, page, [], number) for _, number in places]
        changes: dict[str, Record | None] = {key("totals", lease.connector): lease.counted(again=len(records))}
        return changes, Answer(outcome="done", content={"partitions": len(records)}), records


def _refused(detail: str) -> Ordered:
    return {}, Answer(outcome="refused", detail=detail), ()
