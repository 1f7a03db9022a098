"""Jobs: replays and purges of dead letters that a person ordered, carried out by the keeper, one at a time."""

from __future__ import annotations

from streams.keeping.records import Answer, Record, Request
from streams.workers.office import Office


class Jobs:
    """Accepts orders and carries them out, a transaction a step."""

    def begin(self) -> None:
        """A term began, or a transaction was aborted: forget what was not committed."""

    def accept(self, _office: Office, _id: str, _request: Request) -> tuple[dict[str, Record | None], Answer]:
        """What a `replay`, `purge` or `cancel` changes, and the answer. Written by the caller in one transaction."""
        return {}, Answer(outcome="refused", detail="dead letters cannot be replayed yet")

    def step(self, _office: Office) -> bool:
        """Carry the running job on by one transaction; whether there was anything to do."""
        return False
