"""What one request to the receiver is answered, and which records it becomes: everything but HTTP and Kafka. Pure.

The answer holds only once the records are in Kafka: its server commits first.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import orjson

from streams.values import Secret
from streams.wayback.bodies import cohorts, events, firehose
from streams.wayback.bodies.audiences import lines, take_kinesis
from streams.wayback.bodies.taken import BadBody, Taken, TooManyItems, require_few_items
from streams.wayback.entries import Entry, Firehose, MixpanelCohorts, MParticleAudiences, MParticleEvents


class KeysUnreadable(Exception):
    """No key of an entry can be read: no request can be accepted, and the vendor must try again."""


@dataclass(frozen=True, slots=True)
class Reception:
    """An answer, and what has to be in Kafka before it is given."""

    status: int
    content: Mapping[str, Any]
    taken: Taken | None = None


def is_admitted(entry: Entry, authorization: str) -> bool | None:
    """Whether the `Authorization` header opens the entry; None: the key is in the body. Raises `KeysUnreadable`.

    Compared in constant time, and before the body is read.
    """
    match entry:
        case MixpanelCohorts():
            scheme, _, encoded = authorization.partition(" ")
            given = encoded.strip() if scheme.lower() == "basic" else ""
            passwords = _readable(entry.auth.passwords)
            return _is_one_of(given, [_basic(entry.auth.user, password) for password in passwords])
        case Firehose() if entry.key_setting:
            return None
        case MParticleEvents() | Firehose() | MParticleAudiences():
            scheme, _, key = authorization.partition(" ")
            return _is_one_of(key.strip() if scheme.lower() == "bearer" else authorization, _readable(entry.keys))
        case _:
            assert_never(entry)


def receive(name: str, entry: Entry, body: bytes, received_ms: int, request: str) -> Reception:
    """The answer to an inflated body of a request whose header was admitted. Raises `KeysUnreadable`."""
    taken = Taken(name, received_ms, request)
    try:
        return _received(entry, body, taken)
    except BadBody as error:
        return Reception(error.status, _refusal(entry, str(error), error.status))


def unauthorised(entry: Entry) -> Reception:
    return Reception(401, _refusal(entry, "wrong or missing key", 401))


def _received(entry: Entry, body: bytes, taken: Taken) -> Reception:
    match entry:
        case MixpanelCohorts():
            cohorts.take(entry, _json(body), taken)
            return Reception(200, taken.answer, taken)
        case MParticleEvents():
            events.take(entry, _json(body), taken)
            return Reception(202, {}, taken)
        case MParticleAudiences():
            return _kinesis(entry, lines(body), taken)
        case Firehose():
            content = _json(body)
            if entry.key_setting and not _is_one_of(_setting(content, entry.key_setting), _readable(entry.keys)):
                return unauthorised(entry)
            firehose.take(entry, content, taken)
            return Reception(200, taken.answer, taken)
        case _:
            assert_never(entry)


def _kinesis(entry: MParticleAudiences, content: object, taken: Taken) -> Reception:
    """Records as they are, or in the envelope of Amazon's HTTP endpoints, which is answered in its own shape."""
    if not isinstance(content, dict) or "requestId" not in content or not isinstance(content.get("records"), list):
        take_kinesis(entry, content, taken)
        return Reception(202, {}, taken)
    for item in content["records"]:
        _take_enveloped(entry, item, taken)
    return Reception(200, {"requestId": content["requestId"], "timestamp": taken.received_ms}, taken)


def _take_enveloped(entry: MParticleAudiences, item: object, taken: Taken) -> None:
    encoded = item.get("data") if isinstance(item, dict) else None
    try:
        found = lines(base64.b64decode(encoded, validate=True)) if isinstance(encoded, str) else None
    except TooManyItems:
        raise
    except (binascii.Error, BadBody):
        found = None
    if found is None:
        taken.malformed("a record of the envelope is not JSON in base64", item)
    else:
        take_kinesis(entry, found if isinstance(found, list) else [found], taken)


def _refusal(entry: Entry, message: str, code: int = 400) -> Mapping[str, Any]:
    """In Mixpanel's shape for Mixpanel, which shows it to people."""
    if isinstance(entry, MixpanelCohorts):
        return {"status": "failure", "error": {"message": message, "code": code}}
    return {"error": message}


def _json(body: bytes) -> object:
    require_few_items(body)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadBody("the body is not JSON") from None


def _setting(content: object, name: str) -> str:
    """The account setting that carries the key; empty where there is none."""
    account = content.get("account") if isinstance(content, dict) else None
    settings = account.get("account_settings") if isinstance(account, dict) else None
    value = settings.get(name) if isinstance(settings, dict) else None
    return value if isinstance(value, str) else ""


def _readable(keys: Sequence[Secret]) -> list[str]:
    """The keys that can be read now; one of two may be gone while it is changed."""
    found = []
    for key in keys:
        try:
            found.append(key.reveal())
        except ValueError:
            continue
    if not found:
        raise KeysUnreadable
    return found


def _is_one_of(given: str, keys: Sequence[str]) -> bool:
    """Every key is compared, so that the time tells nothing."""
    said = given.encode(errors="surrogateescape")  # a header may hold any bytes
    return sum(hmac.compare_digest(said, key.encode()) for key in keys) > 0


def _basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()
