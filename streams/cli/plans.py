"""Options of commands that make a plan and, with `--execute`, carry it out, as one argument."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from streams.cli.errors import CommandError, ExitCode
from streams.cli.output import note

_OPTIONS: dict[str, tuple[Any, object]] = {
    "execute": (
        Annotated[bool, typer.Option("--execute", help="Act; without it only the plan is printed.")],
        False,
    ),
    "plan": (
        Annotated[
            str | None,
            typer.Option("--plan", metavar="ID", help="Act only if this plan still holds, else exit with 7."),
        ],
        None,
    ),
    "reason": (
        Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is written to the audit topic.")],
        "",
    ),
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What the caller wants done with the plan; `plan_id` is the plan that must still hold.

    Raises `CommandError` where the options contradict each other.
    """

    execute: bool
    plan_id: str | None
    reason: str

    def __post_init__(self) -> None:
        if self.plan_id is not None and not self.execute:
            raise CommandError("--plan needs --execute: it names the plan to carry out", ExitCode.USAGE)


def planning(command: Callable[..., None]) -> Callable[..., None]:
    """The command, with the options of a plan in place of its argument `wish`."""

    @wraps(command)
    def run(**given: Any) -> None:
        wish = Wish(given.pop("execute"), given.pop("plan"), given.pop("reason"))
        command(**given, wish=wish)

    in_place_of(run, command, "wish", _OPTIONS)
    return run


def in_place_of(
    run: Callable[..., None], command: Callable[..., None], name: str, options: dict[str, tuple[Any, object]]
) -> None:
    """Give `run` the parameters of `command`, with these options and their defaults in place of the one named."""
    hints = get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        kind = inspect.Parameter.KEYWORD_ONLY
        if parameter.name == name:
            parameters += [
                inspect.Parameter(option, kind, default=default, annotation=annotation)
                for option, (annotation, default) in options.items()
            ]
        else:
            parameters.append(parameter.replace(kind=kind, annotation=hints[parameter.name]))
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}


def note_that_nothing_was_done(plan_id: str, also: str = "") -> None:
    """What to type for the plan to be carried out. `also` names further options that it needs."""
    note(f"nothing was done; the same command with --execute --plan {plan_id}{also} does it, if nothing changes first")
