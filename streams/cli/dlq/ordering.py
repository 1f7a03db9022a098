"""`streams dlq replay` and `purge`: a plan, and with `--execute` an order to the connector's keeper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.dlq import selecting
from streams.cli.dlq.place import DeadLetters, Name, Scope, dead_letters
from streams.cli.dlq.planning import plan_json, planned, print_plan, replay_rate
from streams.cli.dlq.watching import job_json, print_job, watched
from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json

if TYPE_CHECKING:
    from streams.state.orders import Action
    from streams.state.plan import Plan
    from streams.state.selection import Selection

ANSWER_SECONDS = 20.0
"""A keeper that was killed is replaced within 15 s."""

Execute = Annotated[bool, typer.Option("--execute", help="Act; without it only the plan is printed.")]
PlanId = Annotated[
    str | None, typer.Option("--plan", metavar="ID", help="Act only if this plan still holds, else exit with 7.")
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stands in the audit topic.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait for the job to end.")]
Rate = Annotated[float | None, typer.Option("--rate", min=0.001, metavar="N", help="Letters per second.")]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to become of a plan. `rate` is in letters per second; None: as fast as Kafka takes them."""

    rate: float | None
    execute: bool
    plan_id: str | None
    reason: str
    no_wait: bool
    output: Format


@translated
def replay(
    name: Name,
    cause: selecting.Causes = None,
    since: selecting.Since = None,
    until: selecting.Until = None,
    event_type: selecting.EventTypes = None,
    fingerprint: selecting.Fingerprints = None,
    event_id: selecting.EventIds = None,
    limit: selecting.Limit = None,
    scope: Scope = None,
    again: Annotated[bool, typer.Option("--again", help="Letters that were replayed already, too.")] = False,
    rate: Rate = None,
    execute: Execute = False,
    plan: PlanId = None,
    reason: Reason = "",
    no_wait: NoWait = False,
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Plan what goes back onto the connector's topic, and with --execute send it."""
    dead = dead_letters(settings_from(config), name)
    selection = selecting.selection_of(
        dead,
        scope=scope,
        causes=cause,
        since=since,
        until=until,
        event_types=event_type,
        fingerprints=fingerprint,
        event_ids=event_id,
        limit=limit,
        again=again,
    )
    wishes = Wishes(rate or replay_rate(dead), execute, plan, reason, no_wait, output)
    _order(dead, "replay", selection, wishes)


@translated
def purge(
    name: Name,
    cause: selecting.Causes = None,
    since: selecting.Since = None,
    until: selecting.Until = None,
    event_type: selecting.EventTypes = None,
    fingerprint: selecting.Fingerprints = None,
    event_id: selecting.EventIds = None,
    limit: selecting.Limit = None,
    scope: Scope = None,
    execute: Execute = False,
    plan: PlanId = None,
    reason: Reason = "",
    no_wait: NoWait = False,
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Plan what is deleted for good, and with --execute and --reason delete it. A receipt stays."""
    dead = dead_letters(settings_from(config), name)
    selection = selecting.selection_of(
        dead,
        scope=scope,
        causes=cause,
        since=since,
        until=until,
        event_types=event_type,
        fingerprints=fingerprint,
        event_ids=event_id,
        limit=limit,
    )
    if execute and not reason.strip():
        raise CommandError("a purge is for good: say why with --reason; it stands in the receipt", ExitCode.USAGE)
    _order(dead, "purge", selection, Wishes(None, execute, plan, reason, no_wait, output))


def _order(dead: DeadLetters, action: Action, selection: Selection, wishes: Wishes) -> None:
    if wishes.plan_id is not None and not wishes.execute:
        raise CommandError("--plan is for --execute: the plan that may be carried out", ExitCode.USAGE)
    plan = planned(dead, selection, action)
    if wishes.plan_id is not None and plan.id != wishes.plan_id:
        raise CommandError(
            f"plan {wishes.plan_id} is stale: letters came or were settled since, or other options were given; now it "
            f"is plan {plan.id} with {plan.letters:,} letters",
            ExitCode.PLAN_STALE,
        )
    if not plan.letters:
        raise CommandError(_nothing(dead, plan), ExitCode.NOTHING_MATCHED)
    if not wishes.execute:
        _show(dead, plan, wishes)
        return
    if wishes.output is Format.TABLE:
        print_plan(plan, dead.name, wishes.rate)
    job_id = _ordered(dead, plan, wishes)
    if wishes.no_wait:
        _leave(dead, plan, wishes, job_id)
    else:
        _wait(dead, plan, wishes, job_id)


def _show(dead: DeadLetters, plan: Plan, wishes: Wishes) -> None:
    if wishes.output is Format.JSON:
        print_json(plan_json(plan, dead.name, wishes.rate))
        return
    print_plan(plan, dead.name, wishes.rate)
    why = " and --reason" if plan.action == "purge" else ""
    note(f"nothing was done; the same command with --execute --plan {plan.id}{why} does it, if nothing changes first")


def _ordered(dead: DeadLetters, plan: Plan, wishes: Wishes) -> str:
    """The id of the job that the keeper made of the plan."""
    from streams.adapters.state.requests import ask

    arguments = plan.to_arguments(wishes.rate, is_bound=wishes.plan_id is not None)
    answer = ask(dead.settings, dead.name, plan.action, arguments, wishes.reason, ANSWER_SECONDS)
    match answer.outcome:
        case "stale":
            raise CommandError(f"plan {plan.id} is stale: {answer.detail}", ExitCode.PLAN_STALE)
        case "refused":
            raise CommandError(f"the keeper of {dead.name} refuses: {answer.detail}", ExitCode.FAILED)
        case "done":
            return str(answer.content.get("job", ""))


def _leave(dead: DeadLetters, plan: Plan, wishes: Wishes, job_id: str) -> None:
    if wishes.output is Format.JSON:
        print_json({**plan_json(plan, dead.name, wishes.rate), "job": job_id})
        return
    print(f"job {job_id}")
    note(f"watch it with: streams dlq jobs {dead.name}")


def _wait(dead: DeadLetters, plan: Plan, wishes: Wishes, job_id: str) -> None:
    job = watched(dead, job_id)
    if wishes.output is Format.JSON:
        print_json({**plan_json(plan, dead.name, wishes.rate), "job": job_id, "outcome": job_json(job_id, job)})
    else:
        print_job(job_id, job)
    if job.status == "failed":
        raise CommandError(f"job {job_id} failed: {job.detail}", ExitCode.FAILED)
    if job.done < plan.letters:
        raise CommandError(
            f"job {job_id} is {job.status}: {job.done:,} of {plan.letters:,} letters were done", ExitCode.PARTLY_DONE
        )


def _nothing(dead: DeadLetters, plan: Plan) -> str:
    from streams.state.plan import LEFT_OUT_SENTENCES

    left = "; ".join(f"{count:,} {LEFT_OUT_SENTENCES[reason]}" for reason, count in plan.left_out.items())
    what = f"no letter of {dead.name} to {plan.action} matches"
    return f"{what}; left out: {left}" if left else f"{what}: see `streams dlq top {dead.name}`"
