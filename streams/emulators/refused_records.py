"""Records that a vendor refused by name. They can never be accepted, so nobody should send them again."""

from __future__ import annotations

from collections.abc import Iterable

IDS_MAX = 100_000
"""How many refused ids are remembered, to see whether a client sends them again."""


class RefusedRecords:
    """Ids that were refused, each of one owner: a project, a key, or "" where the vendor has only one."""

    def __init__(self) -> None:
        self._refused: dict[tuple[str, str], None] = {}
        self.sent_again: list[tuple[str, str]] = []
        """Owner and id of what was sent again after it had been refused."""

    def seen(self, owner: str, ids: Iterable[str]) -> None:
        """Remember which of these were refused before, and are now sent again."""
        if self._refused:
            self.sent_again += [(owner, name) for name in ids if (owner, name) in self._refused]

    def told(self, owner: str, ids: Iterable[str]) -> None:
        """Remember that the client was told that these are refused. Records without an id are left out."""
        self._refused |= {(owner, name): None for name in ids if name}
        while len(self._refused) > IDS_MAX:
            del self._refused[next(iter(self._refused))]
