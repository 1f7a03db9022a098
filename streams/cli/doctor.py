"""`streams doctor`: is this going to work here? Configuration, Kafka, topics, processes, credentials: each with the
mend. It changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

import typer

from streams.cli.errors import ExitCode, translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json, print_table

if TYPE_CHECKING:
    from streams.adapters.kafka.admin import Administration
    from streams.config import Connector, Settings
    from streams.state.standing import Standing

MINUTES_PER_DAY = 1_440
ORDER = (ExitCode.USAGE, ExitCode.UNREACHABLE, ExitCode.CREDENTIALS, ExitCode.FAILED)
"""Of several problems the first of these is the exit code."""

Outcome = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at and what was found; a problem has an exit code of its own."""

    what: str
    outcome: Outcome
    detail: str
    mend: str = ""
    exit_code: ExitCode = ExitCode.DONE


@translated
def doctor(config: ConfigPath = None, output: OutputFormat = Format.TABLE) -> None:
    """Look at everything that must work here, and name the mend of what does not.

    Exits with the first of 2 (configuration), 5 (Kafka or a destination does not answer), 4 (credentials), 1 (topics).
    """
    from streams.adapters.kafka.admin import Administration

    settings = settings_from(config)
    administration = Administration(settings.kafka.client_config("streams-doctor"))
    findings = list(_findings(settings, administration))
    if output is Format.JSON:
        print_json({"findings": [_json(finding) for finding in findings]})
    else:
        print_table(("LOOKED AT", "FOUND", "DETAIL"), ((one.what, one.outcome, one.detail) for one in findings))
        for finding in findings:
            if finding.mend:
                note(f"{finding.what}: {finding.mend}")
    codes = {finding.exit_code for finding in findings}
    raise typer.Exit(next((code for code in ORDER if code in codes), ExitCode.DONE))


def _findings(settings: Settings, administration: Administration) -> Iterator[Finding]:
    from streams.adapters.state.standings import read_standings
    from streams.config.warnings import warnings

    yield Finding("configuration", "ok", f"{len(settings.connectors)} connectors")
    for remark in warnings(settings):
        yield Finding("configuration", "warning", str(remark))
    brokers = administration.brokers()
    yield Finding("kafka", "ok", f"{brokers} brokers answer at {settings.kafka.bootstrap_servers}")
    yield from _topics(settings, administration, brokers)
    yield from _groups(settings, administration)
    standings = read_standings(settings)
    for connector in settings.connectors.values():
        yield from _state(connector, standings[connector.name])
        yield from _credentials(settings, connector)


def _topics(settings: Settings, administration: Administration, brokers: int) -> Iterator[Finding]:
    from streams.config import topology
    from streams.workers.router.routes import source_topics

    wanted = topology.wanted_topics(settings, brokers)
    plan = topology.plan(settings, wanted, administration.topics(settings.kafka.topic_prefix))
    for change in plan.changes:
        detail = "is missing" if change.is_missing else f"is set differently: {', '.join(change.settings)}"
        mend = "streams topics apply"
        yield Finding(f"topic {change.topic.name}", "problem", detail, mend, ExitCode.FAILED)
    if not plan.changes:
        yield Finding("topics", "ok", f"{len(wanted)} are as they must be")
    for topic in plan.orphaned:
        mend = "its connector left the configuration: put it back, or export and delete the topic"
        yield Finding(f"topic {topic}", "warning", "is orphaned", mend)
    sources = source_topics(administration.topic_names(), settings.source.topics, settings.kafka.topic_prefix)
    if sources:
        yield Finding("Currents topics", "ok", f"{len(sources)} match source.topics")
    else:
        mend = "is source.topics right? New topics are seen within 30 s"
        yield Finding("Currents topics", "warning", f"none matches {', '.join(settings.source.topics)}", mend)


def _groups(settings: Settings, administration: Administration) -> Iterator[Finding]:
    minutes = administration.broker_setting("offsets.retention.minutes")
    days = f"{int(minutes) / MINUTES_PER_DAY:g} days" if minutes and minutes.isdigit() else "some days"
    roles = {"router": settings.groups.router} | {
        f"sink {name}": settings.groups.sink(name) for name in settings.connectors
    }
    for role, group in roles.items():
        members = administration.members(group)
        if members:
            yield Finding(role, "ok", f"{members} processes")
        else:
            detail = f"no process; Kafka forgets a group's offsets {days} after its last member left"
            yield Finding(role, "warning", detail, f"streams run {role}")


def _state(connector: Connector, standing: Standing) -> Iterator[Finding]:
    state, name = standing.state, connector.name
    if state.state == "SUSPENDED":
        yield Finding(f"connector {name}", "warning", f"SUSPENDED by {state.by}: {state.reason}", _resume(name))
    for scope, found in sorted(standing.scopes.items()):
        if found.overdue:
            yield Finding(f"purge {name}/{scope}", "warning", f"overdue: {found.overdue}")
        if found.refused_though_good:
            detail = "traffic is refused though a probe with the same credentials is accepted"
            yield Finding(f"traffic {name}/{scope}", "warning", detail, f"streams connectors show {name}")


def _credentials(settings: Settings, connector: Connector) -> Iterator[Finding]:
    """Ask each destination itself, with the secrets that this machine has."""
    from streams.adapters.clock import SystemClock
    from streams.adapters.http import HttpTransport
    from streams.delivery.contract import NoResponse
    from streams.state.credentials import Outcome as Said
    from streams.state.credentials import outcome_of

    destination = connector.build()
    with closing(HttpTransport(settings.http)) as transport:
        for scope in destination.scopes:
            what = f"credentials {connector.name}/{scope}"
            answer = transport.fetch(destination.probe(scope, str(uuid4()), SystemClock().epoch_ms()))
            if isinstance(answer, NoResponse):
                mend = "is its address right, and may this machine reach it?"
                yield Finding(what, "problem", answer.detail, mend, ExitCode.UNREACHABLE)
                continue
            match outcome_of(answer.status):
                case Said.GOOD:
                    yield Finding(what, "ok", f"accepted ({answer.status})")
                case Said.BAD:
                    mend = "mend the secret: it is read again before each probe"
                    yield Finding(what, "problem", f"refused ({answer.status})", mend, ExitCode.CREDENTIALS)
                case Said.SILENT:
                    detail = f"status {answer.status} says nothing of the credentials"
                    yield Finding(what, "problem", detail, "is its address right?", ExitCode.UNREACHABLE)


def _resume(name: str) -> str:
    return f"when its cause is mended: streams connectors resume {name}"


def _json(finding: Finding) -> dict[str, str | None]:
    return {
        "what": finding.what,
        "outcome": finding.outcome,
        "detail": finding.detail,
        "mend": finding.mend or None,
    }
