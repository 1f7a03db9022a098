"""Any interleaving of records, answers, probes, orders, clocks, rebalances, kills and zombies keeps the invariants."""

from __future__ import annotations

import json
import os
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streams.delivery.contract import NoResponse, Request, Response
from streams.delivery.letter import verdict_of
from streams.state.records import CREDENTIALS as CREDENTIALS_LETTERS
from streams.state.records import REJECTED as REJECTED_LETTERS
from streams.testing.clock import MovableClock
from streams.testing.ports import FakeKafka
from streams.workers.keeper.keeper import Keeper
from tests.state.auditor import Auditor, Receipt
from tests.workers.stage import AUDIT, CREDENTIALS, REJECTED, TOPIC, Stage, events_of

GRACE_SECONDS = 600.0
DEFAULT = CREDENTIALS_LETTERS + "default"
LETTER_TOPICS = {DEFAULT: CREDENTIALS + "default", REJECTED_LETTERS: REJECTED}
JSON = {"content-type": "application/json"}
PROBE = "streams probe"
SETTLE_SECONDS = 1_200
"""Once all is fixed: the longest back-off, a probe and a redrive later everything is where it belongs."""


class Vendor:
    """A destination: its key dies and is fixed, it fails, it refuses some events by name; it knows what it took."""

    def __init__(self, clock: MovableClock) -> None:
        self.status = 200
        """What good credentials get; 0: no answer."""
        self.probe_status: int | None = None
        """What probes get where it differs."""
        self.taken: set[str] = set()
        self.named: dict[str, int] = {}
        """How often an event was refused by name."""
        self.refused: list[list[int]] = []
        """When a probe was, or would have been, refused."""
        self._is_dead = False
        self._clock = clock

    def set(self, *, is_dead: bool | None = None, status: int | None = None, probe_status: int | None = None) -> None:
        """Change; a probe's own status holds until it is set again."""
        self._is_dead = self._is_dead if is_dead is None else is_dead
        self.status = self.status if status is None else status
        self.probe_status = probe_status
        would_refuse = (self.probe_status or (401 if self._is_dead else self.status)) in (401, 403)
        is_refusing = bool(self.refused) and not self.refused[-1][1]
        if would_refuse and not is_refusing:
            self.refused.append([self._clock.epoch_ms(), 0])
        elif is_refusing and not would_refuse:
            self.refused[-1][1] = self._clock.epoch_ms()

    def __call__(self, request: Request) -> Response | NoResponse:
        events = events_of(request)
        is_probe = any(event.get("event") == PROBE for event in events)
        status = 401 if self._is_dead else self.status
        if is_probe and self.probe_status is not None:
            status = self.probe_status
        if status == 0:
            return NoResponse("no answer in time")
        if status != 200:
            return Response(status, JSON if status in (401, 403) else {}, b'{"error":"refused"}')
        return self._imported([] if is_probe else [event["properties"]["$insert_id"] for event in events])

    def _imported(self, ids: list[str]) -> Response:
        failed = [
            {"index": index, "insert_id": one, "field": "properties.time", "message": "is in the future"}
            for index, one in enumerate(ids)
            if one.startswith("bad-")
        ]
        for one in ids:
            if one.startswith("bad-"):
                self.named[one] = self.named.get(one, 0) + 1
            else:
                self.taken.add(one)
        content: dict[str, Any] = {"code": 400 if failed else 200, "num_records_imported": len(ids) - len(failed)}
        content |= {"status": "Bad Request", "error": "some", "failed_records": failed} if failed else {"status": "OK"}
        if not ids:
            content["num_records_imported"] = 1
        return Response(content["code"], JSON, json.dumps(content).encode())


class Pipeline(RuleBasedStateMachine):
    """One connector with its keeper, on fakes of Kafka, HTTP and the clock."""

    @initialize()
    def begin(self) -> None:
        self.clock = MovableClock()
        self.kafka = FakeKafka(clock=self.clock)
        self.vendor = Vendor(self.clock)
        self.stage = self._started()
        self.zombies: list[Stage] = []
        self.values: dict[bytes | None, str] = {}
        self.disturbances = 0
        """Kills, rebalances and suspensions: after each, what was refused by name may be sent once more. While the
        connector is SUSPENDED, nothing is parked."""
        self.replays = 0

    # What happens.

    @rule(count=st.integers(1, 6), bad=st.booleans())
    def records_arrive(self, count: int, bad: bool) -> None:
        for _ in range(count):
            name = f"{'bad' if bad else 'good'}-{len(self.values)}"
            self.values[self.stage.event(id=name).value()] = name

    @rule(steps=st.integers(1, 20))
    def the_sink_works(self, steps: int) -> None:
        for _ in range(steps):
            self.stage.sink.step()
            self.clock.advance(0.05)

    @rule(steps=st.integers(1, 10))
    def the_keeper_works(self, steps: int) -> None:
        for _ in range(steps):
            self.stage.keeper.step()
            self.clock.advance(0.05)

    @rule(seconds=st.sampled_from([1.0, 5.0, 40.0]))
    def both_work(self, seconds: float) -> None:
        self.stage.run(seconds, step_seconds=0.25)

    @rule(seconds=st.sampled_from([0.5, 20.0, 100.0, 301.0, 599.0, 660.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([GRACE_SECONDS / 2, GRACE_SECONDS, GRACE_SECONDS + 61.0]), works=st.booleans())
    def nobody_fixes_for_long(self, seconds: float, works: bool) -> None:
        """With somebody at work, deadlines pass and letters go."""
        self.vendor.set(is_dead=True)
        self.stage.run(10, step_seconds=0.25)
        self.clock.advance(seconds)
        if works:
            self.stage.run(40, step_seconds=0.25)

    @rule(gaps=st.lists(st.sampled_from([30.0, 150.0, 250.0]), min_size=2, max_size=5), over=st.floats(0.0, 300.0))
    def letters_are_parked_over_time(self, gaps: list[float], over: float) -> None:
        """Each has a deadline of its own: when the first is over, the last is not."""
        self.vendor.set(is_dead=True)
        for gap in gaps:
            self.records_arrive(1, bad=False)
            self.stage.run(10, step_seconds=0.25)
            self.clock.advance(gap)
        self.clock.advance(max(0.0, GRACE_SECONDS - sum(gaps)) + over)
        self.stage.run(40, step_seconds=0.25)

    @rule(seconds=st.sampled_from([GRACE_SECONDS / 3, GRACE_SECONDS, 2 * GRACE_SECONDS]))
    def suspended_while_the_key_is_dead(self, seconds: float) -> None:
        """No deadline comes nearer meanwhile."""
        self.vendor.set(is_dead=True)
        self.stage.run(10, step_seconds=0.25)
        self.somebody_orders("suspend")
        self.stage.run(2)
        self.clock.advance(seconds)
        self.stage.ask("resume")
        self.stage.run(40, step_seconds=0.25)

    @rule()
    def the_key_dies(self) -> None:
        self.vendor.set(is_dead=True)

    @rule()
    def the_key_is_fixed(self) -> None:
        self.vendor.set(is_dead=False)

    @rule(status=st.sampled_from([200, 429, 503, 0, 401]))
    def the_destination_answers(self, status: int) -> None:
        self.vendor.set(status=status, probe_status=200 if status == 401 else None)

    @rule(status=st.sampled_from([0, 200, 401, 500]))
    def probes_are_answered(self, status: int) -> None:
        self.vendor.set(probe_status=status)

    @rule(is_holding=st.booleans())
    def answers_are_late(self, is_holding: bool) -> None:
        self.stage.transport.is_holding = is_holding

    @rule(count=st.integers(1, 3))
    def commits_are_refused(self, count: int) -> None:
        self.kafka.refuse_commits = count

    @rule(by_ms=st.integers(1, 900_000))
    def somebody_extends(self, by_ms: int) -> None:
        self.stage.ask("extend", scope="default", by_ms=by_ms)

    @rule(what=st.sampled_from(["suspend", "resume", "probe"]))
    def somebody_orders(self, what: str) -> None:
        self.disturbances += what == "suspend"
        self.stage.ask(what)

    @rule(
        letters=st.sampled_from([REJECTED_LETTERS, DEFAULT]), purge=st.booleans(), limit=st.none() | st.integers(1, 5)
    )
    def somebody_orders_a_job(self, letters: str, purge: bool, limit: int | None) -> None:
        selection: dict[str, Any] = {"letters": letters}
        if limit is not None and letters == REJECTED_LETTERS:
            selection["limit"] = limit
        ends = {f"{letters}/0": len(self.kafka.read(LETTER_TOPICS[letters]))}
        self.replays += not purge
        self.stage.ask("purge" if purge else "replay", selection=selection, ends=ends, reason="it is no use")

    @rule()
    def the_group_rebalances(self) -> None:
        self.stage.transport.is_holding = False
        self.stage.consumer.revoke([(TOPIC, 0)])
        self.disturbances += 1

    @rule(was_taken=st.booleans())
    def the_process_is_killed(self, was_taken: bool) -> None:
        """Its requests may have been taken; nobody hears the answers. Its keeper is a zombie that may go on."""
        old = self.stage
        if was_taken:
            old.transport.is_holding = False
            old.transport.answers(0.0)
        self.zombies.append(old)
        self.stage = self._started()
        self.disturbances += 1

    @precondition(lambda self: bool(self.zombies))
    @rule(steps=st.integers(1, 5))
    def a_zombie_keeps(self, steps: int) -> None:
        """It goes on with what it knows, until it learns that it was replaced."""
        zombie = self.zombies[0].keeper
        for _ in range(steps):
            if _keeps(zombie):
                zombie.step()
        if not _keeps(zombie):
            zombie.own(False)
            self.zombies.pop(0)

    # What always holds.

    @invariant()
    def the_account_adds_up_with_the_topics(self) -> None:
        if (TOPIC, 0) not in self.kafka.committed:
            return
        account, view = self.stage.account, self.stage.view
        parked = {"credentials": 0, "rejected": 0, "gave-up": 0}
        for letters, topic in LETTER_TOPICS.items():
            for letter in self.kafka.read(topic):
                if not view.is_settled((letters, 0), letter.offset()):
                    parked[dict(letter.headers() or [])["streams-cause"].decode()] += 1  # type: ignore[union-attr]
        counted = {cause: account.parked.get(cause, 0) for cause in parked}
        assert counted == parked
        assert account.waiting == len(self.kafka.read(TOPIC)) - self.stage.committed >= 0
        settled = account.delivered + sum(account.skipped.values()) + account.purged + account.expired
        assert account.routed == len(self.values) == settled + sum(parked.values()) + account.waiting

    @invariant()
    def letters_and_what_comes_back_are_the_source_byte_for_byte(self) -> None:
        for topic in (*LETTER_TOPICS.values(), TOPIC):
            for record in self.kafka.read(topic):
                assert record.value() in self.values
                assert record.key() == b"alice"
                assert dict(record.headers() or [])["foreign"] == b"\xff\x00"

    @invariant()
    def nothing_is_purged_early_or_without_a_receipt(self) -> None:
        receipts = self._receipts()
        assert sum(receipt.count for receipt in receipts) == self.stage.view.totals.purged.get(
            "credentials", 0
        ) + self.stage.view.totals.purged.get("rejected", 0)

    @invariant()
    def only_what_is_settled_is_deleted(self) -> None:
        for letters, topic in LETTER_TOPICS.items():
            assert self.kafka.deleted_before.get((topic, 0), 0) <= self.stage.view.cursor((letters, 0))

    @invariant()
    def what_was_refused_by_name_is_not_sent_again(self) -> None:
        assert max(self.vendor.named.values(), default=0) <= 1 + self.disturbances + self.replays

    # What holds in the end.

    def teardown(self) -> None:
        if not hasattr(self, "stage"):
            return
        self.vendor.set(is_dead=False, status=200)
        self.kafka.refuse_commits = 0
        self.stage.transport.is_holding = False
        self.stage.run(60, step_seconds=0.5)
        self.stage.ask("resume")
        self.stage.run(SETTLE_SECONDS, step_seconds=0.5)
        self._require_all_delivered()
        self.the_account_adds_up_with_the_topics()
        self.nothing_is_purged_early_or_without_a_receipt()

    def _require_all_delivered(self) -> None:
        account = self.stage.account
        assert (self.stage.view.scope("default").state, self.stage.view.state.state) == ("VALID", "RUNNING")
        assert (account.waiting, account.parked.get("credentials", 0)) == (0, 0)
        purged = {
            self.values[letter.value()]
            for receipt in self._receipts()
            for letter in self.kafka.read(LETTER_TOPICS[receipt.letters])
            if receipt.holds(0, letter.offset())
        }
        good = {name for name in self.values.values() if name.startswith("good-")}
        assert good - self.vendor.taken <= purged
        assert account.delivered == len(good - purged)
        assert len(purged) == account.purged

    def _receipts(self) -> list[Receipt]:
        lines = [json.loads(record.value() or b"") for record in self.kafka.read(AUDIT)]
        parked_at = {
            (letters, 0, letter.offset()): verdict.parked_at_ms
            for letters, topic in LETTER_TOPICS.items()
            for letter in self.kafka.read(topic)
            if (verdict := verdict_of(letter.headers() or [])) is not None
        }
        auditor = Auditor("growth", round(GRACE_SECONDS * 1000), {"default": self.vendor.refused})
        return auditor.receipts(lines, parked_at)

    def _started(self) -> Stage:
        return Stage(self.vendor, kafka=self.kafka, clock=self.clock, grace_seconds=GRACE_SECONDS)


def _keeps(keeper: Keeper) -> bool:
    return keeper.lease is not None


TestPipeline = Pipeline.TestCase
TestPipeline.settings = settings(
    max_examples=int(os.environ.get("EXAMPLES", "40")),
    stateful_step_count=60,
    # Making a failure small takes longer than a test may last: SHRINK=1 does, with --timeout=0.
    phases=tuple(Phase) if "SHRINK" in os.environ else (Phase.explicit, Phase.reuse, Phase.generate),
)
