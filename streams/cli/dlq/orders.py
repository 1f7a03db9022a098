"""`streams dlq replay` and `purge`: a plan, and with `--execute` an order to the connector's keeper."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.dlq.jobs import print_job, watched
from streams.cli.dlq.options import CLIENT_ID, Again, Name, selecting
from streams.cli.dlq.progress import progress
from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json, print_table, told

if TYPE_CHECKING:
    from streams.config import Settings
    from streams.operations.dead_letters.filters import Filters
    from streams.operations.dead_letters.plans import OrderPlan
    from streams.operations.installation import Installation
    from streams.state.orders import Action

Execute = Annotated[bool, typer.Option("--execute", help="Act; without it only the plan is printed.")]
PlanId = Annotated[
    str | None, typer.Option("--plan", metavar="ID", help="Act only if this plan still holds, else exit with 7.")
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is written to the audit topic.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait for the job to end.")]
Rate = Annotated[float | None, typer.Option("--rate", min=0.001, metavar="N", help="Letters per second.")]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to become of a plan."""

    execute: bool
    plan_id: str | None
    reason: str
    no_wait: bool
    output: Format
    rate: float | None = None


@translated
@selecting
def replay(
    name: Name,
    filters: Any,
    again: Again = False,
    rate: Rate = None,
    execute: Execute = False,
    plan: PlanId = None,
    reason: Reason = "",
    no_wait: NoWait = False,
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Plan which letters are sent again; with --execute send them."""
    wishes = Wishes(execute, plan, reason, no_wait, output, rate)
    _order(settings_from(config, reads_secrets=False), name, "replay", replace(filters, again=again), wishes)


@translated
@selecting
def purge(
    name: Name,
    filters: Any,
    execute: Execute = False,
    plan: PlanId = None,
    reason: Reason = "",
    no_wait: NoWait = False,
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Plan which letters are deleted for good; with --execute and --reason delete them. A receipt stays."""
    if execute and not reason.strip():
        raise CommandError("a purge is for good: say why with --reason; the receipt keeps it", ExitCode.USAGE)
    _order(
        settings_from(config, reads_secrets=False),
        name,
        "purge",
        filters,
        Wishes(execute, plan, reason, no_wait, output),
    )


def _order(settings: Settings, name: str, action: Action, filters: Filters, wishes: Wishes) -> None:
    from streams.cli.assembly.installation import connected
    from streams.operations.dead_letters.plans import planned

    if wishes.plan_id is not None and not wishes.execute:
        raise CommandError("--plan needs --execute: it names the plan to carry out", ExitCode.USAGE)
    with connected(settings, CLIENT_ID) as installation:
        with progress("read") as report:
            plan = planned(
                installation, name, action, filters, rate=wishes.rate, expected=wishes.plan_id, report=report
            )
        for warning in plan.warnings:
            note(f"warning: {warning}")
        if not wishes.execute:
            _show(plan, wishes)
        else:
            _execute(installation, plan, wishes)


def _show(plan: OrderPlan, wishes: Wishes) -> None:
    if wishes.output is Format.JSON:
        print_json(plan.to_json())
        return
    _print_plan(plan)
    why = " and --reason" if plan.plan.action == "purge" else ""
    identity = plan.plan.id
    note(f"nothing was done; the same command with --execute --plan {identity}{why} does it, if nothing changes first")


def _execute(installation: Installation, plan: OrderPlan, wishes: Wishes) -> None:
    from streams.cli.actor import who
    from streams.operations.dead_letters.jobs import order

    if wishes.output is Format.TABLE:
        _print_plan(plan)
    is_bound = wishes.plan_id is not None
    job_id = order(installation, plan, who=who(), reason=wishes.reason, is_bound=is_bound)
    if wishes.no_wait:
        _leave(plan, wishes, job_id)
    else:
        _wait(installation, plan, wishes, job_id)


def _leave(plan: OrderPlan, wishes: Wishes, job_id: str) -> None:
    if wishes.output is Format.JSON:
        print_json({**plan.to_json(), "job": job_id})
        return
    print(f"job {job_id}")
    note(f"watch it with: streams dlq jobs {plan.connector}")


def _wait(installation: Installation, plan: OrderPlan, wishes: Wishes, job_id: str) -> None:
    named = watched(installation, plan.connector, job_id)
    if wishes.output is Format.JSON:
        print_json({**plan.to_json(), "job": job_id, "outcome": named.to_json()})
    else:
        print_job(named)
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
