"""`streams connectors`: each connector's state, account and lag, read from Kafka alone."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.options import ConfigPath, OutputFormat, connector_of, settings_from
from streams.cli.output import Format, note, print_json, print_table

if TYPE_CHECKING:
    from streams.adapters.admin import Administration
    from streams.config import Connector, Settings
    from streams.delivery.account import Account, Held

app = typer.Typer(help="State, account and lag of connectors.", no_args_is_help=True)

HELD_BY_CONFIGURATION = 0
"""The status of a hold that no answer about credentials caused."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One connector as Kafka's offsets tell it."""

    connector: Connector
    scopes: tuple[str, ...]
    account: Account
    held: tuple[Held, ...]
    members: int
    lag_offsets: int
    oldest_waiting_ms: int | None

    @property
    def state(self) -> str:
        held = any(hold.status == HELD_BY_CONFIGURATION for hold in self.held)
        return "SUSPENDED" if held else "RUNNING"

    def scope_states(self) -> dict[str, dict[str, object]]:
        """Per scope its state and since when. SUSPECT: the destination refused the credentials."""
        states: dict[str, dict[str, object]] = {
            scope: {"state": "VALID", "since": None, "deadline": None} for scope in self.scopes
        }
        for hold in sorted(self.held, key=lambda hold: -hold.since_ms):
            if hold.status != HELD_BY_CONFIGURATION:
                states[hold.scope] = {
                    "state": "SUSPECT",
                    "since": _iso(hold.since_ms),
                    "deadline": None,
                    "evidence": f"{hold.status} {hold.detail}".strip(),
                }
        return states

    def lag_seconds(self, now_ms: int) -> float | None:
        """Age of the oldest record that waits."""
        if self.oldest_waiting_ms is None:
            return None
        return max(0, now_ms - self.oldest_waiting_ms) / 1000

    def to_json(self, now_ms: int) -> dict[str, Any]:
        return {
            "connector": self.connector.name,
            "destination": self.connector.destination,
            "state": self.state,
            "reasons": [hold.detail for hold in self.held if hold.status == HELD_BY_CONFIGURATION],
            "scopes": self.scope_states(),
            "members": self.members,
            "lag": {"offsets": self.lag_offsets, "seconds": self.lag_seconds(now_ms)},
            "account": self.account.to_json(),
        }


@app.command("list")
@translated
def list_connectors(config: ConfigPath = None, output: OutputFormat = Format.TABLE) -> None:
    """List every connector of the configuration with its state and account."""
    settings = settings_from(config)
    standings = _standings(settings, list(settings.connectors.values()))
    now_ms = _now_ms()
    if output is Format.JSON:
        print_json({"connectors": [standing.to_json(now_ms) for standing in standings]})
        return
    print_table(
        ("NAME", "DESTINATION", "STATE", "MEMBERS", "ROUTED", "DELIVERED", "PARKED", "LOST", "WAITING", "OLDEST"),
        (
            (
                standing.connector.name,
                standing.connector.destination,
                _state_of_all(standing),
                standing.members,
                standing.account.routed,
                standing.account.delivered,
                sum(standing.account.parked.values()),
                standing.account.lost,
                standing.account.waiting,
                _age(standing.lag_seconds(now_ms)),
            )
            for standing in standings
        ),
    )


@app.command()
@translated
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The connector.")],
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Show one connector: state per credential scope, account, lag."""
    settings = settings_from(config)
    (standing,) = _standings(settings, [connector_of(settings, name)])
    now_ms = _now_ms()
    if output is Format.JSON:
        print_json(standing.to_json(now_ms))
        return
    rows: list[tuple[str, object]] = [
        ("connector", name),
        ("destination", standing.connector.destination),
        ("state", standing.state),
        *(
            (f"held: {hold.scope}", f"{hold.detail} (since {_iso(hold.since_ms)})")
            for hold in standing.held
            if hold.status == HELD_BY_CONFIGURATION
        ),
        *((f"scope: {scope}", _scope_line(state)) for scope, state in standing.scope_states().items()),
        ("members", standing.members),
        ("oldest waiting", _age(standing.lag_seconds(now_ms))),
    ]
    for key, value in standing.account.to_json().items():
        if isinstance(value, dict):
            rows += [(f"{key}: {reason}", count) for reason, count in value.items()]
        else:
            rows.append((key, value))
    for key, value in rows:
        print(f"{key:<34} {value:,}" if isinstance(value, int) else f"{key:<34} {value}")
    if standing.members == 0:
        note(f"nobody delivers for {name}: start one with `streams run sink {name}`")


def _standings(settings: Settings, connectors: list[Connector]) -> list[Standing]:
    from streams.adapters.accounts import Accounts
    from streams.adapters.admin import Administration
    from streams.delivery.account import MetadataError, SinkCounts

    administration = Administration(settings.kafka.client_config("streams-connectors"))
    accounts = Accounts(settings, administration)
    try:
        sums = accounts.of(connector.name for connector in connectors)
        commits = {connector.name: accounts.sink_commits(connector.name) for connector in connectors}
    except MetadataError as error:
        groups = [settings.groups.router, *(settings.groups.sink(connector.name) for connector in connectors)]
        raise CommandError(f"groups {', '.join(groups)}: {error}", ExitCode.FAILED) from None
    standings = []
    for connector in connectors:
        settled = SinkCounts()
        for commit in commits[connector.name].values():
            settled.add(SinkCounts.from_metadata(commit.metadata))
        topic = settings.topics.connector(connector.name)
        offsets = {partition: commit.offset for partition, commit in commits[connector.name].items()}
        lag_offsets, oldest_ms = _lag(administration, topic, offsets, sums[connector.name].waiting)
        standings.append(
            Standing(
                connector=connector,
                scopes=connector.build().scopes,
                account=sums[connector.name],
                held=settled.held,
                members=administration.members(settings.groups.sink(connector.name)),
                lag_offsets=lag_offsets,
                oldest_waiting_ms=oldest_ms,
            )
        )
    return standings


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


def _state_of_all(standing: Standing) -> str:
    suspects = [scope for scope, state in standing.scope_states().items() if state["state"] != "VALID"]
    return f"{standing.state} ({', '.join(suspects)} SUSPECT)" if suspects else standing.state


def _scope_line(state: dict[str, object]) -> str:
    if state["since"] is None:
        return str(state["state"])
    return f"{state['state']} since {state['since']}: {state['evidence']}"


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:.0f}s"


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
