"""An object store in memory, which fails when a test says so."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from streams.inlets.objects import StoredObject
from streams.ports.errors import ObjectChanged, ObjectVanished, StoreUnavailable
from streams.ports.objects import Level

PAGE_OBJECTS = 1_000
CHUNK_BYTES = 1 << 16


class FakeObjects:
    """Objects by key. `failing` is raised by every call; `refused` by reads of single keys. `lists` and `reads` count
    requests."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self.now_ms = now_ms
        self.failing: StoreUnavailable | None = None
        self.refused = dict[str, StoreUnavailable]()
        self.lists = 0
        self.reads: list[str] = []
        self._objects = dict[str, tuple[StoredObject, bytes]]()

    def put(self, key: str, content: bytes, modified_ms: int | None = None, etag: str = "") -> StoredObject:
        """Write an object, which was modified now, or at that time."""
        one = StoredObject(
            key,
            len(content),
            etag or hashlib.sha256(content).hexdigest()[:32],
            self.now_ms if modified_ms is None else modified_ms,
        )
        self._objects[key] = (one, content)
        return one

    def delete(self, key: str) -> None:
        del self._objects[key]

    def level(self, folder: str) -> Level:
        self._ask()
        prefix = f"{folder}/" if folder else ""
        folders, objects = set[str](), []
        for key, (one, _) in sorted(self._objects.items()):
            if key.startswith(prefix):
                name, slash, _ = key.removeprefix(prefix).partition("/")
                if slash:
                    folders.add(prefix + name)
                else:
                    objects.append(one)
        return Level(tuple(sorted(folders)), tuple(objects))

    def pages(self, folder: str, after: str = "") -> Iterator[Sequence[StoredObject]]:
        self._ask()
        prefix = f"{folder}/" if folder else ""
        found = [one for key, (one, _) in sorted(self._objects.items()) if key.startswith(prefix) and key > after]
        for start in range(0, len(found), PAGE_OBJECTS):
            yield found[start : start + PAGE_OBJECTS]

    def read(self, wanted: StoredObject) -> Iterator[bytes]:
        self._ask()
        self.lists -= 1
        if (refusal := self.refused.get(wanted.key)) is not None:
            raise refusal
        self.reads.append(wanted.key)
        if wanted.key not in self._objects:
            raise ObjectVanished(f"{wanted.key} is not there any more")
        one, content = self._objects[wanted.key]
        if one.etag != wanted.etag or one.size_bytes != wanted.size_bytes:
            raise ObjectChanged(f"{wanted.key} was written again since it was listed")
        for start in range(0, len(content), CHUNK_BYTES):
            yield content[start : start + CHUNK_BYTES]

    def _ask(self) -> None:
        self.lists += 1
        if self.failing is not None:
            raise self.failing
