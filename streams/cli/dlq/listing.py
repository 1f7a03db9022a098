"""`streams dlq list`: how many letters there are by cause, since when, and by when something must happen."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streams.cli.dlq.place import DeadLetters, Name, dead_letters, orphaned_topics
from streams.cli.dlq.reading import CLIENT_ID, starts_of
from streams.cli.errors import translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json, print_table

if TYPE_CHECKING:
    from streams.adapters.kafka.admin import Administration
    from streams.state.standing import Standing


@dataclass(frozen=True, slots=True)
class Edge:
    """The first and the last letter of one topic, and when the first one is deleted if nobody does anything (ms)."""

    oldest: int | None
    newest: int | None
    first_deadline: int | None


@translated
def list_letters(name: Name, config: ConfigPath = None, output: OutputFormat = Format.TABLE) -> None:
    """Count the dead letters of a connector by cause, with the oldest, the newest and the first deadline."""
    from streams.adapters.kafka.admin import Administration
    from streams.adapters.state.standings import read_standings

    settings = settings_from(config)
    dead = dead_letters(settings, name)
    administration = Administration(settings.kafka.client_config(CLIENT_ID))
    standing = read_standings(settings)[name]
    counts = _counts(dead, standing)
    edges = _edges(dead, administration, standing)
    orphaned = orphaned_topics(settings, administration.topic_names())
    causes = [_cause(cause, count, edges) for cause, count in counts.items()]
    scopes = [_scope(scope, standing, edges) for scope in dead.scopes]
    left = [{"topic": topic, "next": _export_command(owner)} for topic, owner in orphaned.items()]
    if output is Format.JSON:
        print_json({"connector": name, "causes": causes, "scopes": scopes, "orphaned": left})
        return
    print_table(
        ("CAUSE", "LETTERS", "OLDEST", "NEWEST", "FIRST DEADLINE"),
        ((row["cause"], row["letters"], row["oldest"], row["newest"], row["first_deadline"]) for row in causes),
    )
    _say_next(name, counts, scopes)
    for line in left:
        note(f"orphaned: {line['topic']} belongs to nothing in the configuration and is left alone; keep it with")
        note(f"  {line['next']}")


def _counts(dead: DeadLetters, standing: Standing) -> dict[str, int]:
    """Letters that are parked now, by cause: every cause, also where there are none."""
    from streams.cli.assembly.installation import connect
    from streams.delivery.account import SinkCounts
    from streams.operations.accounts import Accounts
    from streams.state.parked import parked_in_all, parked_now

    accounts = Accounts(connect(dead.settings, CLIENT_ID))
    if dead.connector is None:
        # The router counts all of its letters as undecodable, whatever their cause.
        return {"undecodable": parked_in_all(accounts.router().undecodable, standing)}
    parked: dict[str, int] = dict.fromkeys(dead.causes, 0)
    for commit in accounts.sink_commits(dead.name).values():
        for cause, count in SinkCounts.from_metadata(commit.metadata).parked.items():
            parked[cause] = parked.get(cause, 0) + count
    return parked_now(parked, standing)


def _edges(dead: DeadLetters, administration: Administration, standing: Standing) -> dict[str, Edge]:
    """By the name of the letters: only the first and the last letter of each partition are read."""
    from streams.adapters.kafka.scan import edges
    from streams.cli.dlq.reading import names_by_topic
    from streams.delivery.letter import Verdict, verdict_of

    names = names_by_topic(dead)
    starts = starts_of(administration, dead, standing, dead.topics)
    found = edges(
        dead.settings.kafka.client_config(CLIENT_ID),
        starts,
        lambda partition, offset: standing.is_settled((names[partition[0]], partition[1]), offset),
    )
    times: dict[str, list[int]] = {letters: [] for letters in dead.topics}
    for (topic, _), edge in found.items():
        for message in (edge.first, edge.last):
            if message is not None:
                times[names[topic]].append((verdict_of(message.headers() or []) or Verdict()).parked_at_ms)
    now_ms = time.time_ns() // 1_000_000
    return {letters: _edge(letters, parked, dead, standing, now_ms) for letters, parked in times.items()}


def _edge(letters: str, parked: list[int], dead: DeadLetters, standing: Standing, now_ms: int) -> Edge:
    from streams.state.credentials import Rules, deadline_ms
    from streams.state.records import CREDENTIALS
    from streams.workers.keeper.expiry import REJECTED_MS_MAX

    if not parked:
        return Edge(None, None, None)
    oldest = min(parked)
    if not letters.startswith(CREDENTIALS):
        return Edge(oldest, max(parked), oldest + REJECTED_MS_MAX)
    scope = standing.scope(letters.removeprefix(CREDENTIALS))
    if scope.state != "INVALID" or dead.connector is None:
        return Edge(oldest, max(parked), None)
    rules = Rules(dead.connector.grace_seconds)
    return Edge(oldest, max(parked), deadline_ms(oldest, scope, standing.state, rules, now_ms))


def _cause(cause: str, count: int, edges: Mapping[str, Edge]) -> dict[str, Any]:
    """Causes that share a topic share its times."""
    from streams.state.moments import iso
    from streams.state.records import CREDENTIALS

    is_credentials = cause == "credentials"
    of_cause = [edge for letters, edge in edges.items() if letters.startswith(CREDENTIALS) is is_credentials and count]
    return {
        "cause": cause,
        "letters": count,
        "oldest": iso(min((edge.oldest for edge in of_cause if edge.oldest), default=None)),
        "newest": iso(max((edge.newest for edge in of_cause if edge.newest), default=None)),
        "first_deadline": iso(min((edge.first_deadline for edge in of_cause if edge.first_deadline), default=None)),
    }


def _scope(scope: str, standing: Standing, edges: Mapping[str, Edge]) -> dict[str, Any]:
    from streams.state.moments import iso
    from streams.state.records import CREDENTIALS

    state, edge = standing.scope(scope), edges[CREDENTIALS + scope]
    return {
        "scope": scope,
        "state": state.state,
        "since": iso(state.since),
        "oldest": iso(edge.oldest),
        "newest": iso(edge.newest),
        "first_deadline": iso(edge.first_deadline),
    }


def _say_next(name: str, counts: Mapping[str, int], scopes: list[dict[str, Any]]) -> None:
    """The next step, as a command."""
    for scope in scopes:
        if scope["state"] == "INVALID":
            until = f", its letters are purged from {scope['first_deadline']}" if scope["first_deadline"] else ""
            note(f"scope {scope['scope']} is INVALID since {scope['since']}{until}: mend its secret, then")
            note(f"  streams connectors probe {name}")
            note("or, for more time")
            note(f"  streams dlq extend {name} --scope {scope['scope']} --by 24h --reason WHY")
    if any(count for cause, count in counts.items() if cause != "credentials"):
        note("what they are, most first:")
        note(f"  streams dlq top {name}")


def _export_command(owner: str) -> str:
    return f"streams dlq export {owner} --orphaned --to {owner}.letters.gz"
