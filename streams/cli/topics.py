"""`streams topics`: the topics that the configuration needs, compared with the cluster's, and made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from streams.cli.errors import translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json, print_table

if TYPE_CHECKING:
    from streams.adapters.admin import Administration
    from streams.config.topology import Change, Plan

app = typer.Typer(help="Topics that are missing or set differently.", no_args_is_help=True)


@app.command()
@translated
def plan(config: ConfigPath = None, output: OutputFormat = Format.TABLE) -> None:
    """Print what `streams topics apply` would do. Changes nothing."""
    _, found = _compared(config)
    _print(found, output, "nothing to do")


@app.command()
@translated
def apply(config: ConfigPath = None, output: OutputFormat = Format.TABLE) -> None:
    """Create missing topics and correct settings. Deletes nothing, shrinks nothing, adds no partitions."""
    administration, found = _compared(config)
    for change in found.changes:
        topic = change.topic
        if change.is_missing:
            administration.create_topic(topic.name, topic.partitions, topic.replication, topic.configuration)
        else:
            administration.configure_topic(topic.name, {name: to for name, (_, to) in change.settings.items()})
    _print(found, output, "nothing to do: every topic is as it should be")


def _compared(config: ConfigPath) -> tuple[Administration, Plan]:
    from streams.adapters.admin import Administration
    from streams.config import topology

    settings = settings_from(config)
    administration = Administration(settings.kafka.client_config("streams-topics"))
    wanted = topology.wanted_topics(settings, administration.brokers())
    actual = administration.topics(settings.kafka.topic_prefix)
    return administration, topology.plan(settings, wanted, actual)


def _print(found: Plan, output: Format, nothing: str) -> None:
    if output is Format.JSON:
        print_json({"changes": [_listed(change) for change in found.changes], "orphaned": list(found.orphaned)})
        return
    if found.changes:
        print_table(
            ("TOPIC", "ACTION", "PARTITIONS", "REPLICATION", "SETTINGS"),
            (
                (
                    change.topic.name,
                    _action(change),
                    change.topic.partitions if change.is_missing else "",
                    change.topic.replication if change.is_missing else "",
                    _settings(change),
                )
                for change in found.changes
            ),
        )
    else:
        note(nothing)
    for name in found.orphaned:
        note(f"orphaned: {name} belongs to nothing in the configuration; it is left alone")


def _action(change: Change) -> str:
    return "create" if change.is_missing else "configure"


def _settings(change: Change) -> str:
    if change.is_missing:
        return " ".join(f"{name}={to}" for name, (_, to) in change.settings.items())
    return " ".join(f"{name}={was or 'unset'}->{to}" for name, (was, to) in change.settings.items())


def _listed(change: Change) -> dict[str, object]:
    listed: dict[str, object] = {"topic": change.topic.name, "action": _action(change)}
    if change.is_missing:
        listed |= {"partitions": change.topic.partitions, "replication": change.topic.replication}
    settings = {name: {"from": was or None, "to": to} for name, (was, to) in change.settings.items()}
    return {**listed, "settings": settings}
