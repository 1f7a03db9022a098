"""The receiver's writer on fakes: what shares a transaction, what is left out, and what a refusal does."""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from streams.delivery.received import ReceivedCounts, rows_of_instance
from streams.events.schemas import shipped
from streams.ports.errors import Fenced, KafkaUnreachable
from streams.testing.clock import MovableClock
from streams.testing.ports import FakeKafka, FakeTransactions, Kill, Killed
from streams.wayback.entries import Entry
from streams.wayback.records import Malformed, Membership, Page, Record, reader
from streams.workers.receiver.requests import NotWritten, ReceivedRequest
from streams.workers.receiver.writer import KafkaConnection, ReceiverTopics, ReceiverWriter

TOPIC, RECEIVED, CONNECTOR, INSTANCE = "connector", "received", "back-to-braze", "pod-0"
ENTRY: Entry = TypeAdapter[Entry](Entry).validate_python(
    {"kind": "mixpanel_cohorts", "auth": {"passwords": ["a-password-of-cohorts"]}}
)


class Bench:
    """A writer on a Kafka in memory."""

    def __init__(self, kafka: FakeKafka | None = None) -> None:
        self.kafka = kafka or FakeKafka()
        self.is_away = False
        self.connected = 0
        self.writer = ReceiverWriter(
            ReceiverTopics({CONNECTOR: TOPIC}, RECEIVED),
            INSTANCE,
            connect=self._connect,
            partitions_of=lambda _topic: 3,
            clock=MovableClock(),
        )

    def _connect(self) -> KafkaConnection:
        if self.is_away:
            raise KafkaUnreachable("nobody answers")
        self.connected += 1
        rows = {one.key() or b"": one.value() or b"" for one in self.kafka.read(RECEIVED)}
        return KafkaConnection(FakeTransactions(self.kafka, INSTANCE), rows_of_instance(rows, INSTANCE))

    def submit(self, *users: str, action: str = "add_members", members: Any = None) -> ReceivedRequest:
        found = [{"$distinct_id": user} for user in users] if members is None else members
        parameters = {"mixpanel_cohort_id": "1", "mixpanel_session_id": "s", "members": found}
        body = orjson.dumps({"action": action, "parameters": parameters})
        request = ReceivedRequest(CONNECTOR, "cohorts", ENTRY, body, 1_790_000_000_000, "r")
        self.writer.submit(request)
        return request

    def records(self) -> list[Record]:
        return [decoded(one.value() or b"") for one in self.kafka.read(TOPIC)]

    def users(self) -> list[str]:
        return [one.external_user_id for one in self.records()]

    def counts(self) -> ReceivedCounts:
        rows = {one.key() or b"": one.value() or b"" for one in self.kafka.read(RECEIVED)}
        return rows_of_instance(rows, INSTANCE).get(CONNECTOR, ReceivedCounts())


def decoded(value: bytes) -> Record:
    for name in ("Membership", "Page", "Malformed", "Attributes", "Event", "Purchase"):
        schema = shipped().by_event_type(f"wayback.{name}")
        assert schema is not None
        if value[2:10] == schema.fingerprint:
            read = reader(schema)
            assert read is not None
            return read(value, 10)
    raise AssertionError("no such record")


def test_requests_that_came_together_share_one_transaction_with_their_counts() -> None:
    bench = Bench()
    requests = [bench.submit(f"user-{number}") for number in range(5)]
    bench.writer.step(0)
    assert [request.answer.result(0).status for request in requests] == [200] * 5
    assert bench.users() == [f"user-{number}" for number in range(5)]
    assert len(bench.kafka.read(RECEIVED)) == 1, "one row for one transaction"
    assert bench.counts() == ReceivedCounts(5)


def test_a_request_that_was_taken_back_before_is_left_out() -> None:
    bench = Bench()
    gone, stays = bench.submit("gone"), bench.submit("stays")
    assert gone.answer.cancel()
    bench.writer.step(0)
    assert bench.users() == ["stays"]
    assert stays.answer.result(0).status == 200
    with pytest.raises(CancelledError):
        gone.answer.result(0)


def test_an_aborted_transaction_leaves_nothing_and_its_senders_try_again() -> None:
    bench = Bench()
    bench.kafka.refuse_commits = 1
    requests = [bench.submit("ada"), bench.submit("bob")]
    bench.writer.step(0)
    for request in requests:
        with pytest.raises(NotWritten):
            request.answer.result(0)
    assert (bench.records(), bench.counts()) == ([], ReceivedCounts())
    again = bench.submit("ada")
    bench.writer.step(0)
    assert again.answer.result(0).status == 200
    assert (bench.users(), bench.counts()) == (["ada"], ReceivedCounts(1))


@pytest.mark.parametrize("is_committed", [False, True], ids=["before the commit", "after the commit"])
def test_a_killed_receiver_and_a_repeat_give_the_same_ids_and_counts_that_add_up(is_committed: bool) -> None:
    kafka = FakeKafka()
    kafka.kills[INSTANCE] = Kill(1, is_committed)
    killed = Bench(kafka)
    lost = killed.submit("ada")
    with pytest.raises(Killed):
        killed.writer.step(0)
    with pytest.raises(NotWritten):
        lost.answer.result(0)
    del kafka.kills[INSTANCE]
    after = Bench(kafka)
    repeated = after.submit("ada")
    after.writer.step(0)
    assert repeated.answer.result(0).status == 200
    assert len({record.id for record in after.records()}) == 1
    assert after.counts().received == len(after.records()) == 1 + is_committed


def test_a_record_that_kafka_refuses_is_malformed_and_the_rest_of_all_requests_is_written() -> None:
    bench = Bench()
    bench.kafka.policies[TOPIC] = lambda value: "no" if value and b"poison" in value and b"Kafka" not in value else ""
    first, bad, last = bench.submit("a", "b"), bench.submit("c", "poison", "d", action="members"), bench.submit("e")
    bench.writer.step(0)
    assert [one.answer.result(0).status for one in (first, bad, last)] == [200] * 3
    assert [one.external_user_id for one in bench.records() if isinstance(one, Membership)] == ["a", "b", "c", "d", "e"]
    assert sum(isinstance(one, Page) for one in bench.records()) == 3
    (malformed,) = (one for one in bench.records() if isinstance(one, Malformed))
    assert "Kafka does not take it: no" in malformed.reason
    assert "poison" in malformed.body
    assert bench.counts() == ReceivedCounts(len(bench.records()))


def test_a_record_that_kafka_takes_in_no_form_is_counted_by_its_reason() -> None:
    bench = Bench()
    bench.kafka.policies[TOPIC] = lambda value: "no" if value and b"poison" in value else ""
    request = bench.submit("a", "poison", "b")
    bench.writer.step(0)
    assert request.answer.result(0).status == 200
    assert bench.users() == ["a", "b"]
    counts = bench.counts()
    assert (counts.received, dict(counts.skipped)) == (2, {"refused_by_kafka": 1})


def test_counts_that_kafka_refuses_are_no_reason_to_pass_records() -> None:
    bench = Bench()
    bench.kafka.policies[RECEIVED] = lambda _value: "no"
    request = bench.submit("a")
    bench.writer.step(0)
    with pytest.raises(NotWritten):
        request.answer.result(0)
    assert bench.records() == []


def test_the_process_that_was_replaced_ends_and_its_senders_try_again() -> None:
    bench = Bench()
    FakeTransactions(bench.kafka, INSTANCE)
    request = bench.submit("a")
    with pytest.raises(Fenced):
        bench.writer.step(0)
    with pytest.raises(NotWritten):
        request.answer.result(0)


def test_while_kafka_is_away_senders_are_told_at_once_and_then_the_counts_are_read_again() -> None:
    bench = Bench()
    bench.submit("before")
    bench.writer.step(0)

    class Away(FakeTransactions):
        """Commits, and the answer is lost."""

        def commit(self, *arguments: Any) -> None:
            super().commit(*arguments)
            raise KafkaUnreachable("the answer is lost")

    bench.writer._connection = KafkaConnection(Away(bench.kafka, INSTANCE), {CONNECTOR: bench.counts()})
    bench.is_away = True
    in_doubt = bench.submit("in-doubt")
    bench.writer.step(0)
    waiting = bench.submit("waiting")
    bench.writer.step(0)
    for request in (in_doubt, waiting):
        with pytest.raises(NotWritten, match="Kafka does not answer"):
            request.answer.result(0)
    assert bench.writer.is_away
    bench.is_away = False
    after = bench.submit("after")
    bench.writer.step(0)
    assert after.answer.result(0).status == 200
    assert bench.users() == ["before", "in-doubt", "after"]
    assert bench.counts() == ReceivedCounts(3), "what was in doubt is counted, for it was committed"


@pytest.mark.parametrize("depth", [300, 900])
def test_a_body_that_is_nested_too_deep_is_kept_as_malformed(depth: int) -> None:
    bench = Bench()
    body = orjson.dumps({"action": "add_members", "mixpanel_cohort_id": "1", "members": ["DEEP"]})
    deep = body.replace(b'"DEEP"', b"[" * depth + b"]" * depth)
    request = ReceivedRequest(CONNECTOR, "cohorts", ENTRY, deep, 1_790_000_000_000, "r")
    bench.writer.submit(request)
    bench.writer.step(0)
    assert request.answer.result(0).status == 200
    assert [type(one) for one in bench.records()] == [Malformed]


KINDS: list[Entry] = [
    TypeAdapter[Entry](Entry).validate_python(one)
    for one in (
        {"kind": "mixpanel_cohorts", "auth": {"passwords": ["a-password-of-cohorts"]}, "value": "id"},
        {"kind": "mparticle_events", "keys": ["a-key-of-some-length"], "consent": {"ads": "$google_ad_user_data"}},
        {"kind": "firehose", "keys": ["a-key-of-some-length"], "key_setting": "key"},
        {"kind": "firehose", "keys": ["a-key-of-some-length"], "purchases_as": "order_placed"},
        {"kind": "mparticle_audiences", "keys": ["a-key-of-some-length"]},
    )
]
NAMES = st.sampled_from(
    [
        "action", "parameters", "members", "page_info", "total_pages", "page_count", "mixpanel_cohort_id",
        "mixpanel_session_id", "$distinct_id", "type", "id", "timestamp_ms", "user_profiles", "user_identities",
        "identity_type", "identity", "encoding", "value", "audiences", "audience_id", "events", "event_type", "data",
        "event_name", "product_action", "products", "price", "quantity", "total_amount", "user_attributes", "mpid",
        "consent_state", "gdpr", "records", "requestId", "AudienceId", "IsMember", "UserIdentities", "CustomerId",
        "account", "account_settings", "key", "deleted_user_attributes", "source_info", "message_id", "currency_code",
        "MembershipChangedTimestamp", "attributes", "promotions", "impressions", "customer_id",
    ]
)  # fmt: skip
WORDS = st.sampled_from(
    [
        "members", "add_members", "event_processing_request", "audience_membership_change_request", "custom_event",
        "commerce_event", "product_action", "purchase", "refund", "customer_id", "customer", "raw", "md5", "add", "ada",
        "a-key-of-some-length", "opt_out", "push_registration", "1", "1790000000000", "NaN", "\x00", "e30=",
    ]
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text() | WORDS
BODIES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6), max_leaves=25
)


@given(st.sampled_from(KINDS), BODIES | st.binary())
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_no_body_ends_the_writer_and_each_is_answered_with_what_it_deserves(entry: Entry, content: Any) -> None:
    bench = Bench()
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    request = ReceivedRequest(CONNECTOR, "an-entry", entry, body, 1_790_000_000_000, "r")
    bench.writer.submit(request)
    bench.writer.step(0)
    assert request.answer.result(0).status in (200, 202, 400, 401, 413)
    assert "the receiver cannot read this" not in {
        one.reason for one in bench.records() if isinstance(one, Malformed)
    }, "a body that the program fails on"
    assert bench.counts().received == len(bench.records())
