"""Letters on their way back that the connector's topic does not take: they become rejected letters, or are passed.

Credentials letters leave as a prefix, so one that stayed would hold all behind it. It is moved, in one transaction with
the cursor and the totals, to the topic of rejected letters, with Kafka's words. Where that topic does not take it
either, it is counted as skipped, `refused_by_kafka`, and said with its place.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from streams.delivery.letter import (
    EVENT_TYPE_HEADER,
    Origin,
    Reason,
    Verdict,
    header_of,
    letter_headers,
    origin_of,
    verdict_of,
)
from streams.ports.errors import RecordsRefused
from streams.ports.kafka import Message
from streams.state.audit import Passed
from streams.state.records import Cursor, Record, key
from streams.workers.keeper.lease import Lease, Outgoing
from streams.workers.reading.passed_records import places_of

log = structlog.get_logger(__name__)

CAUSE = "credentials"
NOT_TAKEN_BACK = "Kafka does not take it back"
"""What the detail of a letter that was moved begins with."""


def set_aside(
    lease: Lease, letters: str, message: Message, refused: RecordsRefused, changes: Mapping[str, Record | None]
) -> None:
    """Move a credentials letter to the rejected ones, or pass it; `changes` go into the same transaction.

    Raises as `Lease.commit` does.
    """
    cursor = {key("cursor", lease.connector, letters, message.partition()): Cursor(offset=message.offset() + 1)}
    totals = key("totals", lease.connector)
    place = Origin(message.topic(), message.partition(), message.offset())
    said = log.bind(connector=lease.connector, topic=place.topic, partition=place.partition, offset=place.offset)
    moved = Outgoing(lease.topics.rejected, message.key(), message.value(), _headers(lease, message, place, refused))
    try:
        lease.commit({**changes, **cursor, totals: lease.counted(refused={CAUSE: 1})}, records=[moved])
    except RecordsRefused as error:
        if lease.topics.rejected not in error.refusals:
            raise
        line = Passed(why=str(error), count=1, records=places_of([place]))
        lease.commit({**changes, **cursor, totals: lease.counted(passed={CAUSE: 1})}, audit=[line])
        said.error("letter skipped: Kafka refuses it", why=f"{refused}; {error}")
    else:
        said.warning("Kafka refused a letter: it is parked as rejected", why=str(refused))


def _headers(lease: Lease, message: Message, place: Origin, refused: RecordsRefused) -> list[tuple[str, bytes | None]]:
    headers = message.headers() or []
    before = verdict_of(headers) or Verdict()
    event_type = (header_of(headers, EVENT_TYPE_HEADER) or b"").decode("utf-8", "replace")
    detail = f"{NOT_TAKEN_BACK}: {refused}"
    return letter_headers(
        headers, origin_of(headers, place), Reason("rejected", 0, detail, before.scope, event_type, 0, lease.now())
    )
