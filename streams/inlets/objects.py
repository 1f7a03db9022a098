"""An object of a store, as a listing shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoredObject:
    """`key` is relative to the inlet's URL. `etag` changes with the content; `modified_ms` is the store's own time."""

    key: str
    size_bytes: int
    etag: str
    modified_ms: int
