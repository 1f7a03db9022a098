"""`streams dlq replay` and `purge`: a plan, and with `--execute` an order to the connector's keeper."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.dlq.jobs import note_outcome, print_job, watched
from streams.cli.dlq.options import CLIENT_ID, Again, Name, selecting
from streams.cli.dlq.progress import progress
from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json, print_table, told
from streams.cli.plans import Wish, note_that_nothing_was_done, planning

if TYPE_CHECKING:
    from streams.config import Settings
    from streams.operations.dead_letters.filters import Filters
    from streams.operations.dead_letters.plans import OrderPlan
    from streams.operations.installation import Installation
    from streams.state.orders import Action

NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait for the job to end.")]
Rate = Annotated[float | None, typer.Option("--rate", min=0.001, metavar="N", help="Letters per second.")]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the caller wants done with the plan, at which rate, and what it wants to see of it."""

    wish: Wish
    no_wait: bool
    output: Format
    rate: float | None = None


@translated
@planning
@selecting
def replay(
    name: Name,
    filters: Any,
    again: Again = False,
    rate: Rate = None,
    wish: Any = None,
    no_wait: NoWait = False,
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Plan which letters are sent again; with --execute send them."""
    asked = _Asked(wish, no_wait, output, rate)
    _order(settings_from(config, reads_secrets=False), name, "replay", replace(filters, again=again), asked)


@translated
@planning
@selecting
def purge(
    name: Name,
    filters: Any,
    wish: Any = None,
    no_wait: NoWait = False,
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Plan which letters are deleted for good; with --execute and --reason delete them. A receipt stays."""
    if wish.execute and not wish.reason.strip():
        raise CommandError(
            "a purge deletes for good: give the reason with --reason; it is written to the receipt", ExitCode.USAGE
        )
    _order(settings_from(config, reads_secrets=False), name, "purge", filters, _Asked(wish, no_wait, output))


def _order(settings: Settings, name: str, action: Action, filters: Filters, asked: _Asked) -> None:
    from streams.cli.assembly.installation import connected
    from streams.operations.dead_letters.plans import planned

    with connected(settings, CLIENT_ID) as installation:
        with progress("read") as report:
            plan = planned(
                installation, name, action, filters, rate=asked.rate, expected=asked.wish.plan_id, report=report
            )
        for warning in plan.warnings:
            note(f"warning: {warning}")
        if not asked.wish.execute:
            _show(plan, asked)
        else:
            _execute(installation, plan, asked)


def _show(plan: OrderPlan, asked: _Asked) -> None:
    if asked.output is Format.JSON:
        print_json(plan.to_json())
        return
    _print_plan(plan)
    why = " and --reason" if plan.plan.action == "purge" else ""
    note_that_nothing_was_done(plan.plan.id, why)


def _execute(installation: Installation, plan: OrderPlan, asked: _Asked) -> None:
    from streams.cli.actor import who
    from streams.operations.dead_letters.jobs import order

    if asked.output is Format.TABLE:
        _print_plan(plan)
    is_bound = asked.wish.plan_id is not None
    job_id = order(installation, plan, who=who(), reason=asked.wish.reason, is_bound=is_bound)
    if asked.no_wait:
        _leave(plan, asked, job_id)
    else:
        _wait(installation, plan, asked, job_id)


def _leave(plan: OrderPlan, asked: _Asked, job_id: str) -> None:
    if asked.output is Format.JSON:
        print_json({**plan.to_json(), "job": job_id})
        return
    print(f"job {job_id}")
    note(f"watch it with: streams dlq jobs {plan.connector}")


def _wait(installation: Installation, plan: OrderPlan, asked: _Asked, job_id: str) -> None:
    from streams.config.names import SOURCE

    named = watched(installation, plan.connector, job_id)
    if asked.output is Format.JSON:
        print_json({**plan.to_json(), "job": job_id, "outcome": named.to_json()})
    else:
        print_job(named)
        if named.job.action == "replay" and named.job.done and plan.connector != SOURCE:
            note_outcome(plan.connector, job_id)
    job, letters = named.job, plan.plan.letters
    if job.status == "failed":
        raise CommandError(f"job {job_id} failed: {job.detail}", ExitCode.FAILED)
    if job.done < letters:
        raise CommandError(
            f"job {job_id} is {job.status}: {job.done:,} of {letters:,} letters were done", ExitCode.PARTLY_DONE
        )


def _print_plan(ordered: OrderPlan) -> None:
    """The plan as a table, with what is left out and how long it takes."""
    from streams.state.plan import LEFT_OUT_SENTENCES

    plan = ordered.plan
    print_table(
        ("LETTERS", "CAUSE", "EVENT TYPE"),
        ((count, cause, event_type) for (cause, event_type), count in plan.most_first()),
    )
    for reason, count in plan.left_out.items():
        note(f"left out: {count:,} {LEFT_OUT_SENTENCES[reason]}")
    estimate, rate = ordered.estimate_seconds, ordered.rate
    took = "" if estimate is None else f", about {told(estimate)} at {rate:,.0f}/s"
    note(f"plan {plan.id}: {plan.action} {plan.letters:,} letters of {ordered.connector}{took}")
