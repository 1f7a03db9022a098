"""What every page is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streams.config import Settings
from streams.ports.clock import Clock
from streams.web.console.client_threads import ClientThreads
from streams.web.console.failures import PageError
from streams.web.console.history import History
from streams.web.console.sessions import User
from streams.web.console.watch import Snapshot, Watch
from streams.web.console.works import Works


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that passed the guard. `names` are the parts of the path that its route leaves open."""

    path: str
    names: Mapping[str, str]
    query: Mapping[str, Sequence[str]]
    form: Mapping[str, str]
    user: User
    is_json: bool = False

    def first(self, name: str, default: str = "") -> str:
        values = self.query.get(name)
        return values[0].strip() if values else default

    def all(self, name: str) -> tuple[str, ...]:
        """Every value that is not empty."""
        return tuple(value.strip() for value in self.query.get(name, ()) if value.strip())

    def typed(self, name: str) -> str:
        """A field of the form."""
        return self.form.get(name, "").strip()


@dataclass(frozen=True, slots=True)
class Page:
    """`content` has the fields of the command's JSON, and is all that the `.json` twin shows; `also` is for the page.

    `refresh_seconds`: without JavaScript the page is asked for again after this time; None: not by itself.
    """

    template: str
    title: str
    content: Mapping[str, Any]
    also: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    refresh_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class SeeOther:
    """The answer to an accepted order: the page that shows what came of it."""

    location: str


@dataclass(frozen=True, slots=True)
class Download:
    """A file."""

    name: str
    content_type: str
    body: bytes


Shown = Page | SeeOther | Download


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything that pages use."""

    settings: Settings
    watch: Watch
    threads: ClientThreads
    works: Works
    history: History
    clock: Clock
    say_changed: Callable[[], None]

    @property
    def snapshot(self) -> Snapshot:
        """The newest one. Raises `PageError` before the first look is over."""
        found = self.watch.snapshot
        if found is None:
            raise PageError(
                503, "Still starting", "the first look at Kafka is not over yet", "open it again in a moment"
            )
        return found

    @property
    def writes(self) -> bool:
        return self.settings.console.write

    @property
    def reveals(self) -> bool:
        return self.settings.console.reveal

    def connector(self, name: str) -> Mapping[str, Any]:
        """A connector of the snapshot. Raises `PageError` for one that the configuration lacks."""
        if name not in self.settings.connectors:
            known = ", ".join(self.settings.connectors)
            raise PageError(404, "No such connector", f"there is no connector {name}", f"connectors: {known}")
        snapshot = self.snapshot
        if name not in snapshot.connectors:
            assert snapshot.failure is not None, "a look that does not fail sees every connector"
            failure = snapshot.failure
            raise PageError(failure.status, failure.title, failure.what, failure.fix)
        return snapshot.connectors[name]
