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

from streams.config.names import SOURCE
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
from streams.operations.accounts import Kept
from streams.operations.verification import may_lack_records
from streams.ports.cluster import Commit
from streams.ports.kafka import Partition
from streams.state.audit import Passed
from streams.state.parked import parked_in_all
from streams.state.records import CREDENTIALS
from streams.state.returned import returned_of
from streams.state.state_view import StateView
from streams.testing.ports import FakeMessage
from streams.workers.keeper.refused import NOT_TAKEN_BACK
from streams.workers.reading.start_positions import NEVER
from tests.simulation import names
from tests.simulation.made_again import MadeAgain
from tests.simulation.vendor import Broken, require
from tests.state.auditor import Auditor, Receipt

if TYPE_CHECKING:
    from tests.simulation.world import Place, Source, World

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
    removed: int = 0
    """Its records that waited, and its letters, that were deleted with their topic."""

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

    event: Place
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
        self.view, self.source_view = StateView(names.CONNECTOR), StateView(SOURCE)
        self.made_again = MadeAgain(world, self.view, self.source_view)
        self._early: set[Place] = set()
        """Events that were routed or parked before all knew that their topic was made again: perhaps once more."""
        self._read_twice_max = 0
        """Records and letters that were written before all knew it. A keeper counts one difference: as many as were
        read twice are missing in `lost`."""
        self._read: dict[Partition, int] = {}
        self._seen: tuple[Any, ...] = ()
        self._lives: dict[Place, Life] = defaultdict(Life)
        self._last_routed: dict[tuple[str, int, bytes | None], int] = {}
        self._letters: list[Letter] = []
        self._source_letters: Counter[Place] = Counter()
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
        self._refused_by_kafka: set[Place] = set()
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
        self._purged: set[Place] = set()
        """Events that a receipt names."""
        self._owners: dict[str, dict[Partition, int]] = {}
        self._last_returned: dict[tuple[str, int], int] = {}

    # After every step.

    def check(self) -> None:
        """Raises `Broken`, or `AssertionError` of the auditor, where an invariant does not hold."""
        self._notice_rebalances()
        # What is read by the position of a topic that was deleted is sent, and read once more.
        self._world.vendor.disturbances += not self.made_again.is_calm
        seen = self._fingerprint()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._take_records()
            self._take_commits()
            self._become_calm()
            self._check_routed()
            self._check_account()
            self._check_deleted()
        except AssertionError as error:
            raise error if isinstance(error, Broken) else Broken(str(error)) from error

    def note_made_again(self, topic: str) -> None:
        """A topic is about to be deleted: what waited there is gone."""
        self.check()
        self.made_again.note(topic)
        removed = []
        if topic == names.TOPIC:
            for place in self._world.partitions_of(topic):
                waiting = self._kafka.records[place][self._committed.get((names.SINKS, place), 0) :]
                removed += [self._source_of(one, dict(one.headers() or ()))[0] for one in waiting if not one.is_marker]
        gone = [one for one in self._letters if self._world.topic_of_letters[one.letters] == topic]
        removed += [one.event for one in gone if not self._is_settled(one)]
        self._letters = [one for one in self._letters if self._world.topic_of_letters[one.letters] != topic]
        for event in removed:
            self._lives[event].removed += 1
        self.made_again.removed += len(removed)
        for place in self._world.partitions_of(topic):
            self._read[place] = 0
            for group in (names.ROUTERS, names.SINKS):
                self._committed.pop((group, place), None)

    def _become_calm(self) -> None:
        if not self.made_again.is_calm:
            routed = len(self._world.sources) + sum(life.fresh for life in self._lives.values())
            delivered = sum(life.fresh + life.back for life in self._lives.values())
            self.made_again.look({names.ROUTERS: routed, names.SINKS: delivered})

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
        deleted = tuple(self._kafka.deleted_before.values()), sum(self._kafka.made_again.values())
        return logs, commits, deleted

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

    def _source_of(self, record: FakeMessage, headers: Mapping[str, bytes | None]) -> tuple[Place, Source]:
        """The Currents record that this one is, byte for byte."""
        origin = Origin.from_header(headers.get(ORIGIN_HEADER) or b"")
        require(origin is not None, "a record without an origin")
        assert origin is not None
        place = self._world.source_of(origin, record.value())
        require(place is not None, f"a record of {origin} was never written")
        assert place is not None
        source = self._world.sources[place]
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
        self._read_twice_max += self.made_again.is_restless(names.TOPIC)
        life = self._lives[place]
        if VERDICT_HEADER in headers:
            life.back += 1
            is_right = life.back <= life.letters or not self.made_again.topics.isdisjoint(
                self._world.topic_of_letters.values()
            )
            self._note_doubled(place)
            require(is_right, f"{source.event_id} came back more often than it was parked")
            return
        life.fresh += 1
        require(source.kind in ROUTED, f"{source.event_id} was routed")
        self._note_early(place)
        self._note_doubled(place)
        require(life.fresh <= 1 + (place in self._early), f"{source.event_id} was routed twice")
        sequence = (place[0], place[1], record.key())
        is_in_order = self._last_routed.get(sequence, -1) < place[2] or place in self._early
        require(is_in_order, f"{source.event_id} was routed out of order")
        if place not in self._early:
            self._last_routed[sequence] = place[2]
        self._routed[source.kind] += 1

    def _note_doubled(self, place: Place) -> None:
        """An event that was read by an old position, too, may be routed, parked or brought back once more than others:
        then each of its records is sent."""
        life = self._lives[place]
        if life.fresh > 1 or life.letters > 1 + life.back or life.back > life.letters:
            self._world.vendor.doubled.add(self._world.sources[place].event_id)

    def _note_early(self, place: Place) -> None:
        if self.made_again.is_restless(names.SOURCE):
            self._early.add(place)

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
            self._read_twice_max += not self.made_again.is_calm
            self._note_doubled(place)
        self._letters.append(
            Letter(
                *(place, letters, record.partition(), record.offset()),
                *(cause, verdict.parked_at_ms, record.written_ms or 0),
            )
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
        place = self._world.source_of(Origin(topic, int(number), int(offset)), record.value())
        assert place is not None, "a letter of a record that was never written"
        source = self._world.sources[place]
        self._note_early(place)
        self._source_letters[place] += 1
        cause = (headers.get(CAUSE_HEADER) or b"").decode()
        is_refused = source.kind == "large" and cause == "refused"
        require(is_refused or source.kind == "undecodable", f"{source.event_id} was parked as {cause}")
        require(self._source_letters[place] <= 1 + (place in self._early), f"{source.event_id} was parked twice")
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
            self.source_view.apply(name, value)
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
            receipts = self._auditor.receipts(lines, parked_at)
            self.receipts += receipts
            self._purged |= {
                one.event
                for one in self._letters
                if any(
                    receipt.letters == one.letters and receipt.holds(one.partition, one.offset) for receipt in receipts
                )
            }

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
        places = [self._large_of(one) for one in origins if one is not None]
        if line["who"] == "router":
            is_right = self._early.issuperset(self._refused_by_kafka.intersection(places))
            require(is_right, f"a record was passed over twice: {line}")
            for place in places:
                self._note_early(place)
            self._refused_by_kafka.update(places)
        elif line["who"].startswith("sink"):
            for place in places:
                self._lives[place].skipped += 1
                self._refused_to_sinks += 1
        for place in places:
            is_large = place not in self._world.sources or self._world.sources[place].kind == "large"
            require(is_large, f"Kafka would have taken it: {line}")

    def _large_of(self, origin: Origin) -> Place:
        """Which of the topics of this name an origin speaks of, where there is no value: of one whose record is
        large."""
        numbers = range(self._kafka.made_again.get(origin.topic, 0), -1, -1)
        places = [(self._world.generation(origin.topic, one), origin.partition, origin.offset) for one in numbers]
        large = (one for one in places if one in self._world.sources and self._world.sources[one].kind == "large")
        return next(large, places[0])

    # What the commits say, and what they passed.

    def _take_commits(self) -> None:
        for place in self._world.partitions_of(names.TOPIC):
            for record in self._passed(names.SINKS, place):
                origin = Origin.from_header(dict(record.headers() or ())[ORIGIN_HEADER] or b"")
                assert origin is not None
                event = self._world.source_of(origin, record.value())
                assert event is not None
                life = self._lives[event]
                life.passed += 1
                is_deleted = record.offset() < self._kafka.earliest(place)
                life.deleted += is_deleted
                if not self._world.sources[event].scope:
                    life.skipped += not is_deleted
                    self._no_feed += not is_deleted
                    self._perhaps_no_feed += is_deleted
                self._check_settled(event, life)
        for place in self._world.partitions_of(names.SOURCE):
            for record in self._passed(names.ROUTERS, place):
                is_deleted = record.offset() < self._kafka.earliest(place)
                event = (self._world.generation(names.SOURCE), place[1], record.offset())
                self._take_routed(event, is_deleted=is_deleted)

    def _take_routed(self, place: Place, *, is_deleted: bool) -> None:
        """A Currents record that the routers passed: it has one fate. Only what is deleted may have none."""
        source = self._world.sources[place]
        fates = self._lives[place].fresh + self._source_letters[place] + (place in self._refused_by_kafka)
        require(fates <= 1 + (place in self._early), f"{source.event_id} was routed, and parked")
        if source.kind in SKIPS:
            (self._perhaps_skipped if is_deleted else self._skipped)[SKIPS[source.kind]] += 1
        elif not fates:
            require(is_deleted, f"{source.event_id} was passed, and neither routed nor parked")
            self._lost_by_routers += place[2] >= self._before_first.get(f"{place[0]}/{place[1]}", 0)

    def _passed(self, group: str, place: Partition) -> Iterator[FakeMessage]:
        """Records that the group committed since the last look."""
        position = self._kafka.group(group).committed.get(place)
        if position is None or self.made_again.is_of_earlier(position):
            return
        before = self._committed.get((group, place), 0)
        require(position.offset >= before, f"{group} went back on {place} from {before} to {position.offset}")
        self._committed[group, place] = position.offset
        yield from (one for one in self._kafka.records[place][before : position.offset] if not one.is_marker)

    def _check_settled(self, place: Place, life: Life) -> None:
        """What was passed was delivered or parked, or it was deleted before."""
        source = self._world.sources[place]
        require(
            life.gone in (0, 1) or bool(self.made_again.topics),
            f"{source.event_id}: passed {life.passed} times, {life.letters} letters",
        )
        if life.gone > 0 and not life.deleted:
            require(source.event_id in self._world.vendor.taken, f"{source.event_id} was lost: passed, not delivered")

    def _check_routed(self) -> None:
        """The routers' counts are what is on the connector's topic, at every moment."""
        counts = self._router_counts()
        if names.SOURCE in self.made_again.topics:
            if self.made_again.is_restless(names.SOURCE):
                return
            uncounted = sum(self._routed.values()) - counts.routed_to(names.CONNECTOR)
            is_right = 0 <= uncounted <= self.made_again.uncounted_max[names.ROUTERS]
            require(is_right, f"the routers count {counts.routed} routed, {dict(self._routed)} are there")
            return
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

    def _router_counts(self) -> RouterCounts:
        """What the routers committed, and what they told late of topics that were deleted."""
        committed = self._kafka.group(names.ROUTERS).committed
        commits = {place: Commit(one.offset, one.metadata) for place, one in committed.items()}
        counts = Kept(self.source_view.handed_over, self.source_view.late).beyond(commits)
        for commit in commits.values():
            counts.add(RouterCounts.from_metadata(commit.metadata))
        return counts

    def account(self) -> Account:
        """The connector's account, as every listing shows it."""
        self._take_state()
        sinks = [position.metadata for position in self._kafka.group(names.SINKS).committed.values()]
        return account(names.CONNECTOR, sinks, [self._router_counts().to_metadata()], returned_of(self.view))

    def held(self) -> Counter[str]:
        """The letters that are parked, by cause: cursors and settled letters of a topic that was made again count no
        more, though no keeper has noticed yet."""
        self._take_records()
        topics = self._world.topic_of_letters
        ids = self._world.letter_topics.ids(list(topics.values()))
        others = self.view.of_other_topics({letters: ids[topic] for letters, topic in topics.items()})
        return Counter(one.cause for one in self._letters if one.letters in others or not self._is_settled(one))

    def source_letters(self) -> int:
        """How many letters of the source are parked, by its account."""
        return parked_in_all(self._router_counts().undecodable, self.source_view)

    def held_of_source(self) -> int:
        """And how many there are."""
        return len(self._kafka.read(names.SOURCE_LETTERS))

    def is_beyond(self) -> bool:
        """Whether a partition of the connector's topic ends before its commit: it was just made again."""
        committed = self._kafka.group(names.SINKS).committed
        return any(one.offset > len(self._kafka.records[place]) for place, one in committed.items())

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
        if not self.made_again.is_calm:
            return
        counts = SinkCounts()
        for position in self._kafka.group(names.SINKS).committed.values():
            counts.add(SinkCounts.from_metadata(position.metadata))
        if self.made_again.topics:
            self._check_account_made_again(counts)
            return
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

    def _check_account_made_again(self, counts: SinkCounts) -> None:
        """Once it is calm: the account says what the topics hold, whatever was deleted."""
        found, held = self.account(), self.held()
        for cause in sorted({*found.parked, *held}):
            is_right = found.parked.get(cause, 0) == held[cause]
            require(is_right, f"the account says {found.parked} parked, there are {held}")
        uncounted = counts.lost - self.view.totals.overcounted
        too_few = self.waiting() - found.waiting
        uncounted = max(0, uncounted) + self.made_again.uncounted_max[names.ROUTERS]
        require(0 <= too_few <= uncounted, f"the account says {found.waiting} wait, there are {self.waiting()}")
        is_right = found.purged + found.expired == sum(receipt.count for receipt in self.receipts)
        require(is_right, f"{found.purged} purged, {found.expired} expired, and other receipts")

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
        if not self.made_again.is_calm:
            return False
        is_good = self.view.state.state == "RUNNING" and self._in_state("INVALID") <= self._world.vendor.dead
        good = self._world.topic_of_letters.keys() - {CREDENTIALS + scope for scope in self._world.vendor.dead}
        parked = [one for one in self._letters if one.cause == "credentials" and one.letters in good]
        # What routers routed and could not count, the account does not know to wait.
        waiting = self.waiting() if self.made_again.topics else self.account().waiting
        return is_good and not waiting and all(map(self._is_settled, parked))

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
        if self.made_again.topics:
            self._check_quiet_made_again()
            return
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

    def _check_quiet_made_again(self) -> None:
        """What is missing was deleted, and counts as lost; no more does."""
        found = self.account()
        missing = [place for place, source in self._world.sources.items() if self._is_missing(place, source)]
        for place in missing:
            life = self._lives[place]
            is_deleted = bool(life.removed or life.deleted)
            require(is_deleted, f"{self._world.sources[place].event_id} is missing, and nobody deleted it")
        # What was routed and is in no count is missing in this difference, too.
        hidden = self._read_twice_max + self.made_again.uncounted_max[names.ROUTERS]
        is_right = len(missing) <= found.lost + hidden
        require(is_right, f"{len(missing)} are missing, {found.lost} count as lost")
        deleted = sum(life.deleted for life in self._lives.values())
        most = deleted + self.made_again.removed + sum(self.made_again.uncounted_max.values())
        most += found.again  # gaps that were counted by their offsets until their topic was deleted
        require(found.lost <= most, f"{found.lost} count as lost, {most} were deleted")
        for place, source in self._world.sources.items():
            life = self._lives[place]
            settled = life.passed + life.removed
            require(settled >= life.fresh + life.back, f"{source.event_id} was not settled")

    def _is_missing(self, place: Place, source: Source) -> bool:
        """Whether an event was routed, and is nowhere now."""
        life = self._lives[place]
        if source.kind not in ("good", "large") or not life.fresh or not source.scope or life.skipped:
            return False
        is_purged = place in self._purged
        return source.event_id not in self._world.vendor.taken and not is_purged and not self._is_parked(place)

    def _is_parked(self, place: Place) -> bool:
        return any(one.event == place and not self._is_settled(one) for one in self._letters)
