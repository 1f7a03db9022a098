"""Customers' own properties for samples: JSON of custom events, purchases and profiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import orjson

Maker = Callable[[Random], dict[str, Any]]

SEARCHES = ("running shoes", "regenjacke", "thé vert", "プレゼント", "sofa <90 cm")
PRODUCTS = ("SKU-10021", "SKU-10022", "tea-green-250", "jacket-rain-m", "lamp_07", "ギフト券")
CATEGORIES = ("home", "garden", "Kinder", "électronique", "sale")


def _basket(random: Random) -> dict[str, Any]:
    products = random.sample(PRODUCTS, random.randint(1, 3))
    return {
        "products": products,
        "value": round(random.uniform(5, 400), 2),
        "first_basket": random.random() < 0.2,
        "delivery": {"method": random.choice(("courier", "pick-up")), "window": {"from": 9, "to": 12}},
    }


def _search(random: Random) -> dict[str, Any]:
    return {"query": random.choice(SEARCHES), "results": random.randrange(200), "filters": [], "page": 1}


def _level(random: Random) -> dict[str, Any]:
    return {"level": random.randint(1, 80), "score": random.randrange(1_000_000), "world": {"name": "Île 3"}}


def _plan(random: Random) -> dict[str, Any]:
    return {"plan": random.choice(("basic", "plus")), "months": random.choice((1, 12)), "trial": random.random() < 0.5}


def _article(random: Random) -> dict[str, Any]:
    return {
        "title": "Fünf Ideen für den Balkon",
        "tags": random.sample(CATEGORIES, 2),
        "read_share": round(random.random(), 3),
        "author": None,
    }


CUSTOM_EVENTS: Mapping[str, Maker] = {
    "added_to_basket": _basket,
    "searched": _search,
    "level reached": _level,
    "Plan selected": _plan,
    "read_article": _article,
    "opened menu": lambda _random: {},
}


def purchase_properties(random: Random) -> str:
    """JSON of the properties that a shop adds to a purchase; sometimes `{}`."""
    if random.random() < 0.2:
        return "{}"
    return _json(
        {
            "category": random.choice(CATEGORIES),
            "quantity": random.randint(1, 4),
            "gift": random.random() < 0.1,
            "discounts": [round(random.uniform(0.5, 9), 2) for _ in range(random.randrange(3))],
            "shop": {"name": "Zürich HB", "till": {"number": random.randint(1, 9)}},
        }
    )


def custom_event_properties(name: str, random: Random) -> str:
    """JSON of the properties that events of this name have."""
    return _json(CUSTOM_EVENTS[name](random))


def custom_attributes(random: Random) -> str:
    """JSON of changed attributes of a profile."""
    return _json({"favourite_category": random.choice(CATEGORIES), "loyalty_points": random.randrange(5_000)})


def message_extras(random: Random) -> str:
    """JSON of the tags that a template sets while it is rendered."""
    return _json({"offer": random.choice(("A", "B")), "recommended": random.choice(PRODUCTS)})


def _json(value: dict[str, Any]) -> str:
    return orjson.dumps(value).decode()
