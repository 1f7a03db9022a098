"""Templates to HTML, with the few filters that they use. Everything is escaped unless it is markup of ours."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from streams.state.moments import iso, told

PACKAGE = "streams.web.console"
_COMMAND_OR_TIME = re.compile(r"(`[^`]+`|\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z)")
STATIC_TYPES = {"console.css": "text/css; charset=utf-8", "console.js": "text/javascript; charset=utf-8"}


@cache
def environment() -> Environment:
    found = Environment(
        loader=PackageLoader(PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.filters |= {
        "number": number,
        "moment": moment,
        "time_of": time_of,
        "told": told_or_dash,
        "left": left,
        "is_ahead": is_ahead,
        "dotted": dotted,
        "pretty": pretty,
        "with_commands": with_commands,
        "segment": segment,
    }
    found.globals |= {"asset": asset, "with_query": with_query}
    return found


def render(template: str, values: Mapping[str, Any]) -> str:
    return environment().get_template(template).render(values)


@cache
def static(name: str) -> bytes:
    """A file of ours. Raises `KeyError` for one that there is not."""
    if name not in STATIC_TYPES:
        raise KeyError(name)
    return (resources.files(PACKAGE) / "static" / name).read_bytes()


@cache
def asset(name: str) -> str:
    """Its address, which changes with its content: browsers keep it for a year."""
    return f"/static/{hashlib.sha256(static(name)).hexdigest()[:12]}/{name}"


def number(value: float | None) -> str:
    """Grouped, as the command line prints it; a dash for none."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def moment(value: str | int | None) -> Markup:
    """A time in UTC, as ISO text or in ms. The reader's own time is put beside it by the page's script."""
    text = iso(value) if isinstance(value, int) else value
    if not text:
        return Markup('<span class="none">–</span>')
    return Markup('<time datetime="{}">{}</time>').format(text, time_of(text))


def time_of(value: str | int) -> str:
    """A time in UTC as plain text, where no element may stand: in an option of a form."""
    parsed = datetime.fromtimestamp(value / 1000, UTC) if isinstance(value, int) else datetime.fromisoformat(value)
    return parsed.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def told_or_dash(seconds: float | None) -> str:
    """A duration in its two largest units."""
    return "–" if seconds is None else told(seconds)


def left(deadline: str | int | None, now_ms: int) -> Markup:
    """How far a time is away, as ISO text or in ms: for the script to count down."""
    if not deadline:
        return Markup('<span class="none">–</span>')
    if isinstance(deadline, str):
        deadline = round(datetime.fromisoformat(deadline).timestamp() * 1000)
    if deadline <= now_ms:
        return Markup('<strong class="now">now</strong>')
    words = f"in {told((deadline - now_ms) / 1000)}"
    return Markup('<span data-countdown="{}">{}</span>').format(iso(deadline), words)


def dotted(name: str) -> Markup:
    """A long name that a narrow screen breaks after a dot, and not within a word."""
    return Markup(".<wbr>").join(name.split("."))


def is_ahead(moment: str, now_ms: int) -> bool:
    """Whether a time, as ISO text, is in the future."""
    return datetime.fromisoformat(moment).timestamp() * 1000 > now_ms


def with_commands(sentence: str) -> Markup:
    """A sentence of an operation: its commands in backticks as code, its times as on every page."""
    parts = _COMMAND_OR_TIME.split(sentence)
    return Markup("").join(
        Markup("<code>{}</code>").format(part[1:-1]) if part.startswith("`") else moment(part) if number % 2 else part
        for number, part in enumerate(parts)
    )


def pretty(content: object) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False)


def segment(text: str) -> str:
    """Text as one part of an address."""
    return quote(text, safe="")


def with_query(path: str, **values: Any) -> str:
    """An address with these values that are not empty; a list is given several times."""
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        several = value if isinstance(value, list | tuple) else [value]
        pairs += [(name, str(one)) for one in several if one not in (None, "")]
    return f"{path}?{urlencode(pairs)}" if pairs else path
