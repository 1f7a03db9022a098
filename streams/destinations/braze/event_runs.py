"""Runs of events that were not changed on the way: most records of a partition are such. Pure."""

from __future__ import annotations

from typing import Final

from streams.destinations.braze.items import EVENT, LENGTH_BYTES

_HEAD: Final = 1 + LENGTH_BYTES


def run_of(bodies: list[bytes], first: int, end: int) -> int:
    """Where the run that begins at `first` ends, at `end` at the latest."""
    at, event = first, EVENT
    while at < end and bodies[at][0] == event:
        at += 1
    return at


def parted(bodies: list[bytes], first: int, end: int) -> tuple[list[str], list[bytes], int]:
    """Ids and objects of the events from `first` to `end` (exclusive), and the bytes of their bodies."""
    ids: list[str] = []
    objects: list[bytes] = []
    size = 0
    for at in range(first, end):
        body = bodies[at]
        size += len(body)
        # As `int.from_bytes` of the four bytes, and compiled without a call.
        behind = _HEAD + (body[1] << 24 | body[2] << 16 | body[3] << 8 | body[4])
        ids.append(body[_HEAD:behind].decode())
        objects.append(body[behind:])
    return ids, objects, size
