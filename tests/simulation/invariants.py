"""What must hold after every step (DESIGN's invariants), and what must hold once it is quiet.

The checker knows what was written to the Currents topic, and reads the other topics, the commits and the destination
as they are. It follows each event's life: its records on the connector's topic, its letters, and what passed by the
committed offset. Everything is read once: a check costs what happened since the last.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from streams.delivery.account import Account, RouterCounts, SinkCounts, account
from streams.delivery.letter import (
    CAUSE_HEADER,
    CONNECT_OFFSET_HEADER,
    CONNECT_PARTITION_HEADER,
    CONNECT_TOPIC_HEADER,
    ORIGIN_HEADER,
    PARKING_HEADERS,
    VERDICT_HEADER,
    Origin,
    verdict_of,
)
from streams.operations.verification import may_lack_records
from streams.ports.kafka import Partition
from streams.state.audit import Passed
from streams.state.records import CREDENTIALS
from streams.state.returned import returned_of
from streams.state.state_view import StateView
from streams.testing.ports import FakeMessage
from streams.workers.keeper.refused import NOT_TAKEN_BACK
from streams.workers.reading.start_positions import NEVER
from tests.simulation import names
from tests.simulation.vendor import Broken, require
from tests.state.auditor import Auditor, Receipt

if TYPE_CHECKING:
    from tests.simulation.world import Source, World

OURS = PARKING_HEADERS | {ORIGIN_HEADER}
SKIPS = {"no-user": "no_external_user_id", "not-selected": "not_selected", "no-mapping": "no_mapping"}
"""Why the router skips an event, by its kind."""
ROUTED = ("good", "bad", "large", "web")
PASSED = Passed.model_fields["what"].default


@dataclass(slots=True)
class Life:
    """What happened to one event."""

    fresh: int = 0
    """Its records on the connector's topic that the router wrote,"""
    back: int = 0
    """and those that came back from letters."""
    letters: int = 0
    passed: int = 0
    """How many of its records the sinks committed,"""
    deleted: int = 0
    """and how many of these retention had deleted by then: they were read before, or lost;"""
    skipped: int = 0
    """and how many no topic of dead letters takes."""

    @property
    def gone(self) -> int:
        """How many of its records were delivered, or lost to retention."""
        return self.passed - self.letters - self.skipped


@dataclass(slots=True)
class Standing:
    """How the connector stood from an offset of the state topic on."""

    offset: int
    invalid: frozenset[str]
    """Its scopes that are INVALID."""
    is_suspended: bool


@dataclass(slots=True)
class Letter:
    """A dead letter of the connector."""

    letters: str
    partition: int
    offset: int
    cause: str
    parked_at_ms: int
    """By the clock of the sink that wrote it,"""
    written_ms: int
    """and by the broker's."""

    @property
    def place(self) -> Partition:
        return (self.letters, self.partition)


class Checker:
    """Looks at the world after each step."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._kafka = world.kafka
        self.is_stale = True
        """Whether something was written that no process wrote."""
        self.view = StateView(names.CONNECTOR)
        self._read: dict[Partition, int] = {}
        self._seen: tuple[Any, ...] = ()
        self._lives: dict[tuple[str, int, int], Life] = defaultdict(Life)
        self._last_routed: dict[tuple[int, bytes | None], int] = {}
        self._letters: list[Letter] = []
        self._source_letters: Counter[tuple[str, int, int]] = Counter()
        self._parked: Counter[str] = Counter()
        self._routed: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()
        """By the routers, for sure;"""
        self._perhaps_skipped: Counter[str] = Counter()
        """and what retention had deleted when they passed it: skipped before, or lost."""
        self._before_first: dict[str, int] = {}
        """What retention deleted before a group ever read the partition, by the partition's name: in no count."""
        self._lost_by_routers = 0
        """For sure."""
        self._refused_by_kafka: set[tuple[str, int, int]] = set()
        """Currents records that neither the connector's topic nor the source's dead letters take."""
        self._committed: dict[tuple[str, Partition], int] = {}
        self._standings: list[Standing] = [Standing(0, frozenset(), is_suspended=False)]
        self._ever_invalid: set[str] = set()
        self._probed_at: dict[tuple[str, int], int] = {}
        """When the answer to a probe was written (ms, by the broker's clock), by its scope and the time it says."""
        self._refused_to_sinks = 0
        """Records that no topic of dead letters takes."""
        self._no_feed = 0
        """Records without credentials that the sinks passed, for sure;"""
        self._perhaps_no_feed = 0
        """and what retention had deleted when they passed it: skipped before, or lost."""
        self._epochs: dict[str, int] = {}
        self._auditor = Auditor(names.CONNECTOR, round(names.GRACE_SECONDS * 1000), world.vendor.refused)
        self.receipts: list[Receipt] = []
        self._owners: dict[str, dict[Partition, int]] = {}
        self._last_returned: dict[tuple[str, int], int] = {}

    # After every step.

    def check(self) -> None:
        """Raises `Broken`, or `AssertionError` of the auditor, where an invariant does not hold."""
        self._notice_rebalances()
        seen = self._fingerprint()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._take_records()
            self._take_commits()
            self._check_routed()
            self._check_account()
            self._check_deleted()
        except AssertionError as error:
            raise error if isinstance(error, Broken) else Broken(str(error)) from error

    def clocks_differ(self) -> None:
        """From now on the audit is written by clocks that differ from the destination's."""
        self._auditor.clock_error_ms = round(names.CLOCKS_SECONDS * 1000)

    def require_allowed(self, state_offset: int, scope: str) -> None:
        """A sink that read the state up to this offset sends events: neither to a dead key, nor while SUSPENDED."""
        self._take_state()
        standing = next(one for one in reversed(self._standings) if one.offset <= state_offset)
        require(scope not in standing.invalid, f"events were sent though the sink knew that {scope} is INVALID")
        require(not standing.is_suspended, "events were sent though the sink knew that the connector is SUSPENDED")

    def _notice_rebalances(self) -> None:
        for name, group in self._kafka.groups.items():
            before = self._owners.get(name, {})
            if before != group.owners:
                if name == names.SINKS:
                    gone = [place for place, owner in before.items() if group.owners.get(place) != owner]
                    self._world.vendor.taken_away.update(number for _, number in gone)
                self._owners[name] = dict(group.owners)
                self._world.vendor.disturbances += 1

    def _fingerprint(self) -> tuple[Any, ...]:
        """Another one whenever something was written, committed or deleted."""
        logs = sum(map(len, self._kafka.records.values()))
        commits = tuple(id(one) for group in self._kafka.groups.values() for one in group.committed.values())
        return logs, commits, tuple(self._kafka.deleted_before.values())

    def _take(self, topic: str) -> Iterator[FakeMessage]:
        """Records of a topic that were not taken before."""
        for place in self._world.partitions_of(topic):
            log = self._kafka.records[place]
            start, self._read[place] = self._read.get(place, 0), len(log)
            yield from (one for one in log[start:] if not one.is_marker)

    def _take_records(self) -> None:
        for record in self._take(names.TOPIC):
            self._take_delivery(record)
        for letters, topic in self._world.topic_of_letters.items():
            for record in self._take(topic):
                self._take_letter(letters, record)
        for record in self._take(names.SOURCE_LETTERS):
            self._take_source_letter(record)
        self._take_state()
        self._take_audit()

    def _source_of(
        self, record: FakeMessage, headers: Mapping[str, bytes | None]
    ) -> tuple[tuple[str, int, int], Source]:
        """The Currents record that this one is, byte for byte."""
        origin = Origin.from_header(headers.get(ORIGIN_HEADER) or b"")
        require(origin is not None, "a record without an origin")
        assert origin is not None
        place = (origin.topic, origin.partition, origin.offset)
        source = self._world.sources.get(place)
        require(source is not None, f"a record of {place} was never written")
        assert source is not None
        foreign = [(name, value) for name, value in record.headers() or () if name not in OURS]
        is_same = (record.key(), record.value(), foreign) == (
            source.record.key(),
            source.record.value(),
            source.record.headers(),
        )
        require(is_same, f"{source.event_id} was changed on its way to {record.topic()}")
        return place, source

    def _take_delivery(self, record: FakeMessage) -> None:
        """A record on the connector's topic: routed once and in order, or come back."""
        headers = dict(record.headers() or ())
        place, source = self._source_of(record, headers)
        self._world.vendor.partitions[source.event_id] = record.partition()
        life = self._lives[place]
        if VERDICT_HEADER in headers:
            life.back += 1
            require(life.back <= life.letters, f"{source.event_id} came back more often than it was parked")
            return
        life.fresh += 1
        require(source.kind in ROUTED, f"{source.event_id} was routed")
        require(life.fresh == 1, f"{source.event_id} was routed twice")
        sequence = (place[1], record.key())
        require(self._last_routed.get(sequence, -1) < place[2], f"{source.event_id} was routed out of order")
        self._last_routed[sequence] = place[2]
        self._routed[source.kind] += 1

    def _take_letter(self, letters: str, record: FakeMessage) -> None:
        headers = dict(record.headers() or ())
        place, source = self._source_of(record, headers)
        verdict = verdict_of(record.headers() or [])
        require(verdict is not None, f"a letter of {source.event_id} without a verdict")
        assert verdict is not None
        cause = (headers.get(CAUSE_HEADER) or b"").decode()
        if not verdict.detail.startswith(NOT_TAKEN_BACK):  # else a keeper moved the letter of a sink
            self._lives[place].letters += 1
            self._parked[cause] += 1
        self._letters.append(
            Letter(letters, record.partition(), record.offset(), cause, verdict.parked_at_ms, record.written_ms or 0)
        )
        is_credentials = letters.startswith(CREDENTIALS)
        require(is_credentials == (cause == "credentials"), f"{source.event_id} is parked as {cause} in {letters}")
        if is_credentials:
            is_its_own = letters == CREDENTIALS + source.scope
            require(is_its_own, f"{source.event_id} of {source.scope} is parked in {letters}")
            self._take_state()
            require(source.scope in self._ever_invalid, f"{source.event_id} is parked though {letters} were never bad")

    def _take_source_letter(self, record: FakeMessage) -> None:
        headers = dict(record.headers() or ())
        connect = (headers[CONNECT_TOPIC_HEADER], headers[CONNECT_PARTITION_HEADER], headers[CONNECT_OFFSET_HEADER])
        topic, number, offset = ((value or b"").decode() for value in connect)
        place = (topic, int(number), int(offset))
        source = self._world.sources[place]
        self._source_letters[place] += 1
        cause = (headers.get(CAUSE_HEADER) or b"").decode()
        is_refused = source.kind == "large" and cause == "refused"
        require(is_refused or source.kind == "undecodable", f"{source.event_id} was parked as {cause}")
        require(self._source_letters[place] == 1, f"{source.event_id} was parked twice")
        require(record.value() == source.record.value(), f"{source.event_id} was changed")

    def _take_state(self) -> None:
        """The state as it was written; a keeper that was replaced writes nothing more."""
        for record in self._take(names.STATE):
            name, value = (record.key() or b"").decode(), record.value()
            epoch = int(orjson.loads(value).get("epoch", 0)) if value else 0
            connector = name.split("/")[1]
            if epoch:
                known = self._epochs.get(connector, 0)
                is_next = name.startswith("keeper/") and epoch in (known, known + 1)
                require(epoch == known or is_next, f"epoch {epoch} wrote {name} after epoch {known} began")
                self._epochs[connector] = epoch
            self.view.apply(name, value)
            if name.startswith("scope/"):
                scope = name.rpartition("/")[2]
                began = self.view.scope(scope).probe_began
                self._probed_at.setdefault((scope, began), record.written_ms or 0)
            invalid = self._in_state("INVALID")
            is_suspended = self.view.state.state == "SUSPENDED"
            last = self._standings[-1]
            self._ever_invalid |= invalid
            if (last.invalid, last.is_suspended) != (invalid, is_suspended):
                standing = Standing(record.offset() + 1, invalid, is_suspended=is_suspended)
                self._standings.append(standing)
                # What is refused while nothing may be parked is sent once more afterwards.
                self._world.vendor.disturbances += is_suspended

    def _in_state(self, state: str) -> frozenset[str]:
        """The scopes that are in this state."""
        return frozenset(scope for scope in self._world.vendor.wire.scopes if self.view.scope(scope).state == state)

    def _take_audit(self) -> None:
        """Purges by their receipts: none early, none while VALID or SUSPENDED, none without a name or reason."""
        lines = []
        for record in self._take(names.AUDIT):
            line = orjson.loads(record.value() or b"")
            if line["what"] == PASSED:
                self._take_passed_over(line)
            if line.get("why") == NEVER:
                self._before_first |= line["partitions"]
            if record.key() == names.CONNECTOR.encode():
                lines.append(line)
                if line["what"] == "purged" and "scope" in line:
                    self._check_purge(line, record.written_ms or 0)
        if lines:
            parked_at = {(one.letters, one.partition, one.offset): one.parked_at_ms for one in self._letters}
            if not any(line["what"] == "purged" for line in lines):
                parked_at = {}
            self.receipts += self._auditor.receipts(lines, parked_at)

    def _check_purge(self, line: Mapping[str, Any], written_ms: int) -> None:
        """A purge by the deadline, at this moment of the world's clock: whatever the clocks of processes say."""
        error_ms = line["at"] - written_ms
        is_right = abs(error_ms) <= names.KEEPER_SECONDS_MAX * 1000
        # A clock that was right at the probe may jump before anything tells the keeper so: it goes by the probe's time.
        set_at = self._world.clocks_set_at.get(line["who"].removeprefix("keeper "), 0)
        has_jumped = set_at >= self._probed_at[line["scope"], line["probe_began"]]
        is_right = is_right or has_jumped
        require(is_right, f"purged by a keeper whose clock differs by {error_ms / 1000:.0f} s: {line}")
        waiting = [one for one in self.view.requests.values() if one.what == "extend"]
        is_extended = any(one.arguments.get("scope") == line["scope"] for one in waiting)
        require(not is_extended, f"purged while an extension waited: {line}")
        letters = CREDENTIALS + line["scope"]
        ranges = {int(number): spans for number, spans in line["offsets"].items()}
        for one in self._letters:
            error = max(abs(one.parked_at_ms - one.written_ms), 0 if has_jumped else abs(error_ms))
            is_good = error <= names.CLOCKS_SECONDS * 1000
            is_purged = one.letters == letters and any(
                first <= one.offset < end for first, end in ranges.get(one.partition, ())
            )
            age_ms = written_ms - one.written_ms
            is_old = age_ms >= names.GRACE_SECONDS * 1000
            require(is_old or not (is_good and is_purged), f"purged after {age_ms / 1000:.0f} s: {one}, {line}")

    def _take_passed_over(self, line: Mapping[str, Any]) -> None:
        """Records that no topic takes: each is named once."""
        require(len(line["records"]) == line["count"], f"places are missing: {line}")
        origins = [Origin.from_header(place.encode()) for place in line["records"]]
        places = [(one.topic, one.partition, one.offset) for one in origins if one is not None]
        if line["who"] == "router":
            require(self._refused_by_kafka.isdisjoint(places), f"a record was passed over twice: {line}")
            self._refused_by_kafka.update(places)
        elif line["who"].startswith("sink"):
            for place in places:
                self._lives[place].skipped += 1
                self._refused_to_sinks += 1
        for place in places:
            is_large = place not in self._world.sources or self._world.sources[place].kind == "large"
            require(is_large, f"Kafka would have taken it: {line}")

    # What the commits say, and what they passed.

    def _take_commits(self) -> None:
        for place in self._world.partitions_of(names.TOPIC):
            for record in self._passed(names.SINKS, place):
                origin = Origin.from_header(dict(record.headers() or ())[ORIGIN_HEADER] or b"")
                assert origin is not None
                life = self._lives[origin.topic, origin.partition, origin.offset]
                life.passed += 1
                is_deleted = record.offset() < self._kafka.earliest(place)
                life.deleted += is_deleted
                if not self._world.sources[origin.topic, origin.partition, origin.offset].scope:
                    life.skipped += not is_deleted
                    self._no_feed += not is_deleted
                    self._perhaps_no_feed += is_deleted
                self._check_settled((origin.topic, origin.partition, origin.offset), life)
        for place in self._world.partitions_of(names.SOURCE):
            for record in self._passed(names.ROUTERS, place):
                is_deleted = record.offset() < self._kafka.earliest(place)
                self._take_routed((*place, record.offset()), is_deleted=is_deleted)

    def _take_routed(self, place: tuple[str, int, int], *, is_deleted: bool) -> None:
        """A Currents record that the routers passed: it has one fate. Only what is deleted may have none."""
        source = self._world.sources[place]
        fates = self._lives[place].fresh + self._source_letters[place] + (place in self._refused_by_kafka)
        require(fates <= 1, f"{source.event_id} was routed, and parked")
        if source.kind in SKIPS:
            (self._perhaps_skipped if is_deleted else self._skipped)[SKIPS[source.kind]] += 1
        elif not fates:
            require(is_deleted, f"{source.event_id} was passed, and neither routed nor parked")
            self._lost_by_routers += place[2] >= self._before_first.get(f"{place[0]}/{place[1]}", 0)

    def _passed(self, group: str, place: Partition) -> Iterator[FakeMessage]:
        """Records that the group committed since the last look."""
        position = self._kafka.group(group).committed.get(place)
        if position is None:
            return
        before = self._committed.get((group, place), 0)
        require(position.offset >= before, f"{group} went back on {place} from {before} to {position.offset}")
        self._committed[group, place] = position.offset
        yield from (one for one in self._kafka.records[place][before : position.offset] if not one.is_marker)

    def _check_settled(self, place: tuple[str, int, int], life: Life) -> None:
        """What was passed was delivered or parked, or it was deleted before."""
        source = self._world.sources[place]
        require(life.gone in (0, 1), f"{source.event_id}: passed {life.passed} times, {life.letters} letters")
        if life.gone and not life.deleted:
            require(source.event_id in self._world.vendor.taken, f"{source.event_id} was lost: passed, not delivered")

    def _check_routed(self) -> None:
        """The routers' counts are what is on the connector's topic, at every moment."""
        counts = RouterCounts()
        for position in self._kafka.group(names.ROUTERS).committed.values():
            counts.add(RouterCounts.from_metadata(position.metadata))
        require(
            counts.routed_to(names.CONNECTOR) == sum(self._routed.values()),
            f"the routers count {counts.routed} routed, {dict(self._routed)} are there",
        )
        require(counts.undecodable == self._source_letters.total(), "the routers' undecodable records differ")
        refused = counts.skipped.get("refused_by_kafka", 0)
        require(
            refused == len(self._refused_by_kafka), f"the routers count {refused} refused: {self._refused_by_kafka}"
        )
        for reason in SKIPS.values():
            count, least = counts.skipped.get(reason, 0), self._skipped[reason]
            is_right = least <= count <= least + self._perhaps_skipped[reason]
            require(is_right, f"the routers skipped {counts.skipped}, not {self._skipped} and {self._perhaps_skipped}")
        passed = sum(
            one.offset - self._before_first.get(f"{place[0]}/{place[1]}", 0)
            for place, one in self._kafka.group(names.ROUTERS).committed.items()
        )
        settled = counts.routed_to(names.CONNECTOR) + counts.undecodable + sum(counts.skipped.values())
        require(counts.read == settled, f"the routers read {counts.read}, and {settled} were settled")
        require(counts.lost == passed - settled, f"the routers count {counts.lost} lost, of {passed} and {settled}")
        require(counts.lost >= self._lost_by_routers, f"the routers count {counts.lost} lost, there are more")

    def account(self) -> Account:
        """The connector's account, as every listing shows it."""
        self._take_state()
        sinks = [position.metadata for position in self._kafka.group(names.SINKS).committed.values()]
        routers = [position.metadata for position in self._kafka.group(names.ROUTERS).committed.values()]
        return account(names.CONNECTOR, sinks, routers, returned_of(self.view))

    def waiting(self) -> int:
        """Records on the connector's topic that no sink settled; those that were deleted, too."""
        return sum(
            not one.is_marker
            for place in self._world.partitions_of(names.TOPIC)
            for one in self._kafka.records[place][self._passed_by_sinks(place) :]
        )

    def has_deleted(self) -> bool:
        """Whether records may have been deleted that no sink committed past, as `streams` judges it."""
        return any(
            may_lack_records(self._passed_by_sinks(place), self._kafka.earliest(place), len(self._kafka.records[place]))
            for place in self._world.partitions_of(names.TOPIC)
        )

    def _passed_by_sinks(self, place: Partition) -> int:
        committed = self._kafka.group(names.SINKS).committed.get(place)
        return 0 if committed is None else committed.offset

    def _check_account(self) -> None:
        """The account says what the topics hold."""
        counts = SinkCounts()
        for position in self._kafka.group(names.SINKS).committed.values():
            counts.add(SinkCounts.from_metadata(position.metadata))
        require(counts.parked == dict(self._parked), f"the sinks parked {counts.parked}, there are {self._parked}")
        found = self.account()
        parked = Counter(dict.fromkeys(found.parked, 0))
        parked.update(one.cause for one in self._letters if not self.view.is_settled(one.place, one.offset))
        require(dict(found.parked) == dict(parked), f"the account says {found.parked} parked, there are {parked}")
        # Gaps are counted by their offsets, with markers, until a keeper counted the records.
        uncounted = counts.lost - self.view.totals.overcounted
        too_few = self.waiting() - found.waiting
        require(0 <= too_few <= uncounted, f"the account says {found.waiting} wait, there are {self.waiting()}")
        self._check_gone(found)
        settled = found.delivered + sum(found.skipped.values()) + sum(found.parked.values())
        rest = found.purged + found.expired + found.lost + found.waiting
        require(found.routed + found.imported + found.again == settled + rest, f"the account does not add up: {found}")
        require(
            found.purged + found.expired == sum(receipt.count for receipt in self.receipts),
            f"{found.purged} purged, {found.expired} expired, and receipts of {[one.count for one in self.receipts]}",
        )
        back = self.view.totals.redriven.get("credentials", 0) + sum(self.view.totals.replayed.values())
        require(back == sum(life.back for life in self._lives.values()), f"{back} went back, and others are there")

    def _check_gone(self, found: Account) -> None:
        """What was passed and is in no letter was delivered, skipped or lost; lost is only what was deleted."""
        lives = self._lives.values()
        skipped = self._refused_to_sinks
        moved = sum(self.view.totals.passed.values())
        is_right = found.skipped.get("refused_by_kafka", 0) == skipped + moved
        require(is_right, f"the account says {found.skipped} skipped, there are {skipped} and {moved}")
        no_feed = found.skipped.get("no_credentials_for_feed", 0)
        is_right = self._no_feed <= no_feed <= self._no_feed + self._perhaps_no_feed
        require(is_right, f"the account says {found.skipped} skipped, {self._no_feed} have no credentials")
        gone = sum(life.gone for life in lives)
        deleted = sum(life.gone for life in lives if life.deleted)
        lost = gone - found.delivered - (no_feed - self._no_feed)
        require(0 <= lost <= deleted, f"{found.delivered} delivered, {gone} are settled, and {deleted} were deleted")

    def _check_deleted(self) -> None:
        """Bytes go only once their letters are settled, and that is committed."""
        for letters, topic in self._world.topic_of_letters.items():
            for number in range(names.PARTITIONS):
                before = self._kafka.deleted_before.get((topic, number), 0)
                require(before <= self.view.cursor((letters, number)), f"{letters}/{number}: deleted before {before}")

    # Once it is quiet.

    def is_settled(self) -> bool:
        """Whether nothing waits: all is delivered, or parked."""
        routers, sources = self._kafka.group(names.ROUTERS).committed, self._world.sources
        last = {place: len(self._kafka.records[place]) for place in self._world.partitions_of(names.SOURCE)}
        if sources and any(
            end and (place not in routers or routers[place].offset < end) for place, end in last.items()
        ):
            return False
        is_good = self.view.state.state == "RUNNING" and self._in_state("INVALID") <= self._world.vendor.dead
        good = self._world.topic_of_letters.keys() - {CREDENTIALS + scope for scope in self._world.vendor.dead}
        parked = [one for one in self._letters if one.cause == "credentials" and one.letters in good]
        return is_good and not self.account().waiting and all(map(self._is_settled, parked))

    def _is_settled(self, letter: Letter) -> bool:
        return self.view.is_settled(letter.place, letter.offset)

    def check_settled(self) -> None:
        """Whatever has good credentials is delivered, though others' are bad."""
        require(
            self.is_settled(),
            lambda: f"{self._world.vendor.dead} hold up the others: {self.account()}, {self.view.scopes}",
        )

    def is_quiet(self) -> bool:
        """Whether all is fixed, and nothing waits."""
        return self.is_settled() and self._in_state("VALID") == set(self._world.vendor.wire.scopes)

    def check_quiet(self) -> None:
        """Everything that could be delivered was, or a receipt says why not."""
        require(
            self.is_quiet(),
            lambda: f"it does not become quiet: {self.account()}, {self.view.scopes}, {self.view.state}",
        )
        found = self.account()
        no_feed = found.skipped.get("no_credentials_for_feed", 0) - self._no_feed
        lost = sum(life.gone for life in self._lives.values()) - found.delivered - no_feed
        require(found.lost == lost, f"the account says {found.lost} lost, there are {lost}")
        gone = Counter(
            one.cause
            for one in self._letters
            if any(
                receipt.letters == one.letters and receipt.holds(one.partition, one.offset) for receipt in self.receipts
            )
        )
        require(gone.total() == self.account().purged + self.account().expired, "purged letters without a receipt")
        missing = {
            source.event_id
            for place, source in self._world.sources.items()
            if self._lives[place].gone and source.event_id not in self._world.vendor.taken
        }
        is_right = len(missing) <= lost + no_feed
        require(is_right, lambda: f"{len(missing)} are missing, {lost} count as lost: {sorted(missing)[:3]}")
        for place, source in self._world.sources.items():
            life = self._lives[place]
            require(life.passed == life.fresh + life.back, f"{source.event_id} was not settled")
