"""A commerce event of mParticle as purchases or events of Braze: one record for each object that Braze will judge.

Source of names and properties: mParticle's page on its Braze integration, and its own kits for Braze.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from streams.wayback.bodies.taken import text_of

QUANTITY_MAX = 100
"""Of one purchase in Braze; more pieces are several purchases."""
PURCHASES_MAX = 1_000
"""Of one product: a hundred thousand pieces are a mistake of the sender."""
ORDER_PLACED = "ecommerce.order_placed"
CURRENCY = "USD"

PurchasesAs = Literal["purchase", "order_placed", "event"]
_PRODUCT = {
    "id": "Id", "name": "Name", "brand": "Brand", "category": "Category", "variant": "Variant", "price": "Price",
    "quantity": "Quantity", "coupon_code": "Coupon Code", "position": "Position",
    "total_product_amount": "Total Product Amount",
}  # fmt: skip
_PURCHASED = {name: _PRODUCT[name] for name in ("name", "category", "brand", "total_product_amount")}
_ACTION = {
    "transaction_id": "Transaction Id", "total_amount": "Total Amount", "tax_amount": "Tax Amount",
    "shipping_amount": "Shipping Amount",
}  # fmt: skip
_PROMOTION = {"id": "Id", "name": "Name", "creative": "Creative", "position": "Position"}


@dataclass(frozen=True, slots=True)
class Bought:
    """One purchase."""

    product_id: str
    currency: str
    price: float
    quantity: int
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Happened:
    """One event."""

    name: str
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Broken:
    """An item that lacks what Braze asks for."""

    reason: str
    item: object


Piece = Bought | Happened | Broken


def pieces(data: Mapping[str, Any], purchases_as: PurchasesAs, *, bundled: bool) -> Iterator[Piece]:
    """What a commerce event's data become; nothing where it holds no action, promotion or impression."""
    yield from _strays(data)
    custom = _object(data.get("custom_attributes"))
    action = _object(data.get("product_action"))
    if action:
        yield from _product_action(action, data, custom, purchases_as, bundled=bundled)
    promotion = _object(data.get("promotion_action"))
    for each in _objects(promotion.get("promotions")):
        yield Happened(f"eCommerce - {promotion.get('action')} - Item", {**_named(each, _PROMOTION), **custom})
    for impression in _objects(data.get("product_impressions")):
        listed = text_of(impression.get("product_impression_list"))
        for product in _objects(impression.get("products")):
            extra = {"Product Impression List": listed} if listed else {}
            yield Happened("eCommerce - Impression - Item", {**_product(product), **extra, **custom})


def _strays(data: Mapping[str, Any]) -> Iterator[Broken]:
    """What stands where an object or a list of objects has to stand."""
    for name in ("product_action", "promotion_action"):
        if not isinstance(data.get(name), dict | None):
            yield Broken(f"{name} is not a JSON object", data)
    impressions = [(each, "products") for each in _objects(data.get("product_impressions"))]
    action, promotion = _object(data.get("product_action")), _object(data.get("promotion_action"))
    lists = [(action, "products"), (promotion, "promotions"), (data, "product_impressions"), *impressions]
    for holder, name in lists:
        found = holder.get(name)
        if not isinstance(found, list | None):
            yield Broken(f"{name} is not a list", holder)
        for each in found if isinstance(found, list) else ():
            if not isinstance(each, dict):
                yield Broken(f"one of {name} is not a JSON object", each)


def _product_action(
    action: Mapping[str, Any],
    data: Mapping[str, Any],
    custom: Mapping[str, Any],
    purchases_as: PurchasesAs,
    *,
    bundled: bool,
) -> Iterator[Piece]:
    kind = text_of(action.get("action")) or "unknown"
    products = _objects(action.get("products"))
    currency = text_of(data.get("currency_code")) or CURRENCY
    if kind == "purchase" and purchases_as == "purchase":
        for product in products:
            yield from _purchases(product, action, currency)
    elif kind == "purchase" and purchases_as == "order_placed":
        yield _order(action, products, currency)
    elif bundled:
        bundle = {**_named(action, _ACTION), **custom, "products": [_product(each) for each in products]}
        yield Happened(f"eCommerce - {kind}", bundle)
    else:
        for product in products:
            yield Happened(f"eCommerce - {kind} - Item", {**_product(product), **custom})
        if kind == "refund":
            yield Happened("eCommerce - refund - Total", {**_named(action, _ACTION), **custom})


def _purchases(product: Mapping[str, Any], action: Mapping[str, Any], currency: str) -> Iterator[Bought | Broken]:
    product_id, price = text_of(product.get("id")), _number(product.get("price"))
    quantity = _whole(1 if product.get("quantity") is None else product["quantity"])
    if not product_id:
        yield Broken("a purchased product has no id", product)
    elif price is None:
        yield Broken("a purchased product has no price", product)
    elif quantity is None or not 1 <= quantity <= QUANTITY_MAX * PURCHASES_MAX:
        yield Broken("a purchased product's quantity is not a whole number from 1 to 100,000", product)
    else:
        custom = _object(product.get("custom_attributes"))
        properties = {**_named(product, _PURCHASED), **_named(action, _ACTION), **custom}
        for start in range(0, quantity, QUANTITY_MAX):
            yield Bought(product_id, currency, price, min(QUANTITY_MAX, quantity - start), properties)


def _order(action: Mapping[str, Any], products: list[dict[str, Any]], currency: str) -> Happened | Broken:
    """Braze's recommended event. It asks for an order's id, and for products with a name, a variant and a price."""
    order_id = text_of(action.get("transaction_id"))
    if not order_id:
        return Broken("a purchase has no transaction id, and an order needs one", action)
    listed: list[dict[str, Any]] = []
    for product in products:
        product_id, price = text_of(product.get("id")), _number(product.get("price"))
        if not product_id or price is None:
            return Broken("a purchased product has no id or no price", action)
        listed.append(
            {
                "product_id": product_id,
                "product_name": text_of(product.get("name")) or product_id,
                "variant_id": text_of(product.get("variant")) or product_id,
                "quantity": _whole(product.get("quantity", 1)) or 1,
                "price": price,
            }
        )
    if not listed:
        return Broken("a purchase has no products, and an order needs one", action)
    total = _number(action.get("total_amount"))
    if total is None:
        total = round(sum(each["price"] * each["quantity"] for each in listed), 6)
    order = {"order_id": order_id, "total_value": total, "currency": currency, "source": "mparticle"}
    amounts = {"tax": _number(action.get("tax_amount")), "shipping": _number(action.get("shipping_amount"))}
    given = {name: amount for name, amount in amounts.items() if amount is not None}
    return Happened(ORDER_PLACED, {**order, **given, "products": listed})


def _product(product: Mapping[str, Any]) -> dict[str, Any]:
    return {**_named(product, _PRODUCT), **_object(product.get("custom_attributes"))}


def _named(content: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {name: content[key] for key, name in names.items() if content.get(key) is not None}


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _number(value: object) -> float | None:
    """A price or amount, as a number or as text."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _whole(value: object) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number == int(number) else None
