"""The rules of a connector's privacy as a part of the plan by which its events are read: nothing is asked per event
where there are none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from streams.delivery.contract import Encoding, Rejected
from streams.destinations.privacy import CUSTOMERS_FIELD, EVERYTHING, NO_JSON, Privacy
from streams.events.schema import WriterSchema
from streams.events.walker import DROP, NULLABLE_STRINGS, STRING, STRINGS, TEXT_PROPERTY, TEXT_SKIPPED, Op

Finish = Callable[[dict[str, Any], list[Any], int], Encoding]
"""From an event's properties, its captured slots and how many strings were cut, to what is sent."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is done to an event after it was read."""

    texts: tuple[tuple[int, str, int], ...] = ()
    """Slot of a text to hash, the key it is sent under, and the slot where the vendor's part finds it."""
    arrays: tuple[str, ...] = ()
    """Keys of arrays whose items are hashed."""
    customers: tuple[int, str, int] | None = None
    """The same of a customer's JSON."""
    slots: int = 0
    """How many slots there are now."""


def private(
    schema: WriterSchema, ops: list[Op], slots: int, finish: Finish, privacy: Privacy, kept: Mapping[int, int]
) -> tuple[list[Op], int, Finish]:
    """The walker's table, number of slots and the vendor's part, with the rules applied; unchanged without rules.

    `kept`: slot -> slot where a hidden field stays readable, for what decides where an event goes.
    A field that should be hashed and is not text in this writer's schema does not leave.
    """
    if privacy == EVERYTHING:
        return ops, slots, finish
    plan = _Plan(slots=slots)
    changed = []
    for known, op in zip(schema.fields, ops, strict=True):
        if known.name in privacy.drop:
            op = _without(op, kept)
        elif known.name in privacy.hashed:
            op, plan = _hashed(op, plan, kept)
        elif known.name == CUSTOMERS_FIELD and privacy.has_keys and op.code == STRING:
            raw, plan = plan.slots, replace(plan, customers=(plan.slots, op.key, op.slot), slots=plan.slots + 1)
            op = Op(STRING, op.nullable, "", raw)
        changed.append(op)
    return changed, plan.slots, _finishing(plan, finish, privacy)


def _without(op: Op, kept: Mapping[int, int]) -> Op:
    if op.slot in kept:
        return Op(op.code, op.nullable, "", kept[op.slot])
    return Op(TEXT_SKIPPED if op.code in (STRING, TEXT_PROPERTY) else op.code, op.nullable, "", DROP)


def _hashed(op: Op, plan: _Plan, kept: Mapping[int, int]) -> tuple[Op, _Plan]:
    code, key, slot = op.code, op.key, op.slot
    if code in (STRINGS, NULLABLE_STRINGS):
        return op, replace(plan, arrays=(*plan.arrays, key)) if key else plan
    if code not in (STRING, TEXT_PROPERTY):
        return _without(op, kept), plan
    # Read whole into a slot: what a destination cuts is not what is hashed.
    raw = plan.slots if slot == DROP else kept.get(slot, slot)
    plan = replace(plan, texts=(*plan.texts, (raw, key, slot)), slots=plan.slots + (slot == DROP))
    return Op(STRING, op.nullable, "", raw), plan


def _finishing(plan: _Plan, finish: Finish, privacy: Privacy) -> Finish:
    texts, arrays, customers, hashed = plan.texts, plan.arrays, plan.customers, privacy.hash

    def finishing(properties: dict[str, Any], captured: list[Any], cuts: int) -> Encoding:
        for raw, key, slot in texts:
            if captured[raw] is not None:
                text = hashed(captured[raw])
                if key:
                    properties[key] = text
                if slot != DROP:
                    captured[slot] = text
        for key in arrays:
            if key in properties:
                properties[key] = [hashed(item) for item in properties[key]]
        if customers is not None and captured[customers[0]] is not None and not captured[customers[0]].isspace():
            raw, key, slot = customers
            content = privacy.customers(captured[raw])
            if content is None:
                return Rejected(NO_JSON)
            if key:
                properties[key] = content
            if slot != DROP:
                captured[slot] = content
        return finish(properties, captured, cuts)

    return finishing
