"""Calls of Mixpanel's own SDKs: events in the field `data` of a form or a query, and short answers. Pure."""

from __future__ import annotations

import base64
import binascii
import dataclasses
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson

from streams.emulators.bodies import Unreadable
from streams.emulators.call import Answer, Call

FORM = "application/x-www-form-urlencoded"
FIELDS_MAX = 20
"""The most fields of a form. The SDKs send five."""
TEXT = {"Content-Type": "text/plain"}


def is_form(call: Call) -> bool:
    """Whether the events are in a field `data`."""
    content_type = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    return content_type == FORM or (call.method == "GET" and "data" in call.query)


def fields_of(call: Call, body: bytes) -> dict[str, str]:
    """The fields of the query and those of the form. Raises `Unreadable`."""
    if call.method == "GET":
        return dict(call.query)
    try:
        form = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        raise Unreadable("body is not a valid form") from None
    return {**call.query, **dict(form)}


def unfolded(call: Call, fields: Mapping[str, str]) -> Call:
    """The same call with the events of the field `data` as a JSON array, and the other fields as its query.

    Raises `Unreadable`.
    """
    query = {name: value for name, value in fields.items() if name != "data"}
    events = _events(fields.get("data", ""))
    return dataclasses.replace(
        call, query=query, body=orjson.dumps(events), headers={"content-type": "application/json"}
    )


def short(answer: Answer, query: Mapping[str, str]) -> Answer:
    """`1` or `0`, as text; with `verbose=1` as JSON with the reason."""
    is_taken = answer.status == 200
    if query.get("verbose") == "1":
        error = None if is_taken else orjson.loads(answer.body).get("error")
        return dataclasses.replace(answer, body=orjson.dumps({"error": error, "status": int(is_taken)}))
    return dataclasses.replace(answer, body=b"1" if is_taken else b"0", headers={**answer.headers, **TEXT})


def _events(data: str) -> list[Any]:
    """One event or a list of them, in JSON, plain or in base64."""
    text = data.strip()
    if not text.startswith(("[", "{")):
        try:
            text = base64.b64decode(text.replace("-", "+").replace("_", "/") + "==").decode()
        except (binascii.Error, ValueError):
            raise Unreadable("'data' is neither JSON nor base64 of it") from None
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Unreadable("'data' is not valid JSON") from None
    return found if isinstance(found, list) else [found]
