"""What a message says that a bucket of S3 sent to its queue when an object was written.

Three forms are read: S3's own (`Records`), the same inside a message of SNS, and EventBridge's. Others are malformed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import unquote_plus

import orjson

from streams.inlets.layout import is_file, place_of

WRITTEN = ("ObjectCreated:", "ObjectRestore:Completed", "Object Created", "Object Restore Completed")
"""What the names of events begin with after which there is an object to read."""


class Worth(StrEnum):
    """What a message is worth to an inlet."""

    USEFUL = "useful"
    """It names a file that may be new."""
    USELESS = "useless"
    """S3's test, something deleted, or no Currents file."""
    FOREIGN = "foreign"
    """About another bucket, or another prefix."""
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class Notice:
    """`hour` is the earliest `date=` hour of the files that it names; empty where they have none."""

    worth: Worth
    hour: str = ""


def notice_of(body: str, place: str) -> Notice:
    """What a message says to the inlet that reads `place`: the bucket, and perhaps a slash and a prefix."""
    try:
        named = list(_named(orjson.loads(body)))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Notice(Worth.MALFORMED)
    bucket, _, prefix = place.partition("/")
    folder = f"{prefix}/" if prefix else ""
    ours = [(event, key.removeprefix(folder)) for event, at, key in named if at == bucket and key.startswith(folder)]
    if named and not ours:
        return Notice(Worth.FOREIGN)
    files = [key for event, key in ours if event.startswith(WRITTEN) and is_file(key)]
    hours = [hour for key in files if (hour := place_of(key).hour)]
    return Notice(Worth.USEFUL, min(hours, default="")) if files else Notice(Worth.USELESS)


def _named(content: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Event, bucket and key of each object that is named. Raises where the form is unknown."""
    if content.get("Type") == "Notification":
        content = orjson.loads(content["Message"])
    if content.get("Event") == "s3:TestEvent":
        return
    if "detail-type" in content:
        detail = content["detail"]
        yield str(content["detail-type"]), str(detail["bucket"]["name"]), str(detail["object"]["key"])
        return
    for record in content["Records"]:
        s3 = record["s3"]
        name = str(record["eventName"]).removeprefix("s3:")
        yield name, str(s3["bucket"]["name"]), unquote_plus(str(s3["object"]["key"]))
