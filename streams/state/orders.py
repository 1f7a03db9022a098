"""Checks the arguments of a person's order of a replay or purge."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streams.state.records import CREDENTIALS, REJECTED
from streams.state.selection import Selection

Action = Literal["replay", "purge"]

_PLACE = re.compile(r"(?P<letters>.+)/(?P<number>\d{1,9})")
_CREDENTIALS_LETTERS = re.compile(re.escape(CREDENTIALS) + r"[A-Za-z0-9._-]{1,200}")


class OrderError(ValueError):
    """The order cannot be carried out. The text says what would be right."""


class Order(BaseModel):
    """Which letters, up to which offset of each partition, and how fast.

    `ends` maps `<letters>/<partition>` to the offset after the last letter that was planned. If there is a `revision`
    of the totals, the order is refused if letters were settled since it was planned. `rate` is in letters per second.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    selection: Selection
    ends: Mapping[str, Annotated[int, Field(ge=0)]]
    planned: Annotated[int, Field(ge=0)] = 0
    revision: int | None = None
    rate: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None


def order_of(action: Action, arguments: Mapping[str, Any]) -> Order:
    """The order of a request. Raises `OrderError`."""
    try:
        order = Order.model_validate(arguments)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, one['loc'])) or 'arguments'}: {one['msg']}" for one in error.errors()]
        raise OrderError("; ".join(problems)) from None
    selection = order.selection
    if selection.letters != REJECTED and not _CREDENTIALS_LETTERS.fullmatch(selection.letters):
        raise OrderError(f"selection.letters: neither {REJECTED} nor {CREDENTIALS}<scope>")
    if selection.letters != REJECTED:
        others = sorted(selection.to_arguments().keys() - {"letters", "until"})
        if others:
            raise OrderError(f"letters of credentials are selected only by until: leave out {others[0]}")
    if action == "purge" and selection.again:
        raise OrderError("selection.again: what is settled cannot be purged; again is for a replay")
    if not order.ends:
        raise OrderError("ends: names no partition")
    for place in order.ends:
        partition_of(place, selection.letters)
    return order


def partition_of(place: str, letters: str) -> int:
    """The number of a partition of these letters. Raises `OrderError`."""
    match = _PLACE.fullmatch(place)
    if match is None or match["letters"] != letters:
        raise OrderError(f"ends: {place} is not {letters}/<partition>")
    return int(match["number"])
