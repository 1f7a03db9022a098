"""`streams connectors`: each connector's state, account and lag, read from Kafka alone; orders to its keeper."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.options import ConfigPath, OutputFormat, connector_of, settings_from
from streams.cli.output import Format, note, print_json, print_table

if TYPE_CHECKING:
    from pathlib import Path

    from streams.adapters.kafka.admin import Administration
    from streams.adapters.state.verification import Verification
    from streams.config import Connector, Settings
    from streams.delivery.account import Account
    from streams.state.standing import Standing

ConnectorName = Annotated[str, typer.Argument(metavar="NAME", help="The connector.")]

app = typer.Typer(help="State, account and lag of connectors; suspend, resume, probe.", no_args_is_help=True)

ANSWER_SECONDS = 20.0
PROBE_SECONDS = 45.0
"""A destination that does not answer is given up by the keeper after 35 s."""


@dataclass(frozen=True, slots=True)
class Overview:
    """One connector as Kafka tells it."""

    connector: Connector
    scopes: tuple[str, ...]
    standing: Standing
    account: Account
    members: int
    lag_offsets: int
    oldest_waiting_ms: int | None

    @property
    def state(self) -> str:
        return self.standing.state.state

    def scope_states(self, now_ms: int) -> dict[str, dict[str, object]]:
        """Per scope: state, since when, the first letter's deadline, what the destination said, what is suspected."""
        return {scope: self._scope_state(scope, now_ms) for scope in self.scopes}

    def next_step(self) -> str | None:
        """The command that comes next, for whoever was woken by this."""
        name = self.connector.name
        if self.members == 0:
            return f"streams run sink {name}"
        if self.state == "SUSPENDED":
            return f"streams connectors resume {name}"
        if any(self.standing.scope(scope).state == "INVALID" for scope in self.scopes):
            return f"streams connectors probe {name}"
        if sum(self.account.parked.values()):
            return f"streams dlq top {name}"
        return None

    def lag_seconds(self, now_ms: int) -> float | None:
        """Age of the oldest record that waits."""
        if self.oldest_waiting_ms is None:
            return None
        return max(0, now_ms - self.oldest_waiting_ms) / 1000

    def to_json(self, now_ms: int) -> dict[str, Any]:
        state, term = self.standing.state, self.standing.term
        return {
            "connector": self.connector.name,
            "destination": self.connector.destination,
            "state": state.state,
            "suspended": None
            if state.state == "RUNNING"
            else {"by": state.by, "reason": state.reason, "who": state.who, "since": iso(state.since)},
            "scopes": self.scope_states(now_ms),
            "keeper": None if term is None else {"instance": term.instance, "epoch": term.epoch, "since": iso(term.at)},
            "members": self.members,
            "lag": {"offsets": self.lag_offsets, "seconds": self.lag_seconds(now_ms)},
            "account": self.account.to_json(),
            "next": self.next_step(),
        }

    def _scope_state(self, scope: str, now_ms: int) -> dict[str, object]:
        from streams.state.credentials import Rules, deadline_ms

        found = self.standing.scope(scope)
        evidence = found.evidence
        suspects = [one for (name, _), one in self.standing.suspects.items() if name == scope]
        deadline = None
        if found.state == "INVALID":
            rules = Rules(self.connector.grace_seconds)
            deadline = iso(deadline_ms(0, found, self.standing.state, rules, now_ms))
        return {
            "state": found.state,
            "since": iso(found.since) if found.since else None,
            "deadline": deadline,
            "evidence": None if evidence is None else f"{evidence.status} {evidence.detail}".strip(),
            "suspected": [f"{one.status} {one.detail}".strip() for one in suspects],
            "refused_though_good": iso(found.refused_though_good) if found.refused_though_good else None,
            "purge_overdue": found.overdue or None,
        }


@app.command("list")
@translated
def list_connectors(config: ConfigPath = None, output: OutputFormat = Format.TABLE) -> None:
    """List every connector of the configuration with its state and account."""
    settings = settings_from(config)
    overviews = _overviews(settings, list(settings.connectors.values()))
    now_ms = _now_ms()
    if output is Format.JSON:
        print_json({"connectors": [overview.to_json(now_ms) for overview in overviews]})
        return
    print_table(
        ("NAME", "DESTINATION", "STATE", "MEMBERS", "ROUTED", "DELIVERED", "PARKED", "LOST", "WAITING", "OLDEST"),
        (
            (
                overview.connector.name,
                overview.connector.destination,
                _state_of_all(overview, now_ms),
                overview.members,
                overview.account.routed,
                overview.account.delivered,
                sum(overview.account.parked.values()),
                overview.account.lost,
                overview.account.waiting,
                _age(overview.lag_seconds(now_ms)),
            )
            for overview in overviews
        ),
    )


@app.command()
@translated
def show(
    name: ConnectorName,
    ledger: Annotated[bool, typer.Option("--ledger", help="Also show what became of dead letters.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Count the topics and compare (with --ledger).")] = False,
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Show one connector: state per credential scope, account, lag, and the next step as a command."""
    settings = settings_from(config)
    connector = connector_of(settings, name)
    if verify and not ledger:
        raise CommandError("--verify compares the ledger with the topics: give --ledger too", ExitCode.USAGE)
    (overview,) = _overviews(settings, [connector])
    verification = _verified(settings, name) if verify else None
    now_ms = _now_ms()
    content = overview.to_json(now_ms)
    if ledger:
        content["ledger"] = _ledger(overview.standing)
    if verification is not None:
        content["account"] = verification.account.to_json()
        content["verified"] = {
            "waiting": verification.waiting,
            "parked": dict(verification.parked),
            "problems": list(verification.problems),
        }
    if output is Format.JSON:
        print_json(content)
    else:
        _print_overview(overview, content, now_ms)
    if verification is not None and verification.problems:
        raise CommandError("; ".join(verification.problems), ExitCode.FAILED)


@app.command()
@translated
def suspend(
    name: ConnectorName,
    reason: Annotated[str, typer.Option(help="Why, for the audit.")],
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Send nothing for a connector until it is resumed: records wait in its topic, no deadline runs."""
    _order(config, name, "suspend", reason, output)


@app.command()
@translated
def resume(
    name: ConnectorName,
    reason: Annotated[str, typer.Option(help="Why, for the audit.")] = "",
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Let a suspended connector deliver again; the flood breaker begins with an empty window."""
    _order(config, name, "resume", reason, output)


@app.command()
@translated
def probe(
    name: ConnectorName,
    scope: Annotated[list[str] | None, typer.Option(help="Only this credential scope.")] = None,
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Have the keeper read the secrets again and ask the destination now. Exits with 4 where they are refused."""
    from streams.adapters.state.requests import ask

    settings = settings_from(config)
    connector = connector_of(settings, name)
    _require_scopes(connector, scope or [])
    answer = ask(settings, name, "probe", {"scopes": scope} if scope else {}, "", PROBE_SECONDS)
    if answer.outcome != "done":
        raise CommandError(f"{name}: {answer.detail}", ExitCode.FAILED)
    if output is Format.JSON:
        print_json({"connector": name, "scopes": dict(answer.content)})
    else:
        rows = [(one, said["outcome"], said["status"] or None, said["detail"]) for one, said in answer.content.items()]
        print_table(("SCOPE", "CREDENTIALS", "STATUS", "DETAIL"), rows)
    outcomes = {said["outcome"] for said in answer.content.values()}
    if "bad" in outcomes:
        raise typer.Exit(ExitCode.CREDENTIALS)
    if "silent" in outcomes:
        raise typer.Exit(ExitCode.UNREACHABLE)


def _order(config: Path | None, name: str, what: Literal["suspend", "resume"], reason: str, output: Format) -> None:
    """Ask the keeper, and print the state that came of it."""
    from streams.adapters.state.requests import ask

    settings = settings_from(config)
    connector_of(settings, name)
    answer = ask(settings, name, what, {}, reason, ANSWER_SECONDS)
    if answer.outcome != "done":
        raise CommandError(f"{name} {answer.detail}", ExitCode.FAILED)
    state = {"suspend": "SUSPENDED", "resume": "RUNNING"}[what]
    if output is Format.JSON:
        print_json({"connector": name, "state": state})
    else:
        print(f"{name} is {state}")


def _require_scopes(connector: Connector, scopes: list[str]) -> None:
    there_are = connector.build().scopes
    for scope in scopes:
        if scope not in there_are:
            mend = f"{connector.name} has no credential scope {scope}; it has {', '.join(there_are)}"
            raise CommandError(mend, ExitCode.USAGE)


def _verified(settings: Settings, name: str) -> Verification:
    from streams.adapters.state.verification import TooBusy, verify

    try:
        return verify(settings, name)
    except TooBusy as error:
        raise CommandError(str(error), ExitCode.FAILED) from None


def _ledger(standing: Standing) -> dict[str, Any]:
    totals = standing.totals
    return {
        "redriven": dict(totals.redriven),
        "replayed": dict(totals.replayed),
        "purged": dict(totals.purged),
        "expired": dict(totals.expired),
        "imported": standing.imported_letters,
        "again": totals.again,
    }


def _print_overview(overview: Overview, content: dict[str, Any], now_ms: int) -> None:
    rows: list[tuple[str, object]] = [
        ("connector", overview.connector.name),
        ("destination", overview.connector.destination),
        ("state", overview.state),
    ]
    if content["suspended"]:
        rows += [(f"suspended: {name}", value) for name, value in content["suspended"].items() if value]
    rows += [(f"scope: {scope}", _scope_line(state)) for scope, state in overview.scope_states(now_ms).items()]
    rows += [("members", overview.members), ("oldest waiting", _age(overview.lag_seconds(now_ms)))]
    for section in ("account", "ledger", "verified"):
        rows += _rows(content.get(section, {}), "" if section == "account" else f"{section} ")
    for name, value in rows:
        print(f"{name:<34} {value:,}" if isinstance(value, int) else f"{name:<34} {value}")
    if (step := overview.next_step()) is not None:
        note(f"next: {step}")


def _rows(counts: dict[str, Any], prefix: str) -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for name, value in counts.items():
        if isinstance(value, dict):
            rows += [(f"{prefix}{name}: {reason}", count) for reason, count in value.items()]
        elif not isinstance(value, list):
            rows.append((f"{prefix}{name}", value))
    return rows


def _overviews(settings: Settings, connectors: list[Connector]) -> list[Overview]:
    from streams.adapters.kafka.admin import Administration
    from streams.adapters.state.accounts import Accounts
    from streams.delivery.account import MetadataError
    from streams.state.records import StateError

    administration = Administration(settings.kafka.client_config("streams-connectors"))
    accounts = Accounts(settings, administration)
    try:
        sums = accounts.of(connector.name for connector in connectors)
        commits = {connector.name: accounts.sink_commits(connector.name) for connector in connectors}
        standings = accounts.standings()
    except MetadataError as error:
        groups = [settings.groups.router, *(settings.groups.sink(connector.name) for connector in connectors)]
        raise CommandError(f"groups {', '.join(groups)}: {error}", ExitCode.FAILED) from None
    except StateError as error:
        raise CommandError(f"{settings.topics.state}: {error}", ExitCode.FAILED) from None
    finally:
        accounts.close()
    overviews = []
    for connector in connectors:
        topic = settings.topics.connector(connector.name)
        offsets = {partition: commit.offset for partition, commit in commits[connector.name].items()}
        lag_offsets, oldest_ms = _lag(administration, topic, offsets, sums[connector.name].waiting)
        overviews.append(
            Overview(
                connector=connector,
                scopes=connector.build().scopes,
                standing=standings[connector.name],
                account=sums[connector.name],
                members=administration.members(settings.groups.sink(connector.name)),
                lag_offsets=lag_offsets,
                oldest_waiting_ms=oldest_ms,
            )
        )
    return overviews


def _lag(
    administration: Administration, topic: str, offsets: dict[tuple[str, int], int], waiting: int
) -> tuple[int, int | None]:
    """Offsets to the end of the topic (ends of transactions among them), and when the oldest record was written."""
    ends = administration.ends(administration.partitions(topic))
    behind = {
        partition: offsets.get(partition, 0) for partition, end in ends.items() if end > offsets.get(partition, 0)
    }
    lag = sum(ends[partition] - offset for partition, offset in behind.items())
    oldest_ms = administration.oldest_ms(behind, "streams-connectors") if waiting > 0 else None
    return lag, oldest_ms


def _state_of_all(overview: Overview, now_ms: int) -> str:
    if overview.state == "SUSPENDED":
        return f"SUSPENDED ({overview.standing.state.by})"
    invalid = [scope for scope, state in overview.scope_states(now_ms).items() if state["state"] == "INVALID"]
    return f"RUNNING ({', '.join(invalid)} INVALID)" if invalid else "RUNNING"


def _scope_line(state: dict[str, object]) -> str:
    text = str(state["state"])
    if state["state"] == "INVALID":
        text += f" since {state['since']}: {state['evidence']}; first letter is purged at {state['deadline']}"
    if state["suspected"]:
        text += " (suspected: the keeper looks into it)"
    if state["refused_though_good"]:
        text += f"; traffic refused though a probe is accepted, since {state['refused_though_good']}"
    if state["purge_overdue"]:
        text += f"; purge overdue: {state['purge_overdue']}"
    return text


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:.0f}s"


def iso(time_ms: int) -> str:
    """A time as people and programs read it."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
