"""mParticle's outgoing batches: identities and attributes of a user, consent, and events.

Taken: a batch, a list of batches, one message of the webhook; identities as an array or as an object; batches without
events. Source: mParticle's JSON reference and its Events API schema.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from streams.wayback.bodies.commerce import Bought, Broken, Happened, pieces
from streams.wayback.bodies.identities import Identity, identities, spelled, unreadable
from streams.wayback.bodies.taken import Taken, items_of, milliseconds, text_of
from streams.wayback.entries import DataKeys
from streams.wayback.records import Attributes, AttributesMessage, Event, Purchase

FEED_ATTRIBUTE = "mParticle Source Feed"
PLATFORMS = {"ios": "ios", "iphone": "ios", "android": "android", "web": "web", "mobileweb": "web"}
STATE_MESSAGES = frozenset({"user_attribute_change", "user_identity_change"})
"""What they say is in the batch's own identities and attributes; only deletions are theirs alone."""
_SHAPES: Mapping[str, tuple[type, str]] = {
    "events": (list, "list"),
    "user_attributes": (dict, "JSON object"),
    "deleted_user_attributes": (list, "list"),
    "consent_state": (dict, "JSON object"),
}
"""Parts of a batch. One of another shape is left out, and the batch becomes a malformed item beside its other parts."""


def take(entry: DataKeys, content: object, taken: Taken) -> None:
    """Adds the records of a body to `taken`. Raises `BadBody`."""
    for batch in items_of(content):
        if not isinstance(batch, dict):
            taken.malformed("a batch is not a JSON object", batch)
            continue
        _Batch(entry, batch if "event_type" not in batch else _of_message(batch), taken).take()


def _of_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """One message of the webhook as a batch: its user stands beside its data."""
    around = {name: value for name, value in message.items() if name not in ("event_type", "data")}
    return {**around, "events": [{"event_type": message["event_type"], "data": message.get("data")}]}


class _Batch:
    """One user's batch, as it becomes records."""

    def __init__(self, entry: DataKeys, batch: dict[str, Any], taken: Taken) -> None:
        self._entry = entry
        self._batch = batch
        self._taken = taken
        events = batch.get("events")
        self._events: list[Any] = events if isinstance(events, list) else []
        self._time_ms = milliseconds(batch.get("timestamp_unixtime_ms")) or taken.received_ms
        self._platform = _platform(batch)
        self._user = ""

    def take(self) -> None:
        given = self._batch.get("user_identities")
        found = identities(given, self._batch.get("mpid"))
        if self._is_ours():
            self._taken.skipped["loop"] += max(1, len(self._events))
            return
        if odd := unreadable(given):
            self._taken.malformed("an identity cannot be read", odd)
        user = found.get(self._entry.external_identity)
        if user is not None and user.is_hashed:
            self._taken.skipped["hashed_identity"] += 1
            return
        if not self._taken.is_usable(None if user is None else user.value, self._batch):
            return
        assert user is not None
        self._user = user.value
        self._tell_shapes()
        self._take_state(found)
        for event in self._events:
            data = event.get("data") if isinstance(event, dict) else None
            kind = event.get("event_type") if isinstance(event, dict) else None
            if not isinstance(kind, str) or not isinstance(data, dict):
                self._taken.malformed("an event has no event_type or no data", event)
            elif not isinstance(data.get("custom_attributes"), dict | None):
                self._taken.malformed("an event's custom_attributes are not a JSON object", event)
            else:
                self._take_event(kind, data)

    def _tell_shapes(self) -> None:
        """One malformed item for all parts that have another shape than theirs."""
        wrong = [
            f"{name} is not a {words}"
            for name, (shape, words) in _SHAPES.items()
            if not isinstance(self._batch.get(name), shape | None)
        ]
        if wrong:
            self._taken.malformed(f"of a batch {', '.join(wrong)}", self._batch)

    def _is_ours(self) -> bool:
        """Whether it came from Braze: sending it there would be a loop."""
        source = self._batch.get("source_info")
        partner = source.get("partner") if isinstance(source, dict) else None
        feed = self._user_attributes().get(FEED_ATTRIBUTE)
        return any(isinstance(text, str) and "braze" in text.lower() for text in (partner, feed))

    def _take_state(self, found: Mapping[str, Identity]) -> None:
        """Identities, attributes and consent, which come with every batch, as they are after it."""
        known: dict[str, Any] = {}
        email = found.get(self._entry.email_identity)
        for name, identity in (("email", email), *((kind, found.get(kind)) for kind in ("facebook", "twitter"))):
            if identity is not None and not identity.is_hashed:
                known[name] = identity.value
        self._attributes("identities", {**known, **self._lost_identities(known)})
        self._attributes("attributes", self._changed_attributes())
        self._attributes("consent", self._purposes())

    def _purposes(self) -> dict[str, bool]:
        """The GDPR purposes that the entry names; others are counted. One that cannot be read is told: a consent must
        not get lost."""
        consent = self._batch.get("consent_state")
        gdpr = consent.get("gdpr") if isinstance(consent, dict) else None
        if not isinstance(gdpr, dict | None):
            self._taken.malformed("consent_state.gdpr is not a JSON object", gdpr)
            return {}
        given: dict[str, Any] = gdpr or {}
        mine = {name: state for name, state in given.items() if name in self._entry.consent}
        self._taken.leave_out(len(given) - len(mine))
        odd = {name: state for name, state in mine.items() if not isinstance(state, dict)}
        if odd:
            self._taken.malformed("a purpose of consent_state.gdpr is not a JSON object", odd)
        return {name: state.get("consented") is True for name, state in mine.items() if name not in odd}

    def _changed_attributes(self) -> dict[str, Any]:
        """An attribute without a value is a tag, and true; what was deleted is null."""
        found = {name: True if value is None else value for name, value in self._user_attributes().items()}
        deleted = self._batch.get("deleted_user_attributes")
        gone = [name for name in deleted if isinstance(name, str)] if isinstance(deleted, list) else []
        for data in self._of_type("user_attribute_change"):
            name = data.get("user_attribute_name")
            if data.get("deleted") is True and isinstance(name, str):
                gone.append(name)
        found = {**dict.fromkeys(gone), **found}  # an attribute that the batch holds was set again
        selected = {name: value for name, value in found.items() if self._entry.selects_attribute(name)}
        self._taken.leave_out(len(found) - len(selected))
        return selected

    def _lost_identities(self, known: Mapping[str, Any]) -> dict[str, None]:
        lost: dict[str, None] = {}
        for data in self._of_type("user_identity_change"):
            old, new = data.get("old"), data.get("new")
            kind = old.get("identity_type") if isinstance(old, dict) else None
            if not isinstance(kind, str) or (isinstance(new, dict) and new.get("identity")):
                continue
            name = "email" if spelled(kind) == self._entry.email_identity else spelled(kind)
            if name in ("email", "facebook", "twitter") and name not in known:
                lost[name] = None
        return lost

    def _user_attributes(self) -> dict[str, Any]:
        found = self._batch.get("user_attributes")
        return found if isinstance(found, dict) else {}

    def _of_type(self, kind: str) -> Iterator[dict[str, Any]]:
        for event in self._events:
            if isinstance(event, dict) and event.get("event_type") == kind and isinstance(event.get("data"), dict):
                yield event["data"]

    def _take_event(self, kind: str, data: dict[str, Any]) -> None:
        properties = data.get("custom_attributes")
        given: dict[str, Any] = properties if isinstance(properties, dict) else {}
        entry = self._entry
        match kind:
            case "custom_event":
                self._event(kind, data, data.get("event_name"), given)
            case "screen_view":
                name = text_of(data.get("screen_name")) or text_of(data.get("activity_name"))
                self._event(kind, data, entry.screen_prefix + name if name else None, given, selected_by=name)
            case "session_start" | "session_end" if entry.sessions:
                session = text_of(data.get("session_uuid")) or text_of(data.get("session_id"))
                name = "Session Start" if kind == "session_start" else "Session End"
                self._event(kind, data, name, {"session_id": session} if session else {})
            case "commerce_event":
                self._commerce(data)
            case "opt_out":
                self._attributes("opt_out", {"opted_out": data.get("is_opted_out") is True}, data)
            case "push_registration" if entry.app_ids and data.get("register") is not False:
                device = self._batch.get("mp_deviceid")
                token = {"token": text_of(data.get("registration_token")), "device_id": text_of(device)}
                self._attributes("push_registration", {name: text for name, text in token.items() if text}, data)
            case _ if kind in STATE_MESSAGES:
                pass
            case _:
                self._taken.skipped["not_mapped"] += 1

    def _event(
        self,
        kind: str,
        data: dict[str, Any],
        name: object,
        properties: Mapping[str, Any],
        *,
        selected_by: object = None,
    ) -> None:
        if not isinstance(name, str) or not name.strip():
            self._taken.malformed(f"an event of type {kind} has no name", data)
            return
        if not self._is_selected(kind, selected_by if isinstance(selected_by, str) else name):
            return
        self._taken.put(self._event_record(data, Happened(name, properties), 0), data)

    def _commerce(self, data: dict[str, Any]) -> None:
        entry = self._entry
        number = 0
        for number, piece in enumerate(pieces(data, entry.purchases_as, bundled=entry.bundle_commerce), 1):
            match piece:
                case Broken(reason, item):
                    self._taken.malformed(reason, item)
                case Happened(name):
                    if self._is_selected("commerce_event", name):
                        self._taken.put(self._event_record(data, piece, number), data)
                case Bought():
                    if self._is_selected("commerce_event", "purchase"):
                        self._taken.put(self._purchase_record(data, piece, number), data)
        if number == 0:
            self._taken.skipped["not_mapped"] += 1

    def _is_selected(self, kind: str, name: str) -> bool:
        if self._entry.selects_event(name, kind):
            return True
        self._taken.skipped["not_selected"] += 1
        return False

    def _event_record(self, data: dict[str, Any], event: Happened, number: int) -> Event:
        properties = orjson.dumps(event.properties).decode()
        return Event(**self._common(data, number), name=event.name, properties=properties, platform=self._platform)

    def _purchase_record(self, data: dict[str, Any], bought: Bought, number: int) -> Purchase:
        return Purchase(
            **self._common(data, number),
            product_id=bought.product_id,
            currency=bought.currency,
            price=bought.price,
            quantity=bought.quantity,
            properties=orjson.dumps(bought.properties).decode(),
            platform=self._platform,
        )

    def _common(self, data: dict[str, Any], number: int) -> dict[str, Any]:
        """The id is the message's own, so that the vendor's retry has the same; with `/n` where there are several."""
        own = text_of(data.get("message_id")) or text_of(data.get("source_message_id"))
        time_ms = milliseconds(data.get("timestamp_unixtime_ms")) or self._time_ms
        return {
            "id": (own or self._hash(data)) + (f"/{number}" if number else ""),
            "entry": self._taken.entry,
            "external_user_id": self._user,
            "time_ms": time_ms,
            "received_ms": self._taken.received_ms,
        }

    def _attributes(self, message: AttributesMessage, changes: Mapping[str, Any], data: Any = None) -> None:
        if not changes:
            return
        source = self._batch if data is None else data
        common = self._common(source, 0)
        own = next((text for key in ("batch_id", "source_request_id") if (text := text_of(self._batch.get(key)))), None)
        if data is None:
            common |= {"id": f"{own or self._hash(self._batch)}/{message}", "time_ms": self._time_ms}
        text = orjson.dumps(changes).decode()
        self._taken.put(Attributes(**common, changes=text, message_type=message, platform=self._platform), source)

    def _hash(self, content: object) -> str:
        body = orjson.dumps([self._user, content], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(body).hexdigest()[:32]


def _platform(batch: Mapping[str, Any]) -> str | None:
    device = batch.get("device_info")
    name = device.get("platform") if isinstance(device, dict) else None
    return PLATFORMS.get(name.lower()) if isinstance(name, str) else None
