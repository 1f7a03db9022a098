"""Where Braze puts files into a bucket, and what a key tells.

Braze's layout (event_delivery_semantics in Braze's documentation):
`<prefix>/dataexport.<cluster>.<kind>.integration.<id>/event_type=T/date=YYYY-MM-DD-HH/version=N/<env>/<file>.avro`.
`date` is the hour in which events were queued, so files may come late. Nothing is read from the rest of a name.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime

FILE_SUFFIXES = (".avro", ".gz", ".zip")
EXPORT = "dataexport."
"""What the names of Braze's folders above the event types begin with."""
EVENT_TYPE = "event_type="
DATE = "date="
PLAIN = "-"
"""Stands for the event type where the layout is not Braze's."""
BUCKETS = 4_096
"""Progress of files in other layouts is spread over so many records by a checksum of the key: a million files are about
250 a record."""

_PLACE = re.compile(r"(?P<root>(?:.*/)?event_type=(?P<type>[^/]+))/date=(?P<hour>\d{4}-\d\d-\d\d-\d\d)/")


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """What shares a progress record: an event type and hour, or a bucket of keys (`PLAIN` and its number in hex)."""

    event_type: str
    hour: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key belongs. `root` is the folder of its event type; empty in other layouts, as is `hour`."""

    root: str
    slot: Slot
    hour: str


def place_of(key: str) -> Place:
    """The place of a key, relative to the inlet's URL."""
    found = _PLACE.match(key)
    if found is None:
        return Place("", Slot(PLAIN, f"{zlib.crc32(key.encode()) % BUCKETS:03x}"), "")
    return Place(found["root"], Slot(found["type"], found["hour"]), found["hour"])


def is_file(key: str) -> bool:
    """Whether a key can be a Currents file: by its name's end, and not hidden as files under way often are."""
    name = key.rpartition("/")[2]
    return name.endswith(FILE_SUFFIXES) and not name.startswith((".", "_"))


def is_type_root(folder: str) -> bool:
    """Whether a folder holds one event type's hours."""
    return folder.rpartition("/")[2].startswith(EVENT_TYPE)


def is_opened(folder: str) -> bool:
    """Whether a folder is one of Braze's, with event types in it."""
    return folder.rpartition("/")[2].startswith(EXPORT)


def hour_of(moment_ms: int) -> str:
    """The hour of a moment, as Braze writes it. Hours sort as text."""
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%Y-%m-%d-%H")


def after_of(root: str, hour: str) -> str:
    """What to list a root after, so that this hour and later ones come."""
    return f"{root}/{DATE}{hour}"
