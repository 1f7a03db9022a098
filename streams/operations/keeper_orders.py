"""An order to a connector's keeper, and its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.operations.errors import OrderRefused
from streams.operations.installation import Installation
from streams.ports.state import What
from streams.state.records import Answer

ANSWER_SECONDS = 20.0


def carried_out(
    installation: Installation,
    connector: str,
    what: What,
    arguments: Mapping[str, Any],
    *,
    who: str,
    reason: str,
    wait_seconds: float = ANSWER_SECONDS,
) -> Answer:
    """The keeper's answer to an order that it carried out. Raises `OrderRefused` and what `Keepers.ask` does."""
    answer = installation.keepers.ask(connector, what, arguments, who=who, reason=reason, wait_seconds=wait_seconds)
    if answer.outcome != "done":
        raise OrderRefused(f"the keeper of {connector} refuses: {answer.detail}")
    return answer
