"""What the emulated mParticle forwards: accepted batches and audiences, to webhooks and Firehose endpoints.

Source: mParticle's pages on the webhook output, on data activity (which answers are retried) and on Firehose. Pure: the
time is an argument.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field

from streams.emulators.courier import Order, OrderCall, Post, Reply
from streams.emulators.mparticle.bodies_out import (
    SubscriptionAction,
    firehose_events,
    membership_change,
    single_messages,
    subscription,
    webhook_batch,
)

RETRY_AFTER_MS = (1_000, 2_000, 4_000, 8_000, 16_000)
"""Retries are limited and their pauses grow; mParticle does not say how many and how long."""
WAITING_MAX = 10_000
"""The most requests that wait for one output; what comes then is dropped and counted."""
Name = Annotated[str, Field(min_length=1)]


class OutputOrder(Order):
    """`PUT /_emulator/outputs`: forward to this address from now on. `key` is the `Authorization` header, or with
    `key_setting` the account setting of this name. With `environment` only batches of that environment are forwarded:
    at mParticle a connection is made for one of the two."""

    name: Name
    kind: Literal["webhook", "firehose"]
    url: Annotated[str, Field(pattern=r"^https?://")]
    key: Annotated[str, Field(repr=False)]
    key_setting: str = ""
    send_as_batch: bool = True
    environment: Literal["development", "production"] | None = None


class AudienceOrder(Order):
    """`PUT /_emulator/audiences`: the audience has these members, by customer id, from now on. One that is not
    connected is taken off every output."""

    audience_id: int
    name: Name
    members: tuple[Name, ...]
    connected: bool = True


@dataclass(slots=True)
class _Output:
    order: OutputOrder
    waiting: deque[Post] = field(default_factory=deque)
    next_at_ms: int = 0
    tries: int = 0
    last_status: int | None = None
    counts: dict[str, int] = field(default_factory=lambda: {"delivered": 0, "dropped": 0})

    def shown(self) -> dict[str, Any]:
        """No key."""
        shown = self.order.model_dump(include={"name", "kind", "url", "send_as_batch", "environment"})
        return {**shown, "waiting": len(self.waiting), "last_status": self.last_status, **self.counts}

    @property
    def settings(self) -> dict[str, str]:
        return {self.order.key_setting: self.order.key} if self.order.key_setting else {}

    def put(self, kind: str, content: Mapping[str, Any]) -> None:
        if len(self.waiting) >= WAITING_MAX:
            self.counts["dropped"] += 1
            return
        headers = {} if self.order.key_setting else {"Authorization": self.order.key}
        self.waiting.append(Post(kind, self.order.url, orjson.dumps(content), headers))

    def settle(self, outcome: Literal["delivered", "dropped"]) -> None:
        self.waiting.popleft()
        self.tries = 0
        self.counts[outcome] += 1


class Outputs:
    """An `Outbox`. Each output gets its requests in order, one at a time."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._outputs: dict[str, _Output] = {}
        self._audiences: dict[int, AudienceOrder] = {}

    @property
    def calls(self) -> Mapping[tuple[str, str], OrderCall]:
        return {
            ("GET", "outputs"): lambda _, __: {"records": [output.shown() for output in self._outputs.values()]},
            ("PUT", "outputs"): self._set_output,
            ("GET", "audiences"): lambda _, __: {
                "records": [each.model_dump(mode="json") for each in self._audiences.values()]
            },
            ("PUT", "audiences"): self._set_audience,
        }

    def _set_output(self, content: Any, now_ms: int) -> dict[str, Any]:
        """A new Firehose output is told of the audiences that there are, and of their members."""
        order = OutputOrder.model_validate(content)
        output = self._outputs[order.name] = _Output(order)
        for audience in self._audiences.values():
            self._tell(output, audience, None, now_ms)
        return {}

    def _set_audience(self, content: Any, now_ms: int) -> dict[str, Any]:
        order = AudienceOrder.model_validate(content)
        before = self._audiences.get(order.audience_id)
        self._audiences[order.audience_id] = order
        for output in self._outputs.values():
            self._tell(output, order, before, now_ms)
        return {}

    def _tell(self, output: _Output, audience: AudienceOrder, before: AudienceOrder | None, now_ms: int) -> None:
        """Only Firehose carries audiences: the webhook has events and attributes only."""
        if output.order.kind != "firehose":
            return
        told = {"audience_id": audience.audience_id, "audience_name": audience.name}
        if before is not None and not before.connected:
            before = None
        action = _subscription_action(audience, before)
        if action is not None:
            output.put("audience_subscription_request", subscription(told, action, output.settings, now_ms))
        if not audience.connected:
            return
        known = () if before is None else before.members
        changes = [(user, "add") for user in audience.members if user not in known]
        changes += [(user, "delete") for user in known if user not in audience.members]
        if changes:
            request = membership_change(told, changes, output.settings, now_ms)
            output.put("audience_membership_change_request", request)

    def forward(self, batch: Mapping[str, Any], now_ms: int) -> None:
        """A batch that was accepted, and is not a duplicate."""
        for output in self._outputs.values():
            if output.order.environment not in (None, batch.get("environment")):
                continue
            if output.order.kind == "firehose":
                request = firehose_events(batch, output.settings, now_ms)
                output.put("event_processing_request", request)
                continue
            outgoing = webhook_batch(batch, now_ms)
            for content in [outgoing] if output.order.send_as_batch else single_messages(outgoing):
                output.put("batch" if output.order.send_as_batch else "message", content)

    def due(self, now_ms: int) -> Post | None:
        for output in self._outputs.values():
            if output.waiting and output.next_at_ms <= now_ms:
                return output.waiting[0]
        return None

    def answered(self, post: Post, reply: Reply, now_ms: int) -> None:
        for output in self._outputs.values():
            if not output.waiting or output.waiting[0] is not post:
                continue
            output.last_status, output.next_at_ms = reply.status, now_ms
            if reply.is_good:
                output.settle("delivered")
            elif reply.is_worth_another_try and output.tries < len(RETRY_AFTER_MS):
                output.next_at_ms = now_ms + RETRY_AFTER_MS[output.tries]
                output.tries += 1
            else:
                output.settle("dropped")


def _subscription_action(audience: AudienceOrder, before: AudienceOrder | None) -> SubscriptionAction | None:
    """mParticle does not say when it sends `update`; here it tells another name."""
    if not audience.connected:
        return None if before is None else "remove"
    if before is None:
        return "add"
    return "update" if before.name != audience.name else None
