"""What must hold on the way back, whatever happens: looked at after each step, and once more when all is calm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from streams.delivery.account import Account, SinkCounts, account
from streams.delivery.letter import CAUSE_HEADER, ORIGIN_HEADER, VERDICT_HEADER
from streams.delivery.received import received_by
from streams.delivery.sent_rows import flight, flight_row
from streams.events.encodings import SINGLE_OBJECT_HEADER_BYTES
from streams.events.schemas import shipped
from streams.ports.kafka import Partition
from streams.state.returned import returned_of
from streams.state.state_view import StateView
from streams.testing.ports import FakeMessage
from streams.wayback.records import NAMESPACE, Event, Record, reader
from tests.simulation import names as common
from tests.simulation.vendor import require
from tests.simulation.way_back import names
from tests.simulation.way_back.braze import Sent

if TYPE_CHECKING:
    from tests.simulation.way_back.world import WayBack

SKIPS = frozenset({"unchanged", "stale", "duplicate", "staged", "page"})
REJECTED, GAVE_UP = "rejected", "gave-up"


class Checker:
    """Looks at the world after each step."""

    def __init__(self, world: WayBack) -> None:
        self._world = world
        self._kafka = world.kafka
        self.view = StateView(common.CONNECTOR)
        self._read: dict[Partition, int] = {}
        self._seen: tuple[Any, ...] = ()
        self._written: Counter[Record] = Counter()
        """Records that receivers wrote, with how many partitions have each."""
        self._letters: list[tuple[Partition, int, str]] = []
        """Where each is, by its letters' name, and its cause."""
        self._owners: dict[Partition, int] = {}
        self._flights: dict[tuple[int, str], int] = {}
        """By partition and scope: events that a row says to be on their way."""
        self._last: dict[tuple[int, str], tuple[int, int]] = {}
        """By partition and scope: the owner who sent events last, and how many."""
        self._excusable = 0
        """Events that may rightly count as perhaps doubled, because a process went while they were on their way."""
        self._given_up: set[str] = set()
        """Events that became letters because their answer was lost."""
        self._committed: dict[Partition, int] = {}
        self._recent: dict[str, list[tuple[str, int]]] = {}
        """By user: processes whose requests about the user reached Braze, and after how many steps."""
        self._forgotten: dict[str, int] = {}
        """Users of whom Braze may have a word that nobody remembers, and since which step;"""
        self.unsure: set[str] = set()
        """those of whom a later word was parked then: `docs/way-back.md` promises nothing of these two together."""

    # After each step.

    def check(self) -> None:
        """Raises `Broken` where an invariant does not hold."""
        self._notice_owners()
        seen = self._fingerprint()
        if seen == self._seen:
            return
        self._seen = seen
        self._take_records()
        self._check_account(self.account())

    def require_written(self, records: Iterable[tuple[Record, int]]) -> None:
        """A request was answered 2xx: all of its records are in Kafka."""
        self._take_records()
        for record, partitions in records:
            there = self._written[_timeless(record)]
            require(there >= partitions, f"answered, and in {there} of {partitions} partitions: {record}")

    def require_allowed(self, born: str, sent: Sent) -> None:
        """A sink sends a request: what it holds is of one partition, and committed to be on its way."""
        self._take_records()
        for user in sent.users:
            self._recent.setdefault(user, []).append((born, self._world.steps))
        numbers = {self._kafka.partition(common.TOPIC, user.encode()) for user in sent.users}
        require(len(numbers) < 2, "a request holds records of two partitions")
        if not sent.events:
            return
        [number] = numbers
        place = (number, sent.scope)
        known = self._flights.get(place, 0)
        require(known == len(sent.events), f"{len(sent.events)} events are sent, and a row says {known}")
        self._last[place] = (self._owners.get((common.TOPIC, number), 0), len(sent.events))

    def went(self, born: str) -> None:
        """A process went, or lost what it owned: what it sent last may be remembered nowhere."""
        for user, recent in self._recent.items():
            if any(one == born and self._world.steps - step < RECENT_STEPS for one, step in recent):
                self._forgotten[user] = self._world.steps

    def _notice_owners(self) -> None:
        owners = dict(self._kafka.group(common.SINKS).owners)
        for place, owner in owners.items():
            if self._owners.get(place) != owner:
                self._excuse(place[1])
        self._owners = owners

    def _excuse(self, number: int) -> None:
        """A partition has another owner: one request of each scope may be doubled."""
        for scope in names.SCOPES:
            _, last = self._last.pop((number, scope), (0, 0))
            self._excusable += max(last, self._flights.get((number, scope), 0))

    def _fingerprint(self) -> tuple[Any, ...]:
        logs = sum(map(len, self._kafka.records.values()))
        commits = tuple(id(one) for group in self._kafka.groups.values() for one in group.committed.values())
        return logs, commits

    # What was written.

    def _take(self, topic: str) -> Iterator[FakeMessage]:
        """Records of a topic that were not taken before."""
        for place in self._world.partitions_of(topic):
            log = self._kafka.records[place]
            start, self._read[place] = self._read.get(place, 0), len(log)
            yield from (one for one in log[start:] if not one.is_marker)

    def _take_records(self) -> None:
        for message in self._take(common.TOPIC):
            headers = dict(message.headers() or ())
            if ORIGIN_HEADER not in headers and VERDICT_HEADER not in headers:
                self._written[_timeless(decoded(message.value() or b""))] += 1
        for letters, topic in self._world.topic_of_letters.items():
            for message in self._take(topic):
                self._take_letter(letters, message)
        for message in self._take(common.STATE):
            self.view.apply((message.key() or b"").decode(), message.value())
        for message in self._take(names.SENT):
            for scope in names.SCOPES:
                if message.key() == flight_row(scope):
                    found = flight(message.value())
                    self._flights[message.partition(), scope] = 0 if found is None else found.events

    def _take_letter(self, letters: str, message: FakeMessage) -> None:
        cause = (dict(message.headers() or ()).get(CAUSE_HEADER) or b"").decode()
        if cause == GAVE_UP:
            self._take_given_up(decoded(message.value() or b""))
        self._letters.append(((letters, message.partition()), message.offset(), cause))
        user = (message.key() or b"").decode()
        if cause != REJECTED and user in self._forgotten:
            self.unsure.add(user)

    def _take_given_up(self, record: Record) -> None:
        """An event whose answer was lost: Braze has it, or has not."""
        is_right = isinstance(record, Event) and self._world.begin.parks_in_doubt
        require(is_right, f"given up: {record}")
        assert isinstance(record, Event)
        self._given_up.add(record.name)

    # The account.

    def account(self) -> Account:
        """The connector's account, as every listing shows it."""
        rows = {one.key() or b"": one.value() or b"" for one in self._kafka.read(names.RECEIVED)}
        received = received_by(rows, [common.CONNECTOR])[common.CONNECTOR].received
        sinks = [position.metadata for position in self._kafka.group(common.SINKS).committed.values()]
        return account(common.CONNECTOR, sinks, [], replace(returned_of(self.view), received=received))

    def waiting(self) -> int:
        """Records on the connector's topic that no sink settled."""
        committed = self._kafka.group(common.SINKS).committed
        return sum(
            not one.is_marker
            for place in self._world.partitions_of(common.TOPIC)
            for one in self._kafka.records[place][committed[place].offset if place in committed else 0 :]
        )

    def held(self) -> Counter[str]:
        """Letters that are not settled, by cause."""
        return Counter(cause for place, offset, cause in self._letters if not self.view.is_settled(place, offset))

    def counts(self) -> SinkCounts:
        """What the sinks counted, added up."""
        counts = SinkCounts()
        for position in self._kafka.group(common.SINKS).committed.values():
            counts.add(SinkCounts.from_metadata(position.metadata))
        return counts

    def _check_account(self, found: Account) -> None:
        for place, position in self._kafka.group(common.SINKS).committed.items():
            before = self._committed.get(place, 0)
            require(position.offset >= before, f"a commit went back on {place} from {before} to {position.offset}")
            self._committed[place] = position.offset
        waiting = self.waiting()
        require(found.waiting == waiting, f"the account says {found.waiting} wait, there are {waiting}: {found}")
        unsettled = self.held()
        parked = {cause: count for cause, count in found.parked.items() if count}
        require(parked == dict(unsettled), f"the account says {parked} parked, there are {dict(unsettled)}")
        require(found.skipped.keys() <= SKIPS, f"skipped for a reason that nobody gave: {dict(found.skipped)}")
        require(not (found.lost or found.purged or found.expired), f"records are gone: {found}")
        self._check_doubled()

    def _check_doubled(self) -> None:
        """Each event that Braze has too often is counted, and no more than could be."""
        counted, found = self.counts().maybe_doubled, self._world.vendor.doubled
        # A person may replay letters of events that were given up in doubt: that is the person's decision.
        replayed = self._given_up if self._world.replays else frozenset()
        doubled = sum(count for event, count in found.items() if event not in replayed)
        require(doubled <= counted, f"Braze has {doubled} events too often, and {counted} are counted")
        most = self._excusable + self._world.vendor.in_doubt
        require(counted <= most, f"{counted} events count as perhaps doubled, at most {most} could be")

    # Once it is calm.

    def is_calm(self) -> bool:
        """Whether nothing waits, with a vendor or with us."""
        if not self._world.is_all_sent() or self.view.state.state != "RUNNING":
            return False
        is_valid = all(self.view.scope(scope).state == "VALID" for scope in names.SCOPES)
        found = self.account()
        parked = {cause for cause, count in found.parked.items() if count}
        return is_valid and not found.waiting and parked <= {REJECTED, GAVE_UP}

    def check_calm(self) -> None:
        """Braze has what is true."""
        require(
            self.is_calm(),
            lambda: f"it does not become calm: {self.account()}, {self.view.scopes}, {self.view.state}",
        )
        truth, braze = self._world.truth, self._world.vendor
        missing = truth.events.keys() - braze.events.keys() - self._given_up
        require(not missing, f"accepted, and not at Braze: {sorted(missing)}")
        users = braze.users()
        for number, user in enumerate(names.USERS):
            if user not in self.unsure:
                self._check_user(number, users[user])

    def _check_user(self, number: int, row: dict[str, Any]) -> None:
        user, truth = names.USERS[number], self._world.truth
        attributes = dict(row["attributes"])
        groups, both = truth.cohorts(number, "cohorts"), truth.cohorts(number, "both")
        wanted = sorted({names.COHORT_NAMES[group] for group in groups})
        found = sorted(attributes.pop("Mixpanel_Cohorts", []))
        require(found == wanted, f"{user} is in {found} by the attribute, and by Mixpanel in {wanted}")
        wanted = sorted({names.COHORT_NAMES[group] for group in both})
        found = sorted(attributes.pop("Both", []))
        require(found == wanted, f"{user} is in {found} by the attribute Both, and by Mixpanel in {wanted}")
        wanted = sorted(group.partition("/")[2] for group in both)
        require(row["cohorts"] == wanted, f"{user} is in {row['cohorts']} by import, and by Mixpanel in {wanted}")
        known = truth.attributes(number)
        require(attributes == known, f"{user} has {attributes} at Braze, and {known} at mParticle")


RECENT_STEPS = 200
"""What was sent so long before is committed: about two seconds."""


def _timeless(record: Record) -> Record:
    """What is the same whenever a request comes again: its ids of our own and its times are not."""
    changed: dict[str, Any] = {"time_ms": 0, "received_ms": 0}
    return replace(record, **changed)


def decoded(value: bytes) -> Record:
    """A record of the connector's topic."""
    schema = _BY_FINGERPRINT[value[2:SINGLE_OBJECT_HEADER_BYTES]]
    read = reader(schema)
    assert read is not None, "a record of the way back"
    return read(value, SINGLE_OBJECT_HEADER_BYTES)


_BY_FINGERPRINT = {schema.fingerprint: schema for schema in shipped() if schema.event_type.startswith(NAMESPACE)}
