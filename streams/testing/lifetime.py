"""What runs between `start` and `stop`, as a context manager."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class Startable:
    """Starts when its `with` block begins, and stops when the block ends."""

    def start(self) -> None:
        """Return when it answers."""

    def stop(self) -> None:
        """End it, and remove what it left."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
