"""How many letters there are by cause, since when, and when the first of them is deleted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from streams.delivery.account import SinkCounts
from streams.delivery.letter import Verdict, verdict_of
from streams.operations.accounts import Accounts
from streams.operations.dead_letters.topics import DeadLetters, dead_letters, orphaned_topics
from streams.operations.installation import Installation
from streams.operations.state_views import state_view_of
from streams.state.credentials import Rules, deadline_ms
from streams.state.moments import iso
from streams.state.parked import parked_in_all, parked_now
from streams.state.records import CREDENTIALS
from streams.state.state_view import StateView
from streams.workers.keeper.expiry import REJECTED_MS_MAX


@dataclass(frozen=True, slots=True)
class Times:
    """When the oldest letter was parked for the first time, when the newest was parked, and when the first is deleted
    automatically (ms since 1970). `said` is what was said of the letters that were looked at, the first and the last
    of each partition: others may have other reasons."""

    oldest: int | None = None
    newest: int | None = None
    first_deadline: int | None = None
    said: tuple[str, ...] = ()

    @classmethod
    def of_all(cls, times: Iterable[Times]) -> Times:
        """The times of several topics together."""
        found = list(times)
        return cls(
            min((one.oldest for one in found if one.oldest), default=None),
            max((one.newest for one in found if one.newest), default=None),
            min((one.first_deadline for one in found if one.first_deadline), default=None),
            tuple(dict.fromkeys(words for one in found for words in one.said)),
        )

    def to_json(self) -> dict[str, Any]:
        return {"oldest": iso(self.oldest), "newest": iso(self.newest), "first_deadline": iso(self.first_deadline)}


@dataclass(frozen=True, slots=True)
class CauseRow:
    """Letters of one cause. Causes that share a topic share its times."""

    cause: str
    letters: int
    times: Times

    def to_json(self) -> dict[str, Any]:
        return {"cause": self.cause, "letters": self.letters, **self.times.to_json()}


@dataclass(frozen=True, slots=True)
class ScopeRow:
    """Letters of one credential scope, and its state."""

    scope: str
    state: str
    since: int | None
    times: Times

    def to_json(self) -> dict[str, Any]:
        return {"scope": self.scope, "state": self.state, "since": iso(self.since), **self.times.to_json()}


@dataclass(frozen=True, slots=True)
class LettersOverview:
    """`orphaned` maps dead-letter topics whose connector or scope is not in the configuration to the connector's name.

    `now_ms` is the time of the overview.
    """

    connector: str
    causes: tuple[CauseRow, ...]
    scopes: tuple[ScopeRow, ...]
    orphaned: Mapping[str, str]
    now_ms: int

    def to_json(self) -> dict[str, Any]:
        """The fields of `streams dlq list --output json`."""
        return {
            "connector": self.connector,
            "causes": [row.to_json() for row in self.causes],
            "scopes": [row.to_json() for row in self.scopes],
            "orphaned": [{"topic": topic, "next": export_command(owner)} for topic, owner in self.orphaned.items()],
        }


def export_command(owner: str) -> str:
    """The command that keeps letters of a connector that left the configuration."""
    return f"streams dlq export {owner} --orphaned --to {owner}.letters.gz"


def overview(installation: Installation, name: str) -> LettersOverview:
    """Raises `BadRequest`, `KafkaUnreachable`, `MetadataError` and `StateError`."""
    dead = dead_letters(installation.settings, name)
    view = state_view_of(installation, name)
    counts = _counts(installation, dead, view)
    times = _times(installation, dead, view)
    return LettersOverview(
        name,
        tuple(_cause(cause, count, times) for cause, count in counts.items()),
        tuple(_scope(scope, view, times[CREDENTIALS + scope]) for scope in dead.scopes),
        orphaned_topics(installation.settings, installation.cluster.topic_names()),
        installation.clock.epoch_ms(),
    )


def _counts(installation: Installation, dead: DeadLetters, view: StateView) -> dict[str, int]:
    """How many letters are parked now, for every cause, also if there are none."""
    accounts = Accounts(installation)
    if dead.connector is None:
        # All of them count as undecodable, whatever their cause.
        return {"undecodable": parked_in_all(accounts.source_letters(), view)}
    parked: dict[str, int] = dict.fromkeys(dead.causes, 0)
    for commit in accounts.sink_commits(dead.name).values():
        for cause, count in SinkCounts.from_metadata(commit.metadata).parked.items():
            parked[cause] = parked.get(cause, 0) + count
    return parked_now(parked, view)


def _times(installation: Installation, dead: DeadLetters, view: StateView) -> dict[str, Times]:
    """The times, by the name of letters. Reads only the first and the last unsettled letter of each partition."""
    starts = {
        partition: view.cursor((letters, partition[1]))
        for letters, topic in dead.topics.items()
        for partition in installation.cluster.partitions(topic)
    }
    names = dead.names
    found = installation.letters.edges(
        starts, lambda partition, offset: view.is_settled((names[partition[0]], partition[1]), offset)
    )
    parked: dict[str, list[Verdict]] = {letters: [] for letters in dead.topics}
    for (topic, _), edges in found.items():
        for message in (edges.first, edges.last):
            if message is not None:
                parked[names[topic]].append(verdict_of(message.headers() or []) or Verdict())
    now_ms = installation.clock.epoch_ms()
    return {letters: _of_topic(letters, times, dead, view, now_ms) for letters, times in parked.items()}


def _of_topic(letters: str, parked: list[Verdict], dead: DeadLetters, view: StateView, now_ms: int) -> Times:
    """A letter that came back is as old as its first parking, but is deleted by its last one."""
    if not parked:
        return Times()
    oldest = min(verdict.since_ms for verdict in parked)
    newest = max(verdict.parked_at_ms for verdict in parked)
    first_parked = min(verdict.parked_at_ms for verdict in parked)
    if not letters.startswith(CREDENTIALS):
        return Times(oldest, newest, first_parked + REJECTED_MS_MAX, _said(parked))
    scope = view.scope(letters.removeprefix(CREDENTIALS))
    if scope.state != "INVALID" or dead.connector is None:
        return Times(oldest, newest)
    rules = Rules(dead.connector.grace_seconds)
    return Times(oldest, newest, deadline_ms(first_parked, scope, view.state, rules, now_ms))


def _said(parked: Iterable[Verdict]) -> tuple[str, ...]:
    """Status and words of each, the newest first; the same words once."""
    newest = sorted(parked, key=lambda verdict: -verdict.parked_at_ms)
    return tuple(dict.fromkeys(f"{one.status or ''} {one.detail}".strip() for one in newest if one.detail))


def _cause(cause: str, count: int, times: Mapping[str, Times]) -> CauseRow:
    is_credentials = cause == "credentials"
    return CauseRow(
        cause,
        count,
        Times.of_all(
            one for letters, one in times.items() if letters.startswith(CREDENTIALS) is is_credentials and count
        ),
    )


def _scope(scope: str, view: StateView, times: Times) -> ScopeRow:
    state = view.scope(scope)
    return ScopeRow(scope, state.state, state.since or None, times)
