"""Options that the commands of `streams dlq` share, and those that select letters as one argument."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.options import connector_names_and
from streams.cli.plans import in_place_of

if TYPE_CHECKING:
    from streams.operations.dead_letters.filters import Filters

CLIENT_ID = "streams-dlq"

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="The connector, or `source` for undecodable source records.",
        autocompletion=connector_names_and("source"),
    ),
]
Again = Annotated[bool, typer.Option("--again", help="Also letters that were replayed already.")]

_FILTERS: dict[str, Any] = {
    "cause": Annotated[
        list[str] | None, typer.Option("--cause", metavar="CAUSE", help="Only letters with this cause.")
    ],
    "since": Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Parked at or after this: a time, a day, or how long ago (`2h`)."),
    ],
    "until": Annotated[
        str | None,
        typer.Option("--until", metavar="TIME", help="Parked before this: a time, a day, or how long ago (`2h`)."),
    ],
    "event_type": Annotated[
        list[str] | None, typer.Option("--event-type", metavar="TYPE", help="Only this event type, or glob in quotes.")
    ],
    "fingerprint": Annotated[
        list[str] | None, typer.Option("--fingerprint", metavar="DIGITS", help="Only this group of `dlq top`.")
    ],
    "event_id": Annotated[
        list[str] | None, typer.Option("--event-id", metavar="ID", help="Only the event with this id.")
    ],
    "limit": Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="At most so many letters.")],
    "scope": Annotated[
        str | None,
        typer.Option("--scope", metavar="SCOPE", help="The letters of a credential scope, instead of rejected ones."),
    ],
}


def selecting(command: Callable[..., None]) -> Callable[..., None]:
    """The command, with the options that select letters in place of its argument `filters`."""

    @wraps(command)
    def run(**given: Any) -> None:
        command(**{name: value for name, value in given.items() if name not in _FILTERS}, filters=_filters(given))

    in_place_of(run, command, "filters", {name: (option, None) for name, option in _FILTERS.items()})
    return run


def _filters(given: dict[str, Any]) -> Filters:
    from streams.operations.dead_letters.filters import Filters

    return Filters(
        causes=tuple(given["cause"] or ()),
        since=given["since"],
        until=given["until"],
        event_types=tuple(given["event_type"] or ()),
        fingerprints=tuple(given["fingerprint"] or ()),
        event_ids=tuple(given["event_id"] or ()),
        limit=given["limit"],
        scope=given["scope"],
    )
