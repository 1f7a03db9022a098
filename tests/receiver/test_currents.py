"""What each request to an HTTP inlet is answered, and what of it is on Kafka then: every row of the table."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from streams.cli.assembly.installation import connected
from streams.cli.main import app
from streams.events.custom_http.samples import sample_posts
from streams.operations.accounts import Accounts
from streams.testing.brokers import Broker
from tests.chaos.scene import read_to_end
from tests.receiver.inlets import EMAIL, HTTP_INLET, INLET, OPEN, TOKEN, Written, event, post
from tests.receiver.scene import ReceiverProcess, Receiving, receiving

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(360)]
STRICT, TEST = "strict", "test-currents"
MEGABYTES_16 = 16_000_000


@pytest.fixture(scope="module")
def scene(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiving]:
    folder = tmp_path_factory.mktemp("inlets")
    inlets = {
        INLET: HTTP_INLET,
        STRICT: {"kind": "http", "tokens": ["a-token-of-the-strict-inlet"], "unauthorized": 401},
        TEST: {"kind": "http", "tokens": ["a-token-of-the-test-inlet"], "topic_prefix": "test-currents."},
    }
    with receiving(kafka.bootstrap_servers, folder, inlets=inlets, receiver={"body_max": "256kB"}) as scene:
        yield scene


@pytest.fixture(scope="module")
def receiver(scene: Receiving) -> ReceiverProcess:
    return scene.start()


@pytest.fixture
def written(scene: Receiving) -> Written:
    return Written(scene)


# Kafka acknowledged every event.


def test_events_are_on_their_topics_with_their_schemas_before_braze_is_answered(
    written: Written, receiver: ReceiverProcess
) -> None:
    given = post(receiver, [event("a-1", subject="x", campaign_name="Spring"), event("a-2", OPEN, user="bob")])
    assert (given.status, given.content) == (200, {"written": 2, "parked": 0})
    (sent,) = [one for one in written.events() if one["id"] == "a-1"]
    assert sent == {
        "id": "a-1", "time": 1_790_000_000, "external_user_id": "ada", "user_id": "braze-ada",
        "campaign_name": "Spring", "streams_unknown": '{"properties.subject":"x"}',
    }  # fmt: skip
    assert "a-2" in written.ids(OPEN)
    assert b"ada" in {one.key for one in written.read()}


def test_gzip_is_taken(written: Written, receiver: ReceiverProcess) -> None:
    assert post(receiver, [event("gzip")], is_gzip=True).status == 200
    assert "gzip" in written.ids()


def test_a_body_may_be_larger_than_what_other_vendors_may_send(written: Written, receiver: ReceiverProcess) -> None:
    events = [event(f"large-{number}", message_extras="x" * 20_000) for number in range(100)]
    assert post(receiver, events).status == 200
    assert sum(name.startswith("large-") for name in written.ids()) == 100


def test_a_user_s_events_keep_their_order(written: Written, receiver: ReceiverProcess) -> None:
    events = [event(f"order-{number}", user=f"user-{number % 3}") for number in range(60)]
    assert post(receiver, events).status == 200
    found: dict[str, list[int]] = {}
    for one in written.events():
        if one["id"].startswith("order-"):
            found.setdefault(one["external_user_id"], []).append(int(one["id"].removeprefix("order-")))
    assert sorted(found) == ["user-0", "user-1", "user-2"]
    assert all(numbers == sorted(numbers) for numbers in found.values())


def test_what_comes_twice_in_one_request_is_written_once_and_the_same_id_with_other_bytes_twice(
    written: Written, receiver: ReceiverProcess
) -> None:
    twice = event("twice", campaign_name="A")
    given = post(receiver, [twice, event("once"), twice, {**twice, "properties": {"campaign_name": "B"}}])
    assert given.content == {"written": 3, "parked": 0}
    assert written.ids().count("twice") == 2
    assert post(receiver, [twice]).content == {"written": 1, "parked": 0}, "across requests nothing is removed"
    assert written.ids().count("twice") == 3


def test_a_type_that_nobody_knows_has_a_topic_and_the_generic_schema(
    written: Written, receiver: ReceiverProcess
) -> None:
    assert post(receiver, [event("new", "users.messages.pigeon.Send", coop=7)]).status == 200
    (found,) = written.events("users.messages.pigeon.Send")
    assert json.loads(found["streams_unknown"]) == {"properties.coop": 7}


def test_an_inlet_for_tests_writes_topics_of_its_own(
    scene: Receiving, written: Written, receiver: ReceiverProcess
) -> None:
    before = sorted(written.ids())
    assert post(receiver, [event("trial")], inlet=TEST, token="a-token-of-the-test-inlet").status == 200
    assert f"test-currents.{EMAIL}" in scene.administration.topic_names()
    assert sorted(written.ids()) == before


# Credential checks.


@pytest.mark.parametrize("body", [b"", b"{}", b'{"events": []}', gzip.compress(b'{"events": []}'), gzip.compress(b"")])
def test_a_check_of_the_credentials_is_told_whether_the_token_is_right(body: bytes, receiver: ReceiverProcess) -> None:
    encoding = {"Content-Encoding": "gzip"} if body[:1] == b"\x1f" else {}
    assert post(receiver, body, headers=encoding).status == 200
    for token in ("a-wrong-token-of-24-letters", TOKEN + "x", TOKEN[:-1], "", None):
        given = post(receiver, body, token=token, headers=encoding)
        assert given.status == 401, token
        assert "bearer" in given.headers["www-authenticate"].lower()


# A wrong token.


@pytest.mark.parametrize("token", ["a-wrong-token-of-24-letters", None])
def test_events_with_a_wrong_token_are_kept_at_braze(
    token: str | None, written: Written, receiver: ReceiverProcess
) -> None:
    before = receiver.metric("streams_http_inlet_auth_failures_total", inlet=INLET)
    given = post(receiver, [event("refused")], token=token)
    assert (given.status, given.headers["retry-after"]) == (503, "60")
    assert "refused" not in written.ids()
    assert receiver.metric("streams_http_inlet_auth_failures_total", inlet=INLET) == before + 1


@pytest.mark.parametrize("body", [b"no json", b'{"events": [', b"x" * 100_000, b'{"event": 1}'])
def test_whatever_else_comes_with_a_wrong_token_is_kept_at_braze_too(body: bytes, receiver: ReceiverProcess) -> None:
    assert post(receiver, body, token="a-wrong-token-of-24-letters").status == 503


def test_an_inlet_may_answer_401_instead(receiver: ReceiverProcess) -> None:
    assert post(receiver, [event("x")], inlet=STRICT, token=TOKEN).status == 401
    assert post(receiver, [event("y")], inlet=STRICT, token="a-token-of-the-strict-inlet").status == 200


# An unknown name.


@pytest.mark.parametrize(
    "path", ["/currents/nobody", "/currents/", "/currents", f"/currents/{INLET}/x", "/currents/A%2F"]
)
def test_an_unknown_name_is_answered_503_and_counted(path: str, receiver: ReceiverProcess) -> None:
    before = receiver.metric("streams_http_inlet_requests_total", inlet="-", code="503")
    given = receiver.request("POST", path, orjson.dumps({"events": [event("x")]}), {"Authorization": f"Bearer {TOKEN}"})
    assert (given.status, given.headers["retry-after"]) == (503, "60")
    assert receiver.metric("streams_http_inlet_requests_total", inlet="-", code="503") == before + 1


def test_only_post_is_taken(receiver: ReceiverProcess) -> None:
    assert receiver.request("GET", f"/currents/{INLET}").status == 405


# Too large.


def test_more_than_16_mb_are_answered_413(receiver: ReceiverProcess) -> None:
    assert post(receiver, b"x" * (MEGABYTES_16 + 1)).status == 413
    inflated = gzip.compress(b" " * (MEGABYTES_16 + 1))
    assert post(receiver, inflated, headers={"Content-Encoding": "gzip"}).status == 413


def test_a_body_without_a_length_is_bounded_too(receiver: ReceiverProcess) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=60)
    pieces = (b" " * 1_000_000 for _ in range(17))
    headers = {"Authorization": f"Bearer {TOKEN}", "Transfer-Encoding": "chunked"}
    connection.connect()
    with suppress(ConnectionError):  # the rest of a refused body is read for a few seconds only
        connection.request("POST", f"/currents/{INLET}", pieces, headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_very_many_small_items_are_answered_413(receiver: ReceiverProcess) -> None:
    assert post(receiver, b'{"events":[' + b"{}," * 2_000_000 + b"{}]}").status == 413


# What cannot be read.


def _letters(written: Written) -> dict[bytes, str]:
    assert {letter.inlet for letter in written.letters()} <= {INLET}
    return {letter.value: letter.verdict.detail for letter in written.letters()}


@pytest.mark.parametrize(
    ("body", "headers", "words"),
    [
        (b"this is no json", {}, "not JSON"),
        (b'{"events": [{"id": "cut', {}, "not JSON"),
        (b'{"event": [1]}', {}, "no list of events"),
        (b"[1, 2]", {}, "no list of events"),
        (b"not gzip at all", {"Content-Encoding": "gzip"}, "not gzip"),
        (gzip.compress(b'{"events": []}')[:-9], {"Content-Encoding": "gzip"}, "not gzip"),
        (b"some brotli", {"Content-Encoding": "br"}, "Content-Encoding"),
        (b'{"events": [ "as a form" ]}', {"Content-Type": "application/x-www-form-urlencoded"}, "Content-Type"),
        (b'{"events": [ "as latin" ]}', {"Content-Type": "application/json; charset=latin-1"}, "UTF-8"),
    ],
)
def test_a_body_that_cannot_be_read_is_parked_as_it_came(
    body: bytes, headers: dict[str, str], words: str, written: Written, receiver: ReceiverProcess
) -> None:
    given = post(receiver, body, headers=headers)
    assert (given.status, given.content) == (200, {"written": 0, "parked": 1})
    assert words in _letters(written)[body]


def test_an_event_that_cannot_be_read_is_parked_as_it_came_and_the_rest_is_written(
    written: Written, receiver: ReceiverProcess
) -> None:
    good = orjson.dumps(event("beside"))
    bad = [
        b'{ "event_type": "users.messages.email.Send", "time": 1,  "who": 1 }',
        b'{"id": "no-time", "event_type": "users.messages.email.Send"}',
        b'{"id": "no-type", "time": 2}',
        b'{"id": "odd-type", "time": 2, "event_type": "users.messages.e-mail.Send"}',
        b"17",
    ]
    before = receiver.metric("streams_http_inlet_skipped_total", inlet=INLET, reason="undecodable")
    counted = written.counts().skipped["undecodable"]
    given = post(receiver, b'{"events": [' + b" ,".join([bad[0], good, *bad[1:], bad[0]]) + b"]}")
    assert (given.status, given.content) == (200, {"written": 1, "parked": 5})
    assert "beside" in written.ids()
    found = _letters(written)
    assert [found[one] for one in bad] == [
        "it has no id: expected a text",
        "it has no time: expected seconds since 1970, a whole number",
        "it has no event_type: expected a text",
        "its event_type can be no name in Avro",
        "it is not a JSON object",
    ]
    assert receiver.metric("streams_http_inlet_skipped_total", inlet=INLET, reason="undecodable") == before + 5
    assert written.counts().skipped["undecodable"] == counted + 5
    with connected(written.scene.settings, "streams-test") as here, Accounts(here) as accounts:
        assert accounts.source_letters() == len(written.letters()), "`dlq list source` counts them, too"


def test_what_cannot_be_read_and_cannot_be_parked_is_answered_413_so_that_braze_splits_it(
    receiver: ReceiverProcess,
) -> None:
    assert post(receiver, b"no json " * 300_000).status == 413


def test_letters_have_the_cause_of_what_cannot_be_read(scene: Receiving, receiver: ReceiverProcess) -> None:
    post(receiver, b"one more")
    topic = scene.settings.topics.dead_letter_source
    letters = read_to_end(scene.bootstrap_servers, topic)
    assert {one.header("streams-cause") for one in letters} == {b"undecodable"}
    assert not any(one.header("__connect.errors.topic") for one in letters), "it was on no topic before"


# Never 400, 403, 404, 408 or 415.


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /currents/braze-http HTTP/1.1\r\nbroken header\r\n\r\n",
        b"POST /currents/braze-http HTTP/9.9\r\n\r\n",
        b"POST /currents/braze-http HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"POST /currents/braze-http HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"POST /currents/braze-http HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nAuthorization: Bearer "
        + TOKEN.encode()
        + b"\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_answered_503(request_bytes: bytes, receiver: ReceiverProcess) -> None:
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=60) as sender:
        sender.sendall(request_bytes)
        answer = sender.recv(1_000)
    assert answer.split(b" ")[1] == b"503", answer[:60]


def test_the_emulated_connector_of_braze_loses_nothing_here(written: Written, receiver: ReceiverProcess) -> None:
    url = f"http://127.0.0.1:{receiver.port}/currents/{INLET}"
    before = written.counts().received
    found = CliRunner().invoke(
        app, ["emulate", "braze", "--currents", url, "--token", TOKEN, "--events", "1000", "--gzip", "--seed", "7"]
    )
    assert found.exit_code == 0, found.output
    assert written.counts().received == before + 1000
    sent = {event["id"]: event["event_type"] for event in sample_posts(1000, seed=7, now_s=1_790_000_000)}
    assert set(sent) <= {name for kind in set(sent.values()) for name in written.ids(kind)}


def test_counts_are_those_of_what_is_on_the_topics(written: Written, receiver: ReceiverProcess) -> None:
    topics = [name for name in written.scene.administration.topic_names() if name.startswith(written.topic(""))]
    total = sum(len(written.read(name.removeprefix(written.topic("")))) for name in topics)
    strict = written.counts(STRICT).received
    assert written.counts().received + strict == total
    assert written.counts().skipped["undecodable"] == len(written.letters())


def test_an_event_that_its_topic_does_not_take_becomes_a_letter(kafka: Broker, tmp_path: Path) -> None:
    with receiving(kafka.bootstrap_servers, tmp_path, inlets={INLET: HTTP_INLET}) as scene:
        written = Written(scene)
        scene.administration.create_topic(written.topic(EMAIL), 1, 1, {"max.message.bytes": "20000"})
        receiver = scene.start()
        large: dict[str, Any] = event("too-large", message_extras=os.urandom(60_000).hex())
        given = post(receiver, [event("before"), large, event("after"), event("before")])
        assert given.status == 200
        assert written.ids() == ["before", "after"]
        (letter,) = written.letters()
        assert "Kafka does not take it" in letter.verdict.detail
        assert b"too-large" in letter.value
        counts = written.counts()
        assert (counts.received, counts.skipped) == (2, {"undecodable": 1, "repeated": 1})
