"""A sink of a destination that composes, on fakes: order, what is remembered, what is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest

from streams.delivery.contract import NoResponse, Request, Response
from streams.ports.http import Answer as HttpAnswer
from streams.ports.kafka import Start
from streams.workers.sink import window
from tests.workers.composition_stage import SENT, Answer, CompositionStage, takes_all
from tests.workers.notebook import DOUBT, LIMITS, Notebook, NotebookComposer, record, said


def refusing(*ids: str) -> Answer:
    """Refuses by name each note that holds one of these words."""

    def answer(request: Request) -> Response:
        places = [place for place, note in enumerate(said(request)) if any(word in str(note) for word in ids)]
        return Response(200, {}, orjson.dumps(places) if places else b"")

    return answer


def in_turn(*answers: Response | NoResponse) -> Answer:
    """These answers, then everything is taken."""
    left = list(answers)
    return lambda request: left.pop(0) if left else takes_all(request)


def test_a_request_holds_what_differs_and_the_rest_is_skipped() -> None:
    stage = CompositionStage()
    stage.write("ann", "set", colour="red")
    stage.write("ann", "set", colour="red")
    stage.write("bob", "bought", event_id="1")
    process = stage.process()
    process.run()
    assert process.notes == [["user", "ann", {"colour": "red"}], ["event", "bob", "1"]]
    assert (stage.counts["delivered"], stage.counts["skipped"], stage.committed()) == (2, {"unchanged": 1}, 3)
    assert stage.user("ann").attributes["colour"].place == 1
    stage.write("ann", "set", colour="red")
    stage.write("ann", "set", colour="blue")
    stage.write("bob", "bought", event_id="1")
    process.run()
    assert process.notes[2:] == [["user", "ann", {"colour": "blue"}]]
    assert stage.counts["delivered"] == 3
    assert stage.counts["skipped"] == {"unchanged": 2, "duplicate": 1}
    assert stage.counts["tallies"] == {"notes": 3}
    assert stage.committed() == 6


def test_what_a_request_has_no_room_for_goes_next_in_its_order() -> None:
    stage = CompositionStage()
    for number in range(12):
        stage.write(f"user-{number}", "set", number=number)
    process = stage.process()
    process.run()
    assert [len(said(request)) for request in process.transport.requests] == [5, 5, 2]
    assert [note[1] for note in process.notes] == [f"user-{number}" for number in range(12)]
    assert stage.counts["delivered"] == 12


def test_one_request_of_each_partition_is_on_its_way() -> None:
    stage = CompositionStage(partitions=2)
    process = stage.process()
    for number in range(5):  # so that many may be on their way
        stage.write("ann", "set", number=number)
        process.run(0.5)
    process.transport.requests.clear()
    for number in range(12):
        stage.write(f"user-{number}", "set", partition=number % 2, number=number)
    process.transport.is_holding = True
    process.run()
    assert len(process.transport.requests) == 2
    process.transport.is_holding = False
    process.run()
    for partition in range(2):
        mine = [f"user-{number}" for number in range(12) if number % 2 == partition]
        assert [note[1] for note in process.notes if note[1] in mine] == mine


def test_a_request_that_failed_goes_again_as_it_is_before_what_came_later() -> None:
    stage = CompositionStage()
    stage.write("ann", "set", colour="red")
    process = stage.process(in_turn(Response(503, {}, b""), Response(429, {}, b"")))
    process.run(0.5)
    stage.write("ann", "set", colour="blue")
    process.run(60)
    bodies = [request.body for request in process.transport.requests]
    assert bodies[0] == bodies[1] == bodies[2]
    assert [note[2] for note in process.notes] == [{"colour": "red"}] * 3 + [{"colour": "blue"}]


def test_a_record_that_is_refused_by_name_is_parked_and_its_change_is_not_remembered() -> None:
    stage = CompositionStage()
    stage.write("ann", "set", colour="bad")
    stage.write("bob", "set", colour="red")
    process = stage.process(refusing("bad"))
    process.run()
    assert stage.counts["parked"] == {"rejected": 1}
    assert [letter.key() for letter in stage.letters] == [b"ann"]
    assert stage.user("ann").attributes == {}
    assert stage.user("bob").attributes["colour"].place == 1
    stage.write("ann", "set", colour="bad")
    process.run()
    assert len(stage.letters) == 2


def test_records_of_a_refused_object_go_again_each_on_its_own() -> None:
    stage = CompositionStage()
    stage.write("ann", "set", colour="red")
    stage.write("ann", "set", size="bad")
    stage.write("bob", "bought", event_id="1")
    process = stage.process(refusing("bad"))
    process.run()
    assert process.notes == [
        ["user", "ann", {"colour": "red", "size": "bad"}],
        ["event", "bob", "1"],
        ["user", "ann", {"colour": "red"}],
        ["user", "ann", {"size": "bad"}],
    ]
    assert (stage.counts["delivered"], stage.counts["parked"]) == (2, {"rejected": 1})
    assert set(stage.user("ann").attributes) == {"colour"}


def test_a_skipped_record_that_shares_a_change_is_decided_with_the_one_that_was_sent() -> None:
    stage = CompositionStage()
    stage.write("ann", "set", colour="red")
    process = stage.process(refusing("bad"))
    process.run()
    stage.write("ann", "set", colour="red")
    stage.write("ann", "set", size="bad")
    process.transport.is_holding = True
    process.run()
    assert (len(process.transport.requests), stage.committed()) == (2, 1)
    process.transport.is_holding = False
    process.run()
    assert (stage.counts["skipped"], stage.counts["parked"]) == ({"unchanged": 1}, {"rejected": 1})
    assert stage.user("ann").attributes["colour"].place == 1


def test_an_answer_that_names_nothing_halves_and_each_half_is_composed_anew() -> None:
    stage = CompositionStage()
    for number in range(4):
        stage.write(f"user-{number}", "set", colour="bad" if number == 2 else "red")
    stage.write("user-0", "set", colour="red")

    def answer(request: Request) -> Response:
        return Response(400 if "bad" in str(said(request)) else 200, {}, b"")

    process = stage.process(answer)
    process.run()
    assert [note[1] for note in process.notes[4:]] == ["user-0", "user-1", "user-2", "user-3", "user-2", "user-3"]
    assert (stage.counts["delivered"], stage.counts["parked"]) == (3, {"rejected": 1})
    assert stage.counts["skipped"] == {"unchanged": 1}
    assert stage.committed() == 5


def test_a_record_that_comes_back_keeps_its_place() -> None:
    stage = CompositionStage()
    for colour in ("red", "green", "blue"):
        stage.write("ann", "set", colour=colour)
    process = stage.process()
    process.run()
    stage.write("ann", "set", origin=1, colour="green")
    stage.write("ann", "set", origin=1, origin_topic="streams.connector.elsewhere", colour="white")
    stage.write("ann", "set", origin=70, colour="black")
    process.run()
    assert stage.counts["skipped"] == {"stale": 1}
    assert process.notes[-1] == ["user", "ann", {"colour": "black"}]
    assert stage.user("ann").attributes["colour"].place == 5


def test_a_replay_again_passes_what_is_unchanged_and_what_was_seen() -> None:
    stage = CompositionStage()
    stage.write("ann", "set", colour="red")
    stage.write("ann", "bought", event_id="1")
    process = stage.process()
    process.run()
    stage.write("ann", "set", again="job-1", colour="red")
    stage.write("ann", "bought", again="job-1", event_id="1")
    process.run()
    assert process.notes[2:] == process.notes[:2]
    assert stage.counts["skipped"] == {}


def test_requests_of_two_scopes_that_change_one_row_do_not_cross() -> None:
    stage = CompositionStage()
    stage.write("ann", "set", colour="red")
    stage.write("ann", "set", scope="second", size="large")
    stage.write("bob", "set", scope="second", size="small")
    process = stage.process()
    process.transport.is_holding = True
    process.run()
    assert [request.url for request in process.transport.requests] == ["https://notebook.test/default"]
    process.transport.is_holding = False
    process.run()
    assert set(stage.user("ann").attributes) == {"colour", "size"}
    assert stage.counts["delivered"] == 3


def test_a_request_that_has_to_go_before_is_delivered_first() -> None:
    stage = CompositionStage(Notebook(NotebookComposer(in_doubt="park", has_title=True)))
    stage.write("ann", "bought", event_id="1")
    process = stage.process(in_turn(NoResponse("cut"), Response(429, {}, b""), Response(200, {}, b"")))
    process.run(60)
    assert process.notes == [["title"], ["title"], ["title"], ["event", "ann", "1"]]
    assert (stage.counts["delivered"], stage.counts["parked"]) == (1, {})
    stage.write("ann", "set", colour="red")
    process.run(2)
    assert process.notes[4:] == [["user", "ann", {"colour": "red"}]]


def test_a_refusal_of_the_request_before_is_that_of_the_records() -> None:
    stage = CompositionStage(Notebook(NotebookComposer(has_title=True)))
    stage.write("ann", "set", colour="red")
    process = stage.process(in_turn(Response(400, {}, b"")))
    process.run()
    assert (process.notes, stage.counts["parked"]) == ([["title"]], {"rejected": 1})
    assert stage.rows() == {}


def test_a_rate_of_requests_is_kept() -> None:
    stage = CompositionStage(Notebook(limits=replace(LIMITS, requests_per_second=2.0)))
    for number in range(100):
        stage.write(f"user-{number}", "set", number=number)
    process = stage.process()
    process.run(5)
    assert 9 <= len(process.transport.requests) <= 11


def test_invalid_credentials_park_what_waits_and_what_was_remembered_stays() -> None:
    stage = CompositionStage()
    stage.write("ann", "set", colour="red")
    stage.write("bob", "bought", event_id="1")
    process = stage.process(in_turn(Response(401, {}, b"")))
    process.run(1)
    assert len(process.transport.requests) == 1
    stage.decide("INVALID")
    process.run(1)
    assert stage.counts["parked"] == {"credentials": 2}
    assert stage.rows() == {}
    stage.decide("VALID")
    stage.write("ann", "set", origin=0, colour="red")
    process.run(2)
    assert stage.user("ann").attributes["colour"].place == 0


@pytest.mark.parametrize(
    ("answer", "doubled"),
    [
        (Response(503, {}, b""), 1),
        (Response(408, {}, b""), 1),
        (NoResponse("no answer in time"), 1),
        (Response(429, {}, b""), 0),
    ],
)
def test_events_that_are_sent_again_after_a_doubt_are_counted(answer: Response | NoResponse, doubled: int) -> None:
    stage = CompositionStage()
    stage.write("ann", "bought", event_id="1")
    stage.write("ann", "set", colour="red")
    process = stage.process(in_turn(answer, answer))
    process.run(60)
    assert len(process.transport.requests) == 3
    assert stage.counts.get("maybe_doubled", 0) == 2 * doubled
    assert stage.counts["delivered"] == 2
    assert [row for row in stage.rows() if row.startswith(b"flight")] == []


def test_what_may_have_been_taken_and_is_parked_leaves_a_doubt_and_what_is_delivered_then_leaves_none() -> None:
    stage = CompositionStage()
    stage.write("ann", "set", colour="red")
    process = stage.process(in_turn(NoResponse("cut"), Response(401, {}, b"")))
    process.run(5)
    stage.decide("INVALID")
    process.run(5)
    assert stage.counts["parked"] == {"credentials": 1}
    assert list(stage.rows()) == [DOUBT + b"ann"]
    stage.decide("VALID")
    stage.write("bob", "set", colour="red")
    process.transport.answer = in_turn(NoResponse("cut"))
    process.run(60)
    assert stage.counts["delivered"] == 1
    assert DOUBT + b"bob" not in stage.rows()


def test_a_remark_that_is_rejected_has_its_letter() -> None:
    stage = CompositionStage()
    stage.write("ann", "torn")
    stage.write("ann", "set", colour="red")
    stage.process().run()
    assert stage.counts["parked"] == {"rejected": 1}
    assert stage.counts["skipped"] == {}
    assert [letter.value() for letter in stage.letters] == [record("ann", "torn")]


def test_events_in_doubt_are_parked_where_they_must_not_be_doubled() -> None:
    stage = CompositionStage(Notebook(NotebookComposer(in_doubt="park")))
    stage.write("ann", "bought", event_id="1")
    stage.write("ann", "set", colour="red")
    process = stage.process(in_turn(NoResponse("no answer in time")))
    process.run(60)
    red = ["user", "ann", {"colour": "red"}]
    assert process.notes == [["event", "ann", "1"], red, red]
    assert (stage.counts["parked"], stage.counts["delivered"]) == ({"gave-up": 1}, 1)
    assert "maybe_doubled" not in stage.counts
    assert [row for row in stage.rows() if row.startswith(b"flight")] == []


def test_events_that_are_parked_in_doubt_behind_what_waits_are_counted_for_the_next_process_sends_them_again() -> None:
    stage = CompositionStage(Notebook(NotebookComposer(in_doubt="park")))
    stage.write("ann", "set", colour="red")
    stage.write("ann", "bought", event_id="1")
    process = stage.process(in_turn(*[NoResponse("no answer in time")] * 20))
    process.run(2)
    assert stage.committed() <= 0, "the attribute waits, and with it the letter of the event"
    successor = stage.process()
    successor.run()
    assert ["event", "ann", "1"] in successor.notes
    assert (stage.counts["parked"], stage.counts["maybe_doubled"]) == ({}, 1)


def test_events_that_were_in_doubt_when_their_batch_was_halved_are_counted() -> None:
    stage = CompositionStage()
    for number in range(4):
        stage.write("ann", "bought", event_id=str(number))
    process = stage.process(in_turn(NoResponse("cut"), Response(400, {}, b"")))
    process.run(60)
    assert [len(said(request)) for request in process.transport.requests] == [4, 4, 2, 2]
    assert (stage.counts["delivered"], stage.counts["maybe_doubled"]) == (4, 4)


def test_seen_events_are_forgotten_after_a_day() -> None:
    stage = CompositionStage()
    stage.write("ann", "bought", event_id="1")
    process = stage.process()
    process.run()
    assert any(row.startswith(b"seen/") for row in stage.rows())
    stage.clock.advance(86_400)
    process.run()
    assert stage.rows() == {}
    stage.write("ann", "bought", event_id="1")
    process.run()
    assert process.notes == [["event", "ann", "1"]] * 2


def test_a_damaged_memory_is_made_again_and_nothing_is_forgotten() -> None:
    stage = CompositionStage()
    stage.write("ann", "set", colour="red")
    stage.write("eve", "present", copy="s", page=1, request="r")
    process = stage.process()
    process.run()
    process.memories.current[0].is_damaged = True
    stage.write("ann", "set", colour="red")
    stage.write("ann", "set", colour="blue")
    stage.write("eve", "page", copy="s", page=1, request="r", pages=1)
    process.run()
    assert process.memories.opened == [0, 0]
    assert [note[2] for note in process.notes] == [{"colour": "red"}, {"colour": "blue"}, {"in g": True}]
    assert stage.counts["derived"] == 1


def test_a_partition_whose_memory_cannot_be_opened_waits_and_says_so() -> None:
    stage = CompositionStage()
    process = stage.process()
    process.memories.full = True
    stage.write("ann", "set", colour="red")
    process.run(30)
    assert (process.notes, stage.committed(), stage.waits) == ([], 0, ["memory"])
    process.memories.full = False
    process.run(30)
    assert (stage.counts["delivered"], stage.waits) == (1, [])


def test_a_row_that_its_topic_does_not_take_is_not_remembered() -> None:
    stage = CompositionStage()
    stage.kafka.topic_bytes_max["streams.sent.notes"] = 400
    many: dict[str, Any] = {f"name-{number}": number for number in range(20)}
    stage.write("ann", "set", **many)
    stage.write("bob", "set", colour="red")
    process = stage.process()
    process.run()
    assert stage.counts["delivered"] == 2
    assert set(stage.rows()) == {b"user/bob"}


# Remarks.


def present(stage: CompositionStage, copy: str, *users: str, page: int = 1, pages: int = 1, **where: Any) -> None:
    """A page of a full copy."""
    for user in users:
        stage.write(user, "present", copy=copy, page=page, request=f"{copy}{page}", **where)
    stage.write("page", "page", copy=copy, page=page, request=f"{copy}{page}", pages=pages, **where)


def members(stage: CompositionStage, notes: list[list[Any]]) -> set[str]:
    """Who is in the group by what was noted."""
    found: set[str] = set()
    for _, user, change in notes:
        if "in g" in change:
            (found.add if change["in g"] else found.discard)(user)
    return found


def test_a_full_copy_becomes_the_truth_with_its_last_page() -> None:
    stage = CompositionStage()
    stage.write("ann", "join", group="g")
    stage.write("bob", "join", group="g")
    present(stage, "s", "bob", "eve", page=1, pages=2)
    process = stage.process()
    process.run()
    assert members(stage, process.notes) == {"ann", "bob"}
    present(stage, "s", "ivy", page=2, pages=2)
    stage.write("zoe", "join", group="g")
    process.run()
    assert members(stage, process.notes) == {"bob", "eve", "ivy", "zoe"}
    assert stage.counts["derived"] == 3
    assert stage.counts["skipped"] == {"staged": 3, "page": 2}
    assert stage.committed() == len(stage.kafka.read("streams.connector.notes"))
    derived = stage.kafka.read("streams.connector.notes")[-3:]
    assert {dict(one.headers() or [])["streams-origin"] for one in derived} == {b"streams.connector.notes/0/2"}


def test_a_page_waits_until_what_is_before_it_is_settled_while_others_go_on() -> None:
    stage = CompositionStage(partitions=2)
    stage.write("ann", "join", group="g")
    present(stage, "s")
    stage.write("zoe", "join", partition=1, group="g")
    process = stage.process()
    process.transport.is_holding = True
    process.run()
    stage.write("zoe", "set", partition=1, colour="red")
    process.run()
    assert "derived" not in json_of(stage)
    process.transport.is_holding = False
    process.run()
    assert members(stage, process.notes) == {"zoe"}
    assert stage.counts_of(0)["derived"] == 1
    assert stage.counts_of(1)["delivered"] == 2


def json_of(stage: CompositionStage) -> dict[str, Any]:
    return stage.counts if stage.committed() >= 0 else {}


def test_derived_records_are_written_in_chunks_and_the_last_passes_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.workers.sink.composition.remarks.DERIVED_PER_TRANSACTION", 4)
    stage = CompositionStage()
    names = [f"user-{number:02}" for number in range(10)]
    present(stage, "s", *names)
    process = stage.process()
    process.run()
    assert members(stage, process.notes) == set(names)
    assert stage.counts["derived"] == 10
    assert (stage.counts["delivered"], stage.committed()) == (10, 21)


def test_a_derived_record_that_its_topic_does_not_take_is_counted() -> None:
    stage = CompositionStage()
    present(stage, "s", "ann", "x" * 2_000)
    stage.kafka.topic_bytes_max["streams.connector.notes"] = 1_500
    process = stage.process()
    process.run()
    assert members(stage, process.notes) == {"ann"}
    assert stage.counts["derived"] == 2
    assert stage.counts["skipped"]["refused_by_kafka"] == 1


def test_a_silent_copy_ends_after_a_day() -> None:
    stage = CompositionStage()
    stage.write("ann", "present", copy="s", page=1, request="r")
    process = stage.process()
    process.run()
    stage.clock.advance(86_401)
    process.run(70)
    assert stage.counts["tallies"] == {"dropped": 1}
    present(stage, "s", "ann")
    process.run()
    assert process.notes == []


# Partitions that come and go.


def test_a_new_owner_reads_what_was_staged_again_and_counts_nothing_twice() -> None:
    stage = CompositionStage()
    stage.write("ann", "set", colour="red")
    stage.write("eve", "present", copy="s", page=1, request="s1")
    stage.write("ann", "bought", event_id="1")
    first = stage.process()
    first.run()
    first.consumer.close()
    before = stage.counts
    second = stage.process()
    second.run()
    assert (second.notes, stage.counts) == ([], before)
    stage.write("page", "page", copy="s", page=1, request="s1", pages=1)
    second.run()
    assert members(stage, second.notes) == {"eve"}


def test_copies_whose_records_retention_deleted_end_and_only_what_was_not_read_is_lost() -> None:
    stage = CompositionStage()
    stage.write("eve", "present", copy="s", page=1, request="s1")
    for number in range(4):
        stage.write("ann", "set", colour=number)
    first = stage.process()
    first.run()
    first.consumer.close()
    stage.kafka.deleted_before["streams.connector.notes", 0] = 3
    stage.write("page", "page", copy="s", page=1, request="s1", pages=1)
    second = stage.process()
    second.run()
    assert members(stage, second.notes) == set()
    assert (stage.counts["lost"], stage.counts["tallies"]["dropped"]) == (0, 1)
    assert stage.counts["skipped"] == {"staged": 1, "stale": 1}


def test_what_comes_from_a_topic_that_is_made_again_is_newer_than_all_that_is_remembered() -> None:
    stage = CompositionStage()
    for number in range(5):
        stage.write(f"user-{number}", "set", colour="red")
        stage.write(f"user-{number}", "bought", event_id=str(number))
    process = stage.process()
    process.run()
    stage.write("ann", "bought", event_id="on its way")
    process.transport.is_holding = True
    process.run(0.5)
    stage.kafka.records["streams.connector.notes", 0] = []
    process.consumer.rewind(("streams.connector.notes", 0), 0)
    process.sink.made_again([Start("streams.connector.notes", 0, 0, None, "another")])
    process.transport.is_holding = False
    stage.write("user-1", "set", colour="blue")
    process.run()
    assert process.notes[-1] == ["user", "user-1", {"colour": "blue"}]
    users = {f"user-{number}" for number in range(5)}
    assert {key.decode() for key in stage.rows() if key.startswith(b"user/")} == {f"user/{user}" for user in users}
    places = {user: stage.user(user).attributes["colour"].place for user in users}
    assert places.pop("user-1") > max(places.values())
    assert not [key for key in stage.rows() if key.startswith(b"flight/")]
    assert stage.counts["delivered"] == 11


def test_a_process_that_stood_still_sends_nothing_before_it_has_heard_of_its_group() -> None:
    stage = CompositionStage()
    process = stage.process()
    process.run(1)
    stage.write("ann", "set", colour="red")
    stage.write("ann", "bought", event_id="1")

    stood: list[float] = []

    def stand_still(_row: bytes | None) -> str:
        """The process is stopped in the commit of its first flight, for longer than its session lasts."""
        if not stood:
            stood.append(stage.clock.monotonic())
            stage.clock.advance(60)
        return ""

    stage.kafka.policies["streams.sent.notes"] = stand_still
    while not stood:
        process.run(0.05)
    assert process.notes == []
    process.run(1)
    assert process.notes == [["user", "ann", {"colour": "red"}], ["event", "ann", "1"]]
    assert (stage.counts["delivered"], "maybe_doubled" in stage.counts) == (2, False)


def test_a_revoked_partition_commits_what_was_delivered_and_is_closed() -> None:
    stage = CompositionStage(partitions=2)
    process = stage.process()
    process.run(0.1)
    for number in range(2):
        stage.write(f"user-{number}", "bought", partition=number, event_id="1")
    process.transport.is_holding = True
    process.run(0.5)
    process.transport.is_holding = False
    memory = process.memories.current[0]
    process.consumer.revoke([("streams.connector.notes", 0)])
    assert memory.is_closed
    assert (stage.committed(0), stage.counts_of(0)["delivered"]) == (1, 1)
    process.run()
    assert len(process.notes) == 2
    assert stage.counts_of(1)["delivered"] == 1


def test_what_was_delivered_is_committed_together_with_the_next_request_on_its_way() -> None:
    """Each answer comes when a commit is due anyway. A commit of its own would be a second one for each request."""
    stage = CompositionStage()
    for number in range(15):
        stage.write("ann", "bought", event_id=str(number))
    stage.process().run(5, step_seconds=0.2)
    assert stage.committed() == 15
    flights = [one.value() is not None for one in stage.kafka.records[SENT, 0] if one.key() == b"flight/default"]
    assert flights == [True, True, True, False]


def test_a_full_window_waits_for_no_answer_while_a_request_can_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "WINDOW_RECORDS_MAX", 15)
    stage = CompositionStage()
    for number in range(15):
        stage.write("ann", "bought", event_id=str(number))
    transport = (process := stage.process()).transport
    answers, answered, waits_for_nothing = transport.answers, 0, 0

    def watched(timeout_seconds: float) -> Sequence[HttpAnswer]:
        nonlocal answered, waits_for_nothing
        waits_for_nothing += timeout_seconds > 0.0 and 0 < answered == len(transport.requests)
        came = answers(timeout_seconds)
        answered += len(came)
        return came

    monkeypatch.setattr(transport, "answers", watched)
    process.run(1, step_seconds=0.02)
    assert (len(transport.requests), waits_for_nothing) == (3, 0)
