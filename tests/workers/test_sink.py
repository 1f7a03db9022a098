"""The sink's table of answers, on fakes: what is sent, settled, parked, committed and counted."""

from __future__ import annotations

import json
from random import Random

import pytest

from streams.delivery.contract import NoResponse, Request, Response
from streams.delivery.letter import Origin
from streams.events.encodings import confluent_header, encode_confluent, encode_single_object
from streams.events.samples import sample_record
from streams.events.schema import WriterSchema
from streams.events.schemas import shipped
from streams.testing.ports import FakeKafka
from tests.workers.stage import AUDIT, OPEN, TOPIC, Stage, events_of, imports_all


def refusing(*ids: str) -> object:
    """Mixpanel refuses the events with these insert ids by name."""

    def answer(request: Request) -> Response:
        events = events_of(request)
        failed = [
            {
                "index": index,
                "insert_id": event["properties"]["$insert_id"],
                "field": "properties.time",
                "message": "'properties.time' is invalid: must not be in the future",
            }
            for index, event in enumerate(events)
            if event["properties"]["$insert_id"] in ids
        ]
        if not failed:
            return imports_all(request)
        body = {
            "code": 400,
            "error": "some data points in the request failed validation",
            "status": "Bad Request",
            "num_records_imported": len(events) - len(failed),
            "failed_records": failed,
        }
        return Response(400, {"content-type": "application/json"}, json.dumps(body).encode())

    return answer


def test_events_are_delivered_and_committed_with_the_account() -> None:
    stage = Stage()
    for _ in range(5):
        stage.event()
    stage.run()
    assert len(stage.transport.requests) == 1
    assert len(events_of(stage.transport.requests[0])) == 5
    assert stage.committed == 5
    assert stage.counts == {"v": 1, "delivered": 5, "skipped": {}, "parked": {}, "lost": 0}


def test_a_partition_that_waited_for_a_schema_is_read_on_once_its_topic_was_made_again() -> None:
    stage = Stage()
    stage.kafka.tells_ids = True
    stage.event()
    stage.write(b"\xc3\x01of a schema that nobody knows")
    stage.run(0.5)
    assert stage.consumer.paused == {(TOPIC, 0)}
    stage.kafka.make_again(TOPIC)
    stage.run(0.1)
    stage.event()
    stage.run(2)
    assert len(stage.transport.requests) == 2
    assert stage.counts["delivered"] == 2


def test_records_that_were_deleted_before_a_sink_ever_ran_are_lost() -> None:
    kafka = FakeKafka()
    before = Stage(kafka=kafka)
    for _ in range(5):
        before.event()
    kafka.delete_before((TOPIC, 0), 3)
    before.run()
    assert (before.counts["delivered"], before.counts["lost"]) == (2, 3)


class OneSchema:
    """A registry that knows one schema under one id."""

    def __init__(self, schema: WriterSchema) -> None:
        self._schema = schema

    def find(self, header: bytes) -> WriterSchema | None:
        return self._schema if header == confluent_header(7) else None


def test_records_of_both_wire_formats_and_corrupt_ones_are_each_settled_at_their_own_place() -> None:
    schema = shipped().by_event_type(OPEN)
    assert schema is not None
    stage = Stage(registry=OneSchema(schema))
    sent = []
    for number in range(40):
        record = {**sample_record(OPEN, Random(number), 1_790_000_000), "id": f"id-{number}"}
        if number % 10 == 7:
            stage.write(encode_single_object(schema, record)[:-3])
        else:
            stage.write(encode_confluent(7, schema, record) if number % 3 else encode_single_object(schema, record))
            sent.append(f"id-{number}")
    stage.run()
    events = [event for request in stage.transport.requests for event in events_of(request)]
    assert [event["properties"]["$insert_id"] for event in events] == sent
    assert [letter.value() for letter in stage.letters] == [
        stage.kafka.read(TOPIC)[place].value() for place in (7, 17, 27, 37)
    ]
    assert (stage.committed, stage.counts["delivered"], stage.counts["parked"]) == (40, 36, {"rejected": 4})


def test_records_refused_by_name_are_parked_once_and_the_others_are_never_sent_again() -> None:
    stage = Stage(refusing("bad-1", "bad-2"))  # type: ignore[arg-type]
    for event_id in ("good-1", "bad-1", "good-2", "bad-2"):
        stage.event(id=event_id)
    stage.run()
    assert len(stage.transport.requests) == 1
    assert [letter.value() for letter in stage.letters] == [stage.kafka.read(TOPIC)[place].value() for place in (1, 3)]
    assert stage.counts["delivered"] == 2
    assert stage.counts["parked"] == {"rejected": 2}
    assert stage.committed == 4


def test_a_letter_is_byte_for_byte_the_record_with_its_reason_in_headers() -> None:
    stage = Stage(refusing("bad"))  # type: ignore[arg-type]
    record = stage.event(id="bad")
    stage.run()
    (letter,) = stage.letters
    headers = dict(letter.headers() or [])
    assert (letter.key(), letter.value()) == (record.key(), record.value())
    assert (letter.headers() or [])[:2] == record.headers()
    assert headers["streams-cause"] == b"rejected"
    verdict = json.loads(headers["streams-verdict"] or b"")
    assert (verdict["status"], verdict["scope"], verdict["attempts"]) == (400, "default", 1)
    assert "must not be in the future" in verdict["detail"]
    assert Origin.from_header(headers["streams-origin"] or b"") == Origin("currents." + OPEN, 2, 77)
    assert headers["__connect.errors.offset"] == b"77"


def test_the_same_bytes_go_out_again_until_the_destination_takes_them() -> None:
    answers: list[Response | NoResponse]
    answers = [Response(503, {}, b"down"), NoResponse("no answer in time"), Response(429, {"retry-after": "7"}, b"")]
    stage = Stage(lambda request: answers.pop(0) if answers else imports_all(request))
    stage.event()
    stage.run(60)
    assert len(stage.transport.requests) == 4
    assert len({request.body for request in stage.transport.requests}) == 1
    assert stage.counts["delivered"] == 1


def test_a_retry_after_is_waited_for() -> None:
    answers = [Response(429, {"retry-after": "30"}, b"")]
    stage = Stage(lambda request: answers.pop(0) if answers else imports_all(request))
    stage.event()
    stage.run(29)
    assert len(stage.transport.requests) == 1
    stage.run(5)
    assert len(stage.transport.requests) == 2


@pytest.mark.parametrize(
    "answer",
    [
        Response(404, {}, b"not here"),
        Response(402, {}, b""),
        Response(301, {"location": "https://elsewhere.test"}, b""),
        Response(401, {"content-type": "text/html"}, b"<html>proxy login</html>"),
        Response(200, {"content-type": "text/html"}, b"<html>welcome</html>"),
        NoResponse("TLS: certificate has expired", is_misconfigured=True),
    ],
)
def test_a_wrong_configuration_suspends_the_connector_and_parks_nothing(answer: Response | NoResponse) -> None:
    stage = Stage(lambda _: answer)
    stage.event()
    stage.run(600)
    assert len(stage.transport.requests) == 1
    assert stage.letters == []
    assert stage.committed == 0
    assert (stage.view.state.state, stage.view.state.by) == ("SUSPENDED", "configuration")
    assert stage.probes.requests == []


def test_a_record_that_breaks_a_rule_is_parked_and_never_sent() -> None:
    stage = Stage()
    stage.event("users.behaviors.CustomEvent", properties="[1,2]")
    stage.write(b"\xc3\x01too short to be anything")
    stage.event()
    stage.run(120)
    assert sum(len(events_of(request)) for request in stage.transport.requests) == 1
    details = [json.loads(dict(letter.headers() or [])["streams-verdict"] or b"")["detail"] for letter in stage.letters]
    assert details[0] == "properties is not a JSON object"
    assert details[1].startswith("unknown schema fingerprint")
    assert stage.counts["delivered"] == 1
    assert stage.counts["parked"] == {"rejected": 2}


def test_an_answer_that_accounts_for_fewer_halves_until_the_culprit_is_parked() -> None:
    def answer(request: Request) -> Response:
        events = events_of(request)
        bad = sum(event["properties"]["$insert_id"] == "bad" for event in events)
        body = json.dumps({"code": 200, "num_records_imported": len(events) - bad, "status": "OK"})
        return Response(200, {}, body.encode())

    stage = Stage(answer)
    for number in range(16):
        stage.event(id="bad" if number == 11 else f"good-{number}")
    stage.run(10)
    assert [letter.offset() for letter in stage.letters] == [0]
    assert stage.letters[0].value() == stage.kafka.read(TOPIC)[11].value()
    assert (stage.counts["delivered"], stage.counts["parked"]) == (15, {"rejected": 1})


def test_nothing_is_committed_past_a_batch_that_waits_though_later_ones_were_delivered() -> None:
    def answer(request: Request) -> Response:
        is_first = any(event["properties"]["$insert_id"] == "slow" for event in events_of(request))
        return Response(503, {}, b"") if is_first else imports_all(request)

    stage = Stage(answer)
    stage.event(id="slow")
    stage.run(0.5)
    stage.event(id="quick")
    stage.run(0.3)
    assert stage.committed == 0
    stage.transport.answer = imports_all
    stage.run(120)
    assert stage.committed == 2
    assert stage.counts["delivered"] == 2


def test_a_refused_commit_is_done_again_and_counts_once() -> None:
    stage = Stage(refusing("bad"))  # type: ignore[arg-type]
    stage.run(0.1)
    stage.event(id="bad")
    stage.event(id="good")
    stage.kafka.refuse_commits = 3
    stage.run(5)
    assert len(stage.letters) == 1
    assert (stage.counts["delivered"], stage.counts["parked"]) == (1, {"rejected": 1})


def test_a_partition_that_goes_is_committed_first_and_its_next_owner_counts_on() -> None:
    kafka = FakeKafka()
    first = Stage(kafka=kafka)
    first.event()
    first.run(1)
    first.event()
    first.run(0.3)
    first.consumer.close()
    second = Stage(kafka=kafka)
    second.event()
    second.run(1)
    assert len(second.transport.requests) == 1
    assert second.counts["delivered"] == 3


def test_answers_under_way_are_awaited_when_partitions_go() -> None:
    stage = Stage()
    stage.transport.is_holding = True
    stage.event()
    stage.run(1)
    assert stage.committed == 0
    stage.transport.is_holding = False
    stage.consumer.revoke([(TOPIC, 0)])
    assert stage.committed == 1


def test_the_first_start_of_a_group_is_audited_once() -> None:
    kafka = FakeKafka()
    stage = Stage(kafka=kafka)
    stage.event()
    stage.run(1)
    Stage(kafka=kafka).run(1)
    (line,) = [json.loads(record.value() or b"") for record in kafka.read(AUDIT)]
    assert line["what"] == "started at the earliest record"
    assert line["partitions"] == {"0": 0}


def test_a_first_start_whose_commit_was_refused_never_moves_a_later_commit_back() -> None:
    stage = Stage()
    stage.kafka.refuse_commits = 1_000
    stage.event()
    stage.run(0.5)
    stage.kafka.refuse_commits = 0
    stage.consumer.revoke([(TOPIC, 0)])
    assert stage.committed == 1
    stage.consumer.poll(0, 0.0)  # the partition comes back before the next step
    stage.sink.step()
    assert stage.committed == 1
    stage.event()
    stage.run(1)
    assert (stage.committed, stage.counts["delivered"]) == (2, 2)
    assert len(stage.transport.requests) == 2


def test_giving_up_parks_with_a_cause_of_its_own() -> None:
    stage = Stage(lambda _: Response(500, {}, b""), give_up_seconds=120.0)
    stage.event()
    stage.run(300, step_seconds=0.5)
    assert stage.counts["parked"] == {"gave-up": 1}
    assert dict(stage.letters[0].headers() or [])["streams-cause"] == b"gave-up"


def test_a_window_full_of_waiting_records_pauses_the_partition_but_goes_on_polling() -> None:
    stage = Stage(lambda _: Response(503, {}, b""))
    for _ in range(12_000):
        stage.write(stage.event().value() if stage.kafka.records == {} else stage.kafka.records[TOPIC, 0][0].value())
    stage.run(10)
    assert stage.consumer.paused == {(TOPIC, 0)}
    stage.transport.answer = imports_all
    stage.run(200)
    assert stage.consumer.paused == set()
    assert stage.counts["delivered"] == len(stage.kafka.records[TOPIC, 0])


def test_mparticle_gets_the_first_event_of_each_kind_alone_and_the_others_in_bulk() -> None:
    stage = Stage(destination="mparticle")
    for _ in range(5):
        stage.event()
    stage.run()
    paths = [request.url.removeprefix("http://mparticle.test") for request in stage.transport.requests]
    assert sorted(paths) == ["/v2/bulkevents", "/v2/events"]
    assert stage.counts["delivered"] == 5


def test_a_kind_that_mparticle_refuses_is_parked_and_the_next_of_it_goes_alone_too() -> None:
    body = b'{"errors":[{"code":"BAD_REQUEST","message":"Required event field \\"event_type\\" is missing or empty."}]}'
    stage = Stage(lambda _: Response(400, {"content-type": "application/json"}, body), destination="mparticle")
    for _ in range(2):
        stage.event()
        stage.run(1)
    assert [request.url.rsplit("/", 1)[1] for request in stage.transport.requests] == ["events", "events"]
    assert stage.counts["parked"] == {"rejected": 2}


def test_while_no_broker_says_how_many_partitions_there_are_nothing_of_the_accounts_rate_is_taken() -> None:
    stage = Stage(destination="mparticle")
    stage.partitions = 0
    stage.event()
    stage.run()
    assert stage.transport.requests == []
    stage.partitions = 4
    stage.run()
    stage.clock.advance(1.1)
    stage.run()
    assert stage.committed == 1


@pytest.mark.parametrize("letters", [1, 3, 40])
def test_letters_that_their_topic_does_not_take_are_passed_counted_and_named(letters: int) -> None:
    large = {7, 8, 30}
    ids = [f"bad-{number}" for number in range(letters)]
    stage = Stage(refusing(*ids))  # type: ignore[arg-type]
    for number, event_id in enumerate(ids):
        stage.event(id=event_id, external_user_id="u" * (3_000 if number in large or letters == 1 else 10))
    stage.event(id="good")
    stage.kafka.topic_bytes_max["streams.dead-letter.growth.rejected"] = 2_000
    stage.run()
    stage.run()
    passed = 1 if letters == 1 else sum(number in large for number in range(letters))
    parked = {"rejected": letters - passed} if letters > passed else {}
    skipped = {"refused_by_kafka": passed} if passed else {}
    counts = stage.counts
    assert (counts["delivered"], counts["parked"], counts["skipped"]) == (1, parked, skipped)
    assert len(stage.kafka.read("streams.dead-letter.growth.rejected")) == letters - passed
    lines = [json.loads(one.value() or b"") for one in stage.kafka.read(AUDIT)]
    named = [place for line in lines if "passed" in line["what"] for place in line["records"]]
    assert len(named) == passed
