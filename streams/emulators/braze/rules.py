"""What Braze refuses about one object of `/users/track`, in its words if they are known; and what it cuts.

Rules and their sources: `docs/emulators.md`. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import orjson

from streams.emulators.braze.options import Limits

ARRAYS = ("attributes", "events", "purchases")
"""The arrays of a request, in the order in which Braze applies them."""

IDENTIFIERS_REQUIRED = "'external_id', 'braze_id', 'user_alias', 'email' or 'phone' is required"
PRIMARY = ("external_id", "braze_id", "user_alias")
SUBSCRIPTION_STATES = ("opted_in", "subscribed", "unsubscribed")
GENDERS = ("M", "F", "O", "N", "P", None)

STANDARD = frozenset(
    {"alias_name", "country", "current_location", "date_of_first_session", "date_of_last_session", "dob", "email"}
    | {"email_subscribe", "email_open_tracking_disabled", "email_click_tracking_disabled", "external_id", "facebook"}
    | {"first_name", "gender", "home_city", "language", "last_name", "marked_email_as_spam_at", "phone"}
    | {"push_subscribe", "push_tokens", "subscription_groups", "time_zone", "twitter"}
)
"""Braze's standard attributes. Every other is a custom attribute."""
OWN = frozenset({*PRIMARY, "app_id", "_update_existing_only", "_merge_objects", "push_token_import"})
"""Keys of an object of `attributes` that are not attributes."""
RESERVED = {
    "events": frozenset({"time", "event_name"}),
    "purchases": frozenset({"time", "event_name", "product_id", "quantity", "price", "currency"}),
}
"""Keys that are not allowed in `properties`."""
ORDER_PLACED = "ecommerce.order_placed"
ORDER_FIELDS = ("order_id", "total_value", "currency", "products", "source")
PRODUCT_FIELDS = ("product_id", "product_name", "variant_id", "quantity", "price")

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]{2,}")
_CURRENCY = re.compile(r"[A-Za-z]{3}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def problem(array: str, item: object, limits: Limits) -> str | None:
    """The first rule that this object breaks, as the `type` of Braze's answer; None if it breaks none."""
    if not isinstance(item, dict):
        return f"'{array}' must be an array of objects"
    return _identity_problem(item, limits) or _OF[array](item, limits) or _size_problem(item, limits)


def cut(value: Any, limits: Limits, losses: list[str], place: str) -> Any:
    """The value as Braze stores it. What is cut or dropped is added to `losses`."""
    if isinstance(value, str) and len(value) > limits.text_characters_max:
        losses.append(f"{place} cut at {limits.text_characters_max} characters")
        return value[: limits.text_characters_max]
    if isinstance(value, list):
        if len(value) > limits.array_items_max:
            losses.append(f"{place} cut at {limits.array_items_max} items")
        return [cut(item, limits, losses, place) for item in value[: limits.array_items_max]]
    if isinstance(value, dict):
        return {name: cut(inner, limits, losses, f"{place}.{name}") for name, inner in value.items()}
    return value


def data_points(array: str, item: Mapping[str, Any]) -> int:
    """An estimate for legacy plans: each custom attribute, event and purchase is one."""
    if array != "attributes":
        return 1
    return sum(name not in STANDARD and name not in OWN for name in item)


def _identity_problem(item: dict[str, Any], limits: Limits) -> str | None:
    given = [name for name in PRIMARY if name in item]
    if not given and not any(name in item for name in ("email", "phone")):
        return IDENTIFIERS_REQUIRED
    if len(given) > 1:
        return "Only one of 'external_id', 'braze_id' or 'user_alias' may be given"
    if "external_id" in item:
        external_id = item["external_id"]
        if not isinstance(external_id, str) or not external_id.strip():
            return IDENTIFIERS_REQUIRED
        if len(external_id.encode(errors="surrogatepass")) > limits.external_id_bytes_max:
            return f"'external_id' must be fewer than {limits.external_id_bytes_max + 1} bytes"
    return None


def _size_problem(item: dict[str, Any], limits: Limits) -> str | None:
    try:
        size = len(orjson.dumps(item))
    except TypeError:
        return "object must be valid UTF-8"
    return None if size <= limits.object_bytes_max else f"object must not exceed {limits.object_bytes_max} bytes"


def _attributes_problem(item: dict[str, Any], limits: Limits) -> str | None:
    email = item.get("email")
    if email is not None and not (isinstance(email, str) and _EMAIL.fullmatch(email)):
        return "'email' is not a valid email address"
    for name in ("email_subscribe", "push_subscribe"):
        if name in item and item[name] not in SUBSCRIPTION_STATES:
            return f"'{name}' must be one of 'opted_in', 'subscribed' or 'unsubscribed'"
    if item.get("gender") not in GENDERS:
        return "'gender' must be one of 'M', 'F', 'O', 'N' or 'P'"
    if not _is_date(item.get("dob")):
        return "'dob' must be a date of the form YYYY-MM-DD"
    return (
        _subscription_groups_problem(item.get("subscription_groups", []))
        or _push_tokens_problem(item.get("push_tokens", []))
        or _names_problem((name for name in item if name not in OWN), limits, "attribute")
    )


def _subscription_groups_problem(groups: object) -> str | None:
    if not isinstance(groups, list):
        return "'subscription_groups' must be an array"
    for group in groups:
        if not isinstance(group, dict) or not isinstance(group.get("subscription_group_id"), str):
            return "'subscription_groups' must be objects with 'subscription_group_id' and 'subscription_state'"
        if group.get("subscription_state") not in ("subscribed", "unsubscribed"):
            return "'subscription_state' must be 'subscribed' or 'unsubscribed'"
    return None


def _push_tokens_problem(tokens: object) -> str | None:
    if not isinstance(tokens, list):
        return "'push_tokens' must be an array of objects"
    for token in tokens:
        if not isinstance(token, dict) or not all(isinstance(token.get(name), str) for name in ("app_id", "token")):
            return "'push_tokens' must be objects with 'app_id' and 'token'"
    return None


def _event_problem(item: dict[str, Any], limits: Limits) -> str | None:
    name = item.get("name")
    if not isinstance(name, str) or not name:
        return "'name' is required"
    found = _names_problem([name], limits, "name") or _time_problem(item) or _properties_problem("events", item, limits)
    if found is None and name == ORDER_PLACED:
        return _order_problem(item.get("properties"))
    return found


def _purchase_problem(item: dict[str, Any], limits: Limits) -> str | None:
    product_id = item.get("product_id")
    if not isinstance(product_id, str) or not product_id:
        return "'product_id' is required"
    if not isinstance(item.get("currency"), str) or not _CURRENCY.fullmatch(item["currency"]):
        return "'currency' must be an ISO 4217 currency code"
    if not _is_number(item.get("price")):
        return "'price' must be a number"
    quantity = item.get("quantity", 1)
    if isinstance(quantity, bool) or not isinstance(quantity, int) or not 1 <= quantity <= limits.quantity_max:
        return f"'quantity' must be an integer between 1 and {limits.quantity_max}"
    return _time_problem(item) or _properties_problem("purchases", item, limits)


def _order_problem(properties: object) -> str | None:
    """Braze checks its recommended events against their published shape."""
    if not isinstance(properties, dict):
        return f"'properties' of '{ORDER_PLACED}' is required"
    for name in ORDER_FIELDS:
        if properties.get(name) in (None, "", []):
            return f"'{name}' of '{ORDER_PLACED}' is required"
    products = properties["products"]
    if not isinstance(products, list) or not all(isinstance(each, dict) for each in products):
        return f"'products' of '{ORDER_PLACED}' must be an array of objects"
    for name in PRODUCT_FIELDS:
        if any(name not in each for each in products):
            return f"'{name}' of a product of '{ORDER_PLACED}' is required"
    return None


def _properties_problem(array: str, item: dict[str, Any], limits: Limits) -> str | None:
    properties = item.get("properties")
    if properties is None:
        return None
    if not isinstance(properties, dict) or RESERVED[array] & properties.keys():
        return "Invalid 'properties' field"
    return _names_problem(properties, limits, "property")


def _names_problem(names: Any, limits: Limits, what: str) -> str | None:
    for name in names:
        if not 1 <= len(name) <= limits.text_characters_max:
            return f"'{what}' must have between 1 and {limits.text_characters_max} characters"
        if name.startswith("$"):
            return f"'{what}' must not begin with '$'"
    return None


def _time_problem(item: dict[str, Any]) -> str | None:
    time = item.get("time")
    if time is None:
        return "'time' is required"
    try:
        datetime.fromisoformat(time)
    except (TypeError, ValueError):
        return "'time' must be a valid ISO 8601 time"
    return None


def _is_date(value: object) -> bool:
    if value is None:
        return True
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_OF: Mapping[str, Callable[[dict[str, Any], Limits], str | None]] = {
    "attributes": _attributes_problem,
    "events": _event_problem,
    "purchases": _purchase_problem,
}
