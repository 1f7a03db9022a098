"""An object store as inlets see it: what lies under one URL, listed page by page and read once.

Keys are relative to the URL, with slashes between their parts. Errors are those of `streams.ports.errors`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from streams.inlets.objects import StoredObject


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a store: the folders in it, and the objects that lie directly in it."""

    folders: tuple[str, ...]
    objects: tuple[StoredObject, ...]


class ObjectStore(Protocol):
    """What lies under one URL. All calls raise `StoreForbidden`, `StoreThrottled` and `StoreUnreachable`."""

    def level(self, folder: str) -> Level:
        """Folders and objects directly in a folder; empty text is the top. Folders are whole keys."""
        ...

    def pages(self, folder: str, after: str = "") -> Iterator[Sequence[StoredObject]]:
        """All objects below a folder, however deep, with keys greater than `after`. At most one page is in memory.

        Pages come in any order: only some stores sort.
        """
        ...

    def read(self, wanted: StoredObject) -> Iterator[bytes]:
        """The object's bytes, with one request, and only as the listing showed it.

        Raises `ObjectVanished` if it is not there any more, `ObjectChanged` if its content is another now.
        """
        ...
