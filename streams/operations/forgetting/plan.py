"""What is known of some users here: their dead letters, what sinks remember, and topics that may hold their records."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streams.config import Connector
from streams.config.names import SOURCE
from streams.config.topology import kept_ms
from streams.delivery.forgotten import ForgottenUser, hash_of, new_salt
from streams.delivery.letter import CAUSE_HEADER, header_of
from streams.destinations.privacy import USER_FIELD
from streams.operations.dead_letters.open_letters import OpenLetters, Report, open_letters, silent
from streams.operations.errors import BadRequest, OperationError, PlanStale
from streams.operations.installation import Installation
from streams.ports.errors import TopicMissing
from streams.state.moments import iso
from streams.wayback import rows

USERS_MAX = 1_000
"""Of one plan: what one order to a keeper may hold."""
PLAN_ID_DIGITS = 12


@dataclass(frozen=True, slots=True)
class ForgetPart:
    """What is known of the users at one connector, or at `source`."""

    connector: str
    letters: Mapping[str, int]
    """Dead letters by cause."""
    remembered: int
    """Rows of `streams.sent.<connector>` that tell what was sent of them."""
    open_copies: int
    """Full copies of cohorts and audiences that are under way; they lose these users."""
    topic: str
    """The connector's topic, which may hold records of theirs; empty for `source`."""

    def to_json(self) -> dict[str, Any]:
        return {
            "connector": self.connector,
            "letters": dict(self.letters),
            "remembered": self.remembered,
            "open_copies": self.open_copies,
            "topic": self.topic or None,
        }


@dataclass(frozen=True, slots=True)
class ForgetPlan:
    """`users` is how many; nobody is named. Until `until_ms` topics may hold their records, which are skipped."""

    id: str
    users: int
    parts: tuple[ForgetPart, ...]
    until_ms: int
    warnings: tuple[str, ...] = ()
    salt: str = field(default="", repr=False)
    hashes: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    """By connector."""

    @property
    def letters(self) -> int:
        return sum(sum(part.letters.values()) for part in self.parts)

    def to_json(self) -> dict[str, Any]:
        return {
            "plan": self.id,
            "users": self.users,
            "letters": self.letters,
            "skipped_until": iso(self.until_ms),
            "connectors": [part.to_json() for part in self.parts],
            "warnings": list(self.warnings),
        }


def forget_plan(
    installation: Installation, external_ids: Collection[str], *, expected: str | None = None, report: Report = silent
) -> ForgetPlan:
    """The plan, as of now. `expected` is the id that it must have. `report` gets the number of letters read.

    Raises `BadRequest`, `PlanStale`, `OperationError` where `streams.forgotten` is missing, and `KafkaUnreachable`.
    """
    users = frozenset(external_ids)
    _check(users)
    salt = _salt(installation)
    settings = installation.settings
    parts = []
    hashes = {}
    warnings: list[str] = []
    digest = hashlib.sha256()
    for name in (*settings.connectors, *([SOURCE] if settings.needs_router else [])):
        connector = settings.connectors.get(name)
        known = users if connector is None else users | _as_they_leave(connector, users, warnings)
        hashes[name] = tuple(sorted(hash_of(salt, user) for user in known))
        with open_letters(installation, name) as opened:
            letters = _letters(opened, users, digest, report)
        remembered, copies = (0, 0) if connector is None else _remembered(installation, connector, known)
        topic = "" if connector is None else settings.topics.connector(name)
        parts.append(ForgetPart(name, letters, remembered, copies, topic))
        digest.update(f"{name} {remembered} {len(users)};".encode())
    plan_id = digest.hexdigest()[:PLAN_ID_DIGITS]
    if expected is not None and plan_id != expected:
        raise PlanStale(f"plan {expected} is stale: letters came or were settled meanwhile. It is now plan {plan_id}")
    until = installation.clock.epoch_ms() + kept_ms(settings)
    return ForgetPlan(plan_id, len(users), tuple(parts), until, tuple(warnings), salt, hashes)


def _check(users: Collection[str]) -> None:
    if not users or not all(user.strip() for user in users):
        raise BadRequest("give the external ids of the users, none of them blank", fields=("external-id", "from"))
    if len(users) > USERS_MAX:
        raise BadRequest(
            f"{len(users):,} users: at most {USERS_MAX:,} at a time, one plan after the other",
            fields=("external-id", "from"),
        )


def _salt(installation: Installation) -> str:
    """The salt that others are forgotten with, so that a record is hashed once; a new one where there are none."""
    topic = installation.settings.topics.forgotten
    salts: dict[str, int] = {}
    try:
        values = installation.read_latest(topic, b"").values()
    except TopicMissing:
        raise OperationError(f"there is no topic {topic}; make it with `streams topics apply`") from None
    for value in values:
        salt = ForgottenUser.model_validate_json(value).salt
        salts[salt] = salts.get(salt, 0) + 1
    return max(salts, key=lambda salt: salts[salt]) if salts else new_salt()


def _as_they_leave(connector: Connector, users: Collection[str], warnings: list[str]) -> frozenset[str]:
    """The same users as a connector that hashes external ids remembers them."""
    hashed = connector.privacy.hash
    if not connector.kind.is_received or hashed is None or USER_FIELD not in hashed.fields:
        return frozenset()
    try:
        rules = connector.privacy.rules()
    except ValueError as error:
        warnings.append(
            f"{connector.name} remembers hashes of users, and their salt cannot be read here: {error}. What it "
            "remembers stays; plan where the salt can be read"
        )
        return frozenset()
    return frozenset(rules.user(user) for user in users)


def _letters(opened: OpenLetters, users: Collection[str], digest: hashlib._Hash, report: Report) -> dict[str, int]:
    counts: dict[str, int] = {}
    events = opened.events
    for (topic, number), messages in opened.scan(opened.starts(opened.dead.topics), report):
        for message in messages:
            if opened.is_settled((topic, number), message.offset()) or events.user(message) not in users:
                continue
            cause = (header_of(message.headers() or [], CAUSE_HEADER) or b"").decode("ascii", "replace") or "unknown"
            counts[cause] = counts.get(cause, 0) + 1
            digest.update(f"{topic}/{number}/{message.offset()},".encode())
    return counts


def _remembered(installation: Installation, connector: Connector, users: Collection[str]) -> tuple[int, int]:
    """Rows of these users, and open copies."""
    if not connector.kind.is_received:
        return 0, 0
    topic = installation.settings.topics.sent(connector.name)
    found = copies = 0
    wanted = {row(user) for user in users for row in (rows.user_row, rows.import_row)}
    for _, partition in installation.cluster.partitions(topic):
        latest: dict[bytes, bytes | None] = {}
        for batch in installation.read_rows(topic, partition):
            latest.update((key, value) for key, value in batch if key in wanted or key.startswith(rows.GROUP))
        found += sum(latest.get(key) is not None for key in wanted)
        copies += _open(latest)
    return found, copies


def _open(latest: Mapping[bytes, bytes | None]) -> int:
    groups: Sequence[bytes] = [value for key, value in latest.items() if value and key.startswith(rows.GROUP)]
    return sum(len(rows.copies(value).open) for value in groups)
