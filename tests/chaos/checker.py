"""What must hold once it is quiet: topics, accounts, receipts, destinations' ledgers, against what was written."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from streams.delivery.letter import CAUSE_HEADER, PARKING_HEADERS, Verdict, verdict_of
from streams.state.records import CREDENTIALS, REJECTED
from streams.state.state_view import StateView
from streams.testing.emulators import EmulatorClient
from tests.chaos import plan
from tests.chaos.scene import Read
from tests.chaos.stagehand import Stagehand
from tests.chaos.witness import Witness
from tests.chaos.writer import LIFE, Written
from tests.state.auditor import Auditor, Receipt

OURS = PARKING_HEADERS | {"streams-origin"}
PROBE = "streams probe"
NAMED = 400
"""The status of a letter that its destination refused by name."""


@dataclass(slots=True)
class Life:
    """What happened to one event on one connector: its records on the topic, its letters, what became of them."""

    records: list[Read] = field(default_factory=list)
    letters: list[tuple[str, Read]] = field(default_factory=list)
    purged: int = 0
    parked: int = 0
    imported: int = 0
    """How many of the letters are copies that an import wrote."""

    @property
    def fresh(self) -> list[Read]:
        """As routed: one, or two where its Currents topic was made again and it was read twice."""
        return [record for record in self.records if verdict_of(record.headers) is None]

    @property
    def delivered(self) -> int:
        """How many records of it did not become letters. A letter that was imported was no record."""
        return len(self.records) - (len(self.letters) - self.imported)

    @property
    def is_given_up(self) -> bool:
        """Whether it was parked after a long outage: its destination may have taken it before that."""
        return any(is_given_up(letter) for _, letter in self.letters)


class Checker:
    """Looks at one connector after a round."""

    def __init__(self, stagehand: Stagehand, witness: Witness, connector: str, client: EmulatorClient) -> None:
        self._stagehand = stagehand
        self._ledger = stagehand.ledger
        self._witness = witness
        self._connector = connector
        self._client = client
        self._topics = stagehand.scene.settings.topics

    def check(self, *, is_calm: bool, sent_again_before: int) -> Counter[str]:
        """Raises `AssertionError` with what differs; gives what was counted."""
        view = self._stagehand.scene.accounts.state_views()[self._connector]
        receipts = self._receipts()
        lives = self._lives(view, receipts)
        expected = self._stagehand.expected(self._connector)
        self._check_topic(expected, lives)
        self._check_letters(expected, lives)
        self._check_order(lives)
        self._check_destination(expected, lives)
        self._check_account(lives, receipts)
        if is_calm:
            assert len(self._client.retried_400()) == sent_again_before, "what was refused by name was sent again"
        account = self._stagehand.scene.account(self._connector)
        return Counter(
            {
                "delivered": account.delivered,
                "records routed twice": sum(len(life.fresh) - 1 for life in lives.values()),
                "routings in no count": sum(len(life.fresh) for life in lives.values()) - account.routed,
                "records gone with a topic": len(expected.keys() - lives.keys()),
                "letters parked": sum(len(life.letters) - life.imported for life in lives.values()),
                "letters of what was given up": sum(
                    is_given_up(letter) for life in lives.values() for _, letter in life.letters
                ),
                "letters redriven": sum(view.totals.redriven.values()),
                "letters replayed": sum(view.totals.replayed.values()),
                "letters purged by deadline": sum(one.count for one in receipts if one.is_by_deadline),
                "letters purged by order": sum(one.count for one in receipts if not one.is_by_deadline),
                "epoch": 0 if view.holder is None else view.holder.epoch,
            }
        )

    def _name_of(self, record: Read) -> str:
        return self._ledger.name_of(origin_of(record), record.value)

    def _lives(self, view: StateView, receipts: Sequence[Receipt]) -> dict[str, Life]:
        lives: dict[str, Life] = defaultdict(Life)
        for record in self._witness.read(self._topics.connector(self._connector)):
            lives[self._name_of(record)].records.append(record)
        for letters, topic in self._letter_topics().items():
            gone = [receipt for receipt in receipts if receipt.letters == letters]
            for letter in self._witness.read(topic):
                life = lives[self._name_of(letter)]
                life.letters.append((letters, letter))
                is_purged = any(receipt.holds(letter.partition, letter.offset) for receipt in gone)
                life.purged += is_purged
                if is_purged:
                    assert view.is_settled((letters, letter.partition), letter.offset)
                life.parked += not view.is_settled((letters, letter.partition), letter.offset)
        for one in self._stagehand.imported[self._connector]:
            copy = Read(one.partition, one.offset, one.key, one.value, one.headers)
            lives[self._name_of(copy)].imported += 1
        # What was only found now to have been on a topic that is gone is known from here on.
        expected = self._stagehand.expected(self._connector)
        missing, unknown = expected.keys() - self._ledger.dead - lives.keys(), lives.keys() - expected.keys()
        assert not missing, f"{self._connector}: {len(missing)} not routed"
        assert not unknown, f"{self._connector}: {len(unknown)} routed that were never written"
        return lives

    def _letter_topics(self) -> dict[str, str]:
        names = {REJECTED: self._topics.dead_letter_rejected(self._connector)}
        for scope in plan.SCOPES[self._connector]:
            names[CREDENTIALS + scope] = self._topics.dead_letter_credentials(self._connector, scope)
        return names

    def _receipts(self) -> Sequence[Receipt]:
        auditor = Auditor(
            self._connector, self._stagehand.grace_ms(self._connector), self._stagehand.revoked[self._connector]
        )
        parked_at = {
            (letters, letter.partition, letter.offset): verdict(letter).parked_at_ms
            for letters, topic in self._letter_topics().items()
            for letter in self._witness.read(topic)
        }
        lines = [
            orjson.loads(record.value or b"")
            for record in self._witness.read(self._topics.audit)
            if record.key == self._connector.encode()
        ]
        return auditor.receipts(lines, parked_at)

    def _check_topic(self, expected: Mapping[str, Written], lives: Mapping[str, Life]) -> None:
        """Each event was routed once, and is the source's record, whenever it comes."""
        for origin, life in lives.items():
            many = len(life.fresh)
            assert 1 <= many <= self._ledger.readings_max(origin), f"{origin} was routed {many} times"
            for record in life.records:
                require_untouched(origin, record, expected[origin])

    def _check_letters(self, expected: Mapping[str, Written], lives: Mapping[str, Life]) -> None:
        """Each letter went back, was purged, or is parked; is the source's record; was parked for a good reason."""
        for origin, life in lives.items():
            back = len(life.records) - len(life.fresh)
            assert len(life.letters) == back + life.purged + life.parked, (
                f"{origin}: {len(life.letters)} letters, {back} went back, {life.purged} purged, {life.parked} parked"
            )
            there = len(life.fresh) + life.imported
            assert 0 <= life.delivered <= there, f"{origin} was parked more often than it was there"
            for letters, letter in life.letters:
                require_untouched(origin, letter, expected[origin])
                if letters == REJECTED and is_given_up(letter):
                    assert self._connector == plan.MPARTICLE, f"{origin}: {self._connector} gave up"
                elif letters == REJECTED:
                    status = verdict(letter).status
                    assert status == (NAMED if expected[origin].is_refused else 413), f"{origin} rejected with {status}"

    def _check_order(self, lives: Mapping[str, Life]) -> None:
        """Per key: what was routed in the order of its Currents topic, what came back in the order of its letters.

        Of what was routed twice, the second time counts: it is read from the topic's beginning then.
        """
        require_rising(
            ((life.fresh[-1].key, *place(origin)[:3]), life.fresh[-1].offset, place(origin)[3])
            for origin, life in lives.items()
        )
        require_rising(
            ((record.key, letters), record.offset, letter.offset)
            for life in lives.values()
            if len(life.fresh) == 1 and not life.imported and all(letters != REJECTED for letters, _ in life.letters)
            for record, (letters, letter) in zip(life.records[1:], life.letters, strict=False)
        )

    def _check_destination(self, expected: Mapping[str, Written], lives: Mapping[str, Life]) -> None:
        """Nothing missing, nothing twice after deduplication, nothing that was refused by name."""
        ids = stored_ids(self._client)
        twice = [event_id for event_id, count in Counter(ids).items() if count > 1]
        assert not twice, f"{self._connector}: {len(twice)} twice after deduplication, {twice[:3]} among them"
        stored = set(ids)
        owed = {expected[origin].event_id for origin, life in lives.items() if life.delivered}
        assert owed <= stored, (
            f"{self._connector}: {len(owed - stored)} missing, {sorted(owed - stored)[:3]} among them"
        )
        # What a destination took before its answer was lost may have been parked, and purged, all the same.
        perhaps = {expected[origin].event_id for origin, life in lives.items() if life.purged or life.is_given_up}
        assert stored <= owed | perhaps, (
            f"{self._connector}: {len(stored - owed - perhaps)} were stored and not accounted for"
        )
        refused = {one.event_id for one in expected.values() if one.is_refused}
        assert not refused & stored, f"{self._connector}: {len(refused & stored)} stored that it refuses"

    def _check_account(self, lives: Mapping[str, Life], receipts: Sequence[Receipt]) -> None:
        account = self._stagehand.scene.account(self._connector)
        uncounted = sum(len(life.fresh) for life in lives.values()) - account.routed
        assert 0 <= uncounted <= self._uncounted_max(lives), f"{self._connector}: {uncounted} routed and not counted"
        found = (
            account.imported,
            account.delivered,
            account.purged,
            account.lost,
            account.waiting,
        )
        counted = (
            sum(life.imported for life in lives.values()),
            sum(life.delivered for life in lives.values()),
            sum(receipt.count for receipt in receipts),
            0,
            0,
        )
        assert found == counted, f"{self._connector}: the account says {found}, counted {counted}: {account}"
        assert sum(life.purged for life in lives.values()) == account.purged
        assert sum(account.parked.values()) == sum(life.parked for life in lives.values())
        verification = self._stagehand.scene.verify(self._connector)
        assert (verification.waiting, +Counter(verification.parked)) == (0, +Counter(account.parked))
        # What is not counted as routed is missing in what waits, by the account before it is cut at 0.
        assert verification.account.waiting in (0, -uncounted)

    def _uncounted_max(self, lives: Mapping[str, Life]) -> int:
        """Routings of topics that were deleted, if a router was hurt before it told their counts."""
        topics = self._stagehand.uncounted
        return sum(
            len(life.fresh) for name, life in lives.items() if name in self._ledger.dead and place(name)[0] in topics
        )


def check_source(stagehand: Stagehand, witness: Witness) -> None:
    """What nothing can decode was parked once, as it was read, and counted. No Currents record counts as lost."""
    ledger = stagehand.ledger
    letters = witness.read(stagehand.scene.settings.topics.dead_letter_source)
    names = [ledger.name_of("/".join(part.decode() for part in connect_place(one)), one.value) for one in letters]
    expected = {name: one for name, one in ledger.written.items() if not one.event_id}
    parked = Counter(names)
    assert expected.keys() - ledger.dead <= parked.keys() <= expected.keys()
    for name, many in parked.items():
        assert many <= ledger.readings_max(name), f"{name} was parked {many} times"
    for name, letter in zip(names, letters, strict=True):
        require_untouched(name, letter, expected[name])
    counts = stagehand.scene.router_counts()
    assert (counts.undecodable, counts.lost) == (len(letters), 0)


def require_untouched(origin: str, record: Read, written: Written) -> None:
    """Key, value and every foreign header are the source's, in their order."""
    foreign = tuple((name, value) for name, value in record.headers if name not in OURS)
    assert (record.key, record.value, foreign) == (written.key, written.value, written.headers), f"{origin} was changed"


def require_rising(triples: Iterable[tuple[Any, int, int]]) -> None:
    """Of each group: sorted by the first number, the second rises too."""
    groups: dict[Any, list[tuple[int, int]]] = defaultdict(list)
    for group, first, second in triples:
        groups[group].append((first, second))
    for group, pairs in groups.items():
        seconds = [second for _, second in sorted(pairs)]
        assert seconds == sorted(seconds), f"out of order: {group}: {sorted(pairs)}"


def is_given_up(letter: Read) -> bool:
    return letter.header(CAUSE_HEADER) == b"gave-up"


def stored_ids(client: EmulatorClient) -> list[str]:
    """Ids of the events that a destination's users see; probes are for nobody's eyes."""
    return [
        row["properties"]["$insert_id"] if "properties" in row else row["source_request_id"]
        for row in client.unique()
        if PROBE not in [event["data"].get("event_name") for event in row.get("events", ())]
    ]


def origin_of(record: Read) -> str:
    return (record.header("streams-origin") or b"").decode()


def place(name: str) -> tuple[str, str, str, int]:
    """Topic, partition, the topic's life, offset."""
    topic, partition, rest = name.rsplit("/", 2)
    offset, _, life = rest.partition(LIFE)
    return topic, partition, life, int(offset)


def connect_place(letter: Read) -> tuple[bytes, ...]:
    return tuple(letter.header(f"__connect.errors.{part}") or b"" for part in ("topic", "partition", "offset"))


def verdict(letter: Read) -> Verdict:
    found = verdict_of(letter.headers)
    assert found is not None, "a letter without a verdict"
    return found
