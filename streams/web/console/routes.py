"""Addresses of pages: patterns with names in braces, and the page that each leads to."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from streams.web.console.desk import Asked, Desk, Shown

Handler = Callable[[Desk, Asked], Awaitable[Shown]]
Rule = Literal["reads", "writes", "reveals", "asks"]
"""What an address does: `writes` needs `console.write`, `reveals` needs `console.reveal`; `asks` is a look-up that is
sent as a form, so that what is looked for stands in no address."""
_NAME = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Route:
    """`pattern` like `/connectors/{name}`."""

    method: Literal["GET", "POST"]
    pattern: str
    handler: Handler
    rule: Rule = "reads"

    def matches(self, path: str) -> Mapping[str, str] | None:
        found = re.fullmatch(_NAME.sub(r"(?P<\1>[^/]+)", self.pattern), path)
        return None if found is None else {name: unquote(value) for name, value in found.groupdict().items()}


@dataclass(frozen=True, slots=True)
class Found:
    """The route of a request, the names in its path, and whether JSON is wanted."""

    route: Route
    names: Mapping[str, str]
    is_json: bool


class Routes:
    """All addresses of the console."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes

    def find(self, method: str, path: str) -> Found | None:
        """The route of a path as it was sent; `/index.json` is the twin of `/`. None where there is none."""
        method = "GET" if method == "HEAD" else method
        is_json = method == "GET" and path.endswith(".json")
        bare = path.removesuffix(".json") if is_json else path
        bare = "/" if is_json and bare == "/index" else bare
        for route in self._routes:
            names = route.matches(bare) if route.method == method else None
            if names is not None:
                return Found(route, names, is_json)
        return None

    def methods(self, path: str) -> list[str]:
        """The methods that a path takes."""
        return [method for method in ("GET", "POST") if self.find(method, path) is not None]
