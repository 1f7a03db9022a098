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
from streams.workers.keeper.office import Office, Outgoing
from streams.workers.reading.passed_records import places_of

log = structlog.get_logger(__name__)

CAUSE = "credentials"


def set_aside(
    office: Office, letters: str, message: Message, refused: RecordsRefused, changes: Mapping[str, Record | None]
) -> None:
    """Move a credentials letter to the rejected ones, or pass it; `changes` go into the same transaction.

    Raises as `Office.commit` does.
    """
    cursor = {key("cursor", office.connector, letters, message.partition()): Cursor(offset=message.offset() + 1)}
    totals = key("totals", office.connector)
    place = Origin(message.topic(), message.partition(), message.offset())
    said = log.bind(connector=office.connector, topic=place.topic, partition=place.partition, offset=place.offset)
    moved = Outgoing(office.topics.rejected, message.key(), message.value(), _headers(office, message, place, refused))
    try:
        office.commit({**changes, **cursor, totals: office.counted(refused={CAUSE: 1})}, records=[moved])
    except RecordsRefused as error:
        if office.topics.rejected not in error.refusals:
            raise
        line = Passed(why=str(error), count=1, records=places_of([place]))
        office.commit({**changes, **cursor, totals: office.counted(passed={CAUSE: 1})}, audit=[line])
        said.error("letter passed, Kafka does not take it", why=f"{refused}; {error}")
    else:
        said.warning("letter refused, parked as rejected", why=str(refused))


def _headers(
    office: Office, message: Message, place: Origin, refused: RecordsRefused
) -> list[tuple[str, bytes | None]]:
    headers = message.headers() or []
    before = verdict_of(headers) or Verdict()
    event_type = (header_of(headers, EVENT_TYPE_HEADER) or b"").decode("utf-8", "replace")
    detail = f"Kafka does not take it back: {refused}"
    return letter_headers(
        headers, origin_of(headers, place), Reason("rejected", 0, detail, before.scope, event_type, 0, office.now())
    )
