"""What is told of an event, from where it was seen and what is known of its connectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from streams.delivery.letter import Origin, Verdict
from streams.operations.explain.receipts import Receipt
from streams.operations.explain.story import Known, Sighting, Story, Way, stories
from streams.state.credentials import Rules
from streams.state.records import ConnectorState, Cursor, Job, Record, ScopeState, SettledBlock, key
from streams.state.settled import SettledLetters
from streams.state.state_view import StateView

CURRENTS, TOPIC = "currents.users.messages.email.Open", "streams.connector.growth"
REJECTED, CREDENTIALS = "streams.dead-letter.growth.rejected", "streams.dead-letter.growth.credentials.default"
OPEN = "users.messages.email.Open"
NOW = 1_800_000_000_000
HOUR = 3_600_000
ORIGIN = Origin(CURRENTS, 2, 77)

READ = Sighting("currents", (CURRENTS, 2), 77, NOW - 60_000, ORIGIN, OPEN, 1_799_999_000, targets=("growth",))
COPY = Sighting("connector", (TOPIC, 1), 500, NOW - 59_000, ORIGIN, OPEN, 1_799_999_000, connector="growth")
LETTER = Sighting(
    "letter",
    (REJECTED, 1),
    30,
    NOW - 58_000,
    ORIGIN,
    OPEN,
    1_799_999_000,
    connector="growth",
    letters="rejected",
    cause="rejected",
    verdict=Verdict(400, "'distinct_id' is invalid", "default", NOW - 58_500, 1),
)
REFUSED = replace(
    LETTER,
    partition=(CREDENTIALS, 1),
    letters="credentials.default",
    cause="credentials",
    verdict=Verdict(401, "unauthorized", "default", NOW - 58_500, 1),
)


def view(records: Mapping[str, Record], connector: str = "growth") -> StateView:
    found = StateView(connector)
    for name, record in records.items():
        found.apply(name, record.to_bytes())
    return found


def settled(*offsets: int) -> SettledBlock:
    return SettledBlock(bits=SettledLetters().with_added(offsets)[0])


def known(committed: int = 600, records: Mapping[str, Record] | None = None, **more: Any) -> Known:
    return Known(
        now_ms=NOW,
        router={(CURRENTS, 2): 100},
        sinks={"growth": {(TOPIC, 1): committed}},
        views={"growth": view(records or {})},
        rules={"growth": Rules(48 * 3600.0)},
        letter_topics={REJECTED: ("growth", "rejected"), CREDENTIALS: ("growth", "credentials.default")},
        **more,
    )


def told(sightings: list[Sighting], about: Known) -> Story:
    (story,) = stories("id-1", sightings, about)
    return story


def way(sightings: list[Sighting], about: Known) -> Way:
    (found,) = told(sightings, about).ways
    return found


def whats(found: Way) -> list[str]:
    return [step.what for step in found.steps]


def test_an_event_that_the_sink_committed_past_and_that_is_no_letter_was_delivered() -> None:
    story = told([READ, COPY], known())
    assert (story.router, story.router_detail) == ("routed", "to growth")
    (found,) = story.ways
    assert (found.state, whats(found)) == ("delivered", ["routed", "delivered"])
    assert found.steps[0].place == f"{TOPIC}/1/500"


def test_an_event_at_or_after_the_commit_waits_and_its_place_in_the_queue_is_told() -> None:
    found = way([READ, COPY], known(committed=480))
    assert (found.state, whats(found)) == ("waiting", ["routed", "waiting"])
    assert found.steps[-1].detail == "20 offsets before it"
    assert way([READ, COPY], known(committed=500)).state == "waiting"
    assert way([READ, COPY], known(committed=501)).state == "delivered"


def test_behind_a_suspended_connector_the_reason_is_told() -> None:
    suspended = ConnectorState(state="SUSPENDED", by="flood", reason="31 % rejected", since=NOW)
    found = way([READ, COPY], known(committed=480, records={key("connector", "growth"): suspended}))
    assert "SUSPENDED by flood: 31 % rejected" in found.steps[-1].detail


@pytest.mark.parametrize("skip", ["no_mapping", "not_selected", "no_external_user_id"])
def test_what_the_router_skips_is_told_by_its_reason_and_went_nowhere(skip: str) -> None:
    story = told([replace(READ, skip=skip, targets=())], known())
    assert (story.router, story.router_detail, story.ways) == ("skipped", skip, ())


def test_what_the_router_has_not_read_yet_waits_for_it() -> None:
    story = told([replace(READ, offset=120, origin=Origin(CURRENTS, 2, 120))], known())
    assert (story.router, story.router_detail, story.ways) == ("waiting", "20 offsets before it", ())
    never = replace(known(), router={})
    assert told([READ], never).router == "waiting"


def test_what_the_sink_skips_is_told_by_its_reason() -> None:
    found = way([READ, replace(COPY, skip="no_credentials_for_feed")], known())
    assert (found.state, found.steps[-1].detail) == ("skipped", "no_credentials_for_feed")


def test_a_copy_that_is_not_there_is_missing_and_not_called_delivered() -> None:
    assert way([READ], known()).state == "missing"


def test_a_rejected_letter_is_told_with_the_destinations_words_and_lives_for_14_days() -> None:
    found = way([READ, COPY, LETTER], known())
    assert (found.state, whats(found)) == ("parked", ["routed", "parked"])
    assert found.steps[1].detail == "rejected 400 'distinct_id' is invalid, scope default"
    assert (found.steps[1].at, found.deadline_ms) == (NOW - 58_500, NOW - 58_500 + 14 * 86_400_000)
    assert found.next_step == "streams dlq replay growth --event-id id-1"


def test_the_deadline_of_refused_credentials_counts_grace_and_extensions() -> None:
    invalid = ScopeState(state="INVALID", since=NOW - HOUR, extended_ms=2 * HOUR)
    found = way([READ, COPY, REFUSED], known(records={key("scope", "growth", "default"): invalid}))
    assert (found.state, found.deadline_ms) == ("parked", NOW - 58_500 + 50 * HOUR)


def test_a_letter_of_valid_credentials_is_on_its_way_back() -> None:
    found = way([READ, COPY, REFUSED], known())
    assert (found.state, whats(found)[-1], found.deadline_ms) == ("parked", "goes back", None)


def test_a_redriven_event_is_where_its_newest_copy_is() -> None:
    back = replace(COPY, offset=590, written_ms=NOW - 30_000, verdict=REFUSED.verdict)
    cursor = {key("cursor", "growth", "credentials.default", 1): Cursor(offset=31)}
    found = way([READ, COPY, REFUSED, back], known(records=cursor))
    assert (found.state, whats(found)) == ("delivered", ["routed", "parked", "redriven", "delivered"])
    assert way([READ, COPY, REFUSED, back], known(committed=590, records=cursor)).state == "waiting"


def test_a_letter_that_went_back_and_was_deleted_is_told_from_its_copy() -> None:
    """Parked for credentials, redriven, rejected: the first of the three letters' bytes are gone within seconds."""
    assert REFUSED.verdict is not None
    back = replace(COPY, offset=590, written_ms=NOW - 30_000, verdict=REFUSED.verdict)
    rejected = replace(
        LETTER, offset=41, written_ms=NOW - 20_000, verdict=Verdict(400, "no", "default", NOW - 20_500, 2)
    )
    found = way([READ, COPY, back, rejected], known())
    assert (found.state, whats(found)) == ("parked", ["routed", "parked", "redriven", "parked"])
    first, last = found.steps[1], found.steps[3]
    assert (first.at, first.place) == (NOW - 58_500, "")
    assert first.detail == "credentials 401 unauthorized, scope default; its letter was not found"
    assert (last.detail, last.place) == ("rejected 400 no, scope default", f"{REJECTED}/1/41")


def test_a_copy_of_a_settled_letter_of_the_source_was_parked_by_no_sink() -> None:
    back = replace(COPY, offset=590, written_ms=NOW - 30_000, verdict=Verdict(0, "x", "", NOW - 40_000, 1, 1, "j", "j"))
    assert whats(way([READ, COPY, back], known())) == ["routed", "replayed again", "delivered"]


def test_a_letter_that_kafka_did_not_take_back_is_told_to_have_moved() -> None:
    detail = "Kafka does not take it back: streams.connector.growth: Message size too large"
    moved = replace(LETTER, offset=41, written_ms=NOW - 20_000, verdict=Verdict(0, detail, "default", NOW - 20_500, 1))
    found = way([READ, COPY, REFUSED, moved], known())
    assert (found.state, whats(found)) == ("parked", ["routed", "parked", "moved"])
    assert found.steps[-1].detail == f"from credentials to rejected: {detail}, scope default"
    assert found.next_step.startswith("streams dlq replay growth")


def test_a_replay_is_told_with_who_ordered_it_and_why_and_a_second_parking_with_what_followed() -> None:
    job = Job(
        action="replay", status="done", who="ana@laptop", reason="mapping fixed", created=NOW - 40_000,
        positions={"rejected/1": 40},
    )  # fmt: skip
    records: dict[str, Record] = {
        key("job", "growth", "j1"): job,
        key("settled", "growth", "rejected", 1, 0): settled(30),
    }
    assert LETTER.verdict is not None
    verdict = replace(LETTER.verdict, replays=1, job="j1")
    back = replace(COPY, offset=590, written_ms=NOW - 30_000, verdict=verdict)
    again = replace(LETTER, offset=41, written_ms=NOW - 20_000, verdict=replace(verdict, parked_at_ms=NOW - 20_000))
    found = way([READ, COPY, LETTER, back, again], known(records=records))
    assert (found.state, whats(found)) == ("parked", ["routed", "parked", "replayed", "parked"])
    assert found.steps[2].detail == "by job j1 of ana@laptop: mapping fixed"


def test_a_redrive_after_a_replay_is_not_told_as_a_second_replay() -> None:
    replayed = Verdict(0, "", "", 0, 1, 1, "j1")
    first = replace(COPY, offset=510, written_ms=NOW - 40_000, verdict=replayed)
    letter = replace(REFUSED, written_ms=NOW - 35_000, verdict=replace(replayed, status=401, parked_at_ms=NOW - 35_000))
    second = replace(COPY, offset=520, written_ms=NOW - 30_000, verdict=letter.verdict)
    assert whats(way([COPY, LETTER, first, letter, second], known()))[2:] == [
        "replayed",
        "parked",
        "redriven",
        "delivered",
    ]


RECEIPT = Receipt(
    "purged", NOW - 10_000, "keeper a", "beyond the grace", "credentials.default", {1: [(20, 31)]}, {OPEN: 11},
    (1_799_990_000, 1_800_000_000),
)  # fmt: skip


def test_a_letter_that_a_receipt_covers_was_purged_by_it() -> None:
    found = way([READ, COPY, REFUSED], known(receipts={"growth": [RECEIPT]}))
    assert (found.state, found.steps[-1].at) == ("purged", NOW - 10_000)
    assert found.steps[-1].detail == "by keeper a: beyond the grace"
    expired = replace(RECEIPT, what="expired", letters="rejected")
    assert way([READ, COPY, LETTER], known(receipts={"growth": [expired]})).state == "expired"


@pytest.mark.parametrize("other", [{"letters": "rejected"}, {"offsets": {1: [(20, 30)]}}, {"offsets": {0: [(0, 99)]}}])
def test_a_receipt_of_other_letters_says_nothing_of_this_one(other: dict[str, Any]) -> None:
    receipt = replace(RECEIPT, **other)
    cursor = {key("cursor", "growth", "credentials.default", 1): Cursor(offset=31)}
    assert way([READ, COPY, REFUSED], known(records=cursor, receipts={"growth": [receipt]})).state == "returned"


@pytest.mark.parametrize(
    ("change", "earliest", "state"),
    [
        ({}, 31, "unsure"),
        ({}, 20, "delivered"),  # its letters are still there, and it was not among them
        ({"event_types": {"users.behaviors.Purchase": 3}}, 31, "delivered"),
        ({"event_times": (1_799_990_000, 1_799_998_999)}, 31, "delivered"),
        ({"event_times": None}, 31, "unsure"),
        ({"at": NOW - 59_001}, 31, "delivered"),  # before it was even routed
    ],
)
def test_where_letters_are_deleted_an_event_that_may_have_been_one_is_not_called_delivered(
    change: dict[str, Any], earliest: int, state: str
) -> None:
    about = known(receipts={"growth": [replace(RECEIPT, **change)]}, earliest={(CREDENTIALS, 1): earliest})
    assert way([READ, COPY], about).state == state


def test_a_person_s_purge_is_known_by_its_bit_or_its_job() -> None:
    bits: dict[str, Record] = {
        key("settled", "growth", "rejected", 1, 0): settled(30),
        key("settled", "growth", "purged", 1, 0): settled(30),
    }
    assert way([READ, COPY, LETTER], known(records=bits)).state == "purged"
    job = Job(
        action="purge", status="done", who="ana@laptop", reason="test data", created=NOW - 5_000,
        positions={"rejected/1": 31},
    )  # fmt: skip
    ordered: dict[str, Record] = {
        key("job", "growth", "j2"): job,
        key("settled", "growth", "rejected", 1, 0): settled(30),
    }
    found = way([READ, COPY, LETTER], known(records=ordered))
    assert (found.state, found.steps[-1].detail) == ("purged", "by job j2 of ana@laptop: test data")


def test_a_letter_of_the_router_is_parked_at_the_source_until_it_is_routed_again() -> None:
    letter = replace(LETTER, connector="source", cause="unknown-schema", is_decoded=False, verdict=None)
    story = told([replace(READ, is_decoded=False, targets=()), letter], known())
    assert (story.router, story.is_decoded) == ("parked", False)
    (found,) = story.ways
    assert (found.connector, found.state) == ("source", "parked")
    assert found.next_step == "streams dlq replay source --event-id id-1"
    gone = view({key("settled", "source", "rejected", 1, 0): settled(30)}, "source")
    about = replace(known(), views={"source": gone})
    assert told([letter], about).ways[0].state == "returned"


def test_a_record_that_was_written_twice_has_two_stories() -> None:
    twin = Origin(CURRENTS, 2, 78)
    found = stories("id-1", [COPY, replace(COPY, offset=501, origin=twin), LETTER], known())
    assert [(story.origin.offset, story.ways[0].state) for story in found] == [(77, "parked"), (78, "delivered")]
