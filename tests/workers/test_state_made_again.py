"""The state topic is deleted and made again: the keeper writes what it knows, and sinks trust it from then on."""

from __future__ import annotations

import json

import pytest

from streams.ports.errors import TransactionAborted
from streams.state.records import ConnectorState, Cursor, ScopeState, key
from streams.state.worker_records import Suspect
from streams.testing.clock import MovableClock
from streams.testing.ports import FakeJournal, FakeKafka, FakeTransactions
from streams.workers.keeper.lease import Lease, LeaseTopics
from streams.workers.sink.state_follower import FOLLOW_SECONDS, StateFollower

NAME = "growth"
TOPICS = LeaseTopics(state="state", audit="audit", connector="topic", rejected="rejected", credentials="credentials.")
STOPPED = ConnectorState(state="SUSPENDED", by="operator", reason="a test")
INVALID = ScopeState(state="INVALID", since=1)


@pytest.fixture
def kafka() -> FakeKafka:
    return FakeKafka()


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


def taken(kafka: FakeKafka, clock: MovableClock) -> Lease:
    transactions = FakeTransactions(kafka, f"keeper.{NAME}")
    return Lease(NAME, TOPICS, "one", transactions=transactions, journal=FakeJournal(kafka, TOPICS.state), clock=clock)


def audited(kafka: FakeKafka) -> list[str]:
    return [json.loads(one.value() or b"")["what"] for one in kafka.read(TOPICS.audit)]


def test_the_next_keeper_finds_what_the_one_before_knew(kafka: FakeKafka, clock: MovableClock) -> None:
    lease = taken(kafka, clock)
    lease.commit({key("connector", NAME): STOPPED, key("scope", NAME, "ios"): INVALID})
    lease.commit({key("cursor", NAME, "rejected", 0): Cursor(offset=7), key("scope", NAME, "ios"): None})
    kafka.make_again(TOPICS.state)
    lease.follow()
    view = taken(kafka, clock).view
    assert (view.state.state, view.cursors, view.scopes) == ("SUSPENDED", {("rejected", 0): 7}, {})
    assert view.holder is not None
    assert view.holder.epoch == 2
    assert audited(kafka) == ["state written again"]


def test_what_others_wrote_to_the_new_topic_is_not_overwritten(kafka: FakeKafka, clock: MovableClock) -> None:
    name = key("suspect", NAME, "ios", "sink-0")
    kafka.write(TOPICS.state, Suspect(what="credentials", status=401, detail="before").to_bytes(), name.encode())
    lease = taken(kafka, clock)
    kafka.make_again(TOPICS.state)
    kafka.write(TOPICS.state, Suspect(what="credentials", status=403, detail="after").to_bytes(), name.encode())
    lease.follow()
    assert [one.detail for one in lease.view.suspects.values()] == ["after"]
    assert [one.detail for one in taken(kafka, clock).view.suspects.values()] == ["after"]


def test_what_could_not_be_written_is_written_later(kafka: FakeKafka, clock: MovableClock) -> None:
    lease = taken(kafka, clock)
    lease.commit({key("connector", NAME): STOPPED})
    kafka.make_again(TOPICS.state)
    kafka.refuse_commits = 1
    with pytest.raises(TransactionAborted):
        lease.follow()
    lease.follow()
    lease.follow()
    assert taken(kafka, clock).view.state.state == "SUSPENDED"
    assert audited(kafka) == ["state written again"]


def test_a_sink_obeys_what_it_knows_until_a_keeper_wrote(kafka: FakeKafka, clock: MovableClock) -> None:
    lease = taken(kafka, clock)
    lease.commit({key("connector", NAME): STOPPED, key("scope", NAME, "ios"): INVALID})
    follower = StateFollower(NAME, "sink-0", FakeJournal(kafka, TOPICS.state), clock)
    follower.start()
    follower.told("ios")
    kafka.make_again(TOPICS.state)
    clock.advance(FOLLOW_SECONDS)
    assert follower.poll()
    assert follower.take_answered() == {"ios"}, "no answer comes any more to what was suspected"
    assert (follower.view.state.state, follower.view.scope("ios").state) == ("SUSPENDED", "INVALID")
    taken(kafka, clock)  # it knows nothing of the topic before
    clock.advance(FOLLOW_SECONDS)
    assert follower.poll()
    assert (follower.view.state.state, follower.view.scope("ios").state) == ("RUNNING", "VALID")
