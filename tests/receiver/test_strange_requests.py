"""Requests that no vendor documents: each gets its answer, the receiver goes on, and its log tells nothing of them."""

from __future__ import annotations

import base64
import gzip
import json
import re
import socket
import zlib
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from streams.testing.brokers import Broker
from streams.wayback.records import Malformed
from tests.receiver.scene import (
    AUDIENCES,
    COHORTS,
    CONNECTOR,
    DATA,
    FIREHOSE,
    KEY,
    KEYED,
    PASSWORD,
    ReceiverProcess,
    Receiving,
    authorization,
    cohort,
    receiving,
)
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

PRIVATE = "somebody-private"
EVERY = (COHORTS, AUDIENCES, DATA, FIREHOSE, KEYED)
PATH = f"/receive/{CONNECTOR}/{COHORTS}"
BATCH = {"user_identities": {"customer_id": PRIVATE}, "events": []}


@pytest.fixture(scope="module")
def scene(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiving]:
    with receiving(kafka.bootstrap_servers, tmp_path_factory.mktemp("strange")) as made:
        yield made


@pytest.fixture(scope="module")
def receiver(scene: Receiving) -> ReceiverProcess:
    return scene.start()


def exchange(receiver: ReceiverProcess, said: bytes, *, answers: int = 1, ends: bool = False) -> bytes:
    """What the receiver answers: so many answers, or fewer where it closes the connection."""
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=60) as line:
        heard = b""
        try:
            line.sendall(said)
            if ends:
                line.shutdown(socket.SHUT_WR)
            while len(statuses(heard)) < answers or not heard.endswith((b"}", b"\n")):
                piece = line.recv(65_536)
                if not piece:
                    break
                heard += piece
        except ConnectionError:
            pass  # it is closed while a refused body is still being sent
        return heard


def head(*lines: str, method: str = "POST", path: str = PATH, host: str = "x") -> bytes:
    given = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json"]
    given.append(f"Authorization: {authorization(COHORTS)['Authorization']}")
    return "\r\n".join([*given, *lines, "", ""]).encode("latin-1")


def statuses(heard: bytes) -> list[int]:
    """Of the answers, one behind the other."""
    return [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d{3})", heard)]


def keyed(content: dict[str, Any]) -> dict[str, Any]:
    return {**content, "account": {"account_settings": {"streams_key": KEY}}}


NO_JSON = {
    "nothing": b"",
    "a NUL": b"\0",
    "a NUL behind it": orjson.dumps(BATCH) + b"\0",
    "a byte order mark": b"\xef\xbb\xbf" + orjson.dumps(BATCH),
    "UTF-16": json.dumps(BATCH).encode("utf-16"),
    "Latin-1": b'{"user_identities": {"customer_id": "\xe4\xf6"}}',
    "half a surrogate": b'{"user_identities": {"customer_id": "\\ud800"}}',
    "overlong UTF-8": b'{"action": "\xc0\xaf"}',
    "NaN": b'{"events": [NaN]}',
    "Infinity": b'{"events": [-Infinity]}',
    "a comma too many": b'{"events": [],}',
    "single quotes": b"{'events': []}",
    "a form": b"action=members&members=1",
    "XML": b"<members/>",
    "twice": b"{}{}",
    "a control character": b'{"action": "a\x01b"}',
    "a number that does not end": b"1" * 3,
}


@pytest.mark.parametrize("entry", [COHORTS, DATA, FIREHOSE])
@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON.keys())
def test_what_is_no_json_object_is_400(receiver: ReceiverProcess, entry: str, body: bytes) -> None:
    assert receiver.send(entry, body).status == 400


DEEP = b'{"action": "members", "mixpanel_cohort_id": "1", "more": ' + b"[" * 900 + b"]" * 900 + b"}"
HUGE = b'{"batch_id": 1e400, "user_identities": {"customer_id": "a"}, "user_attributes": {"n": %b}}' % (b"9" * 5000)
LARGE = b'{"batch_id": 18446744073709551616, "user_identities": {"customer_id": 123456789012345678901234567890}}'
TWICE = b'{"action": "nothing", "action": "add_members", "mixpanel_cohort_id": 1, "mixpanel_cohort_id": "7"}'


@pytest.mark.parametrize(
    ("entry", "body", "status"),
    [
        (COHORTS, DEEP, 200),
        (DATA, HUGE, 400),
        (DATA, LARGE, 202),
        (COHORTS, TWICE, 200),
        (COHORTS, b"[]", 400),
        (COHORTS, b'["action"]', 400),
        (DATA, b"[]", 202),
        (DATA, b"[[[]]]", 202),
        (AUDIENCES, b'[null, 1, "x", [], {}]', 202),
        (AUDIENCES, b"{}\n\n{}\r\n[]\n", 202),
        (FIREHOSE, b"[]", 400),
        (KEYED, b"[]", 401),
        (KEYED, b'{"account": [], "type": "event_processing_request"}', 401),
        (KEYED, b'{"account": {"account_settings": {"streams_key": null}}}', 401),
        (KEYED, b'{"account": {"account_settings": {"streams_key": "\\ud83d\\ude00"}}}', 401),
    ],
    ids=str,
)
def test_json_of_any_shape_has_its_answer(receiver: ReceiverProcess, entry: str, body: bytes, status: int) -> None:
    assert receiver.send(entry, body).status == status


@pytest.mark.parametrize(
    "value", [None, True, 1, -1.5e300, "", "x" * 3000, [], [[1]], {}, {"": {"": None}}, "\0", "\u2028"]
)
def test_every_field_may_hold_anything(scene: Receiving, receiver: ReceiverProcess, value: Any) -> None:
    """No answer of 5xx, and what is taken fits its schema: the records are read back."""
    names = (
        "batch_id", "mpid", "user_identities", "user_attributes", "deleted_user_attributes", "events", "consent_state",
        "device_info", "source_info", "timestamp_unixtime_ms", "integration_attributes",
    )  # fmt: skip
    for name in names:
        assert receiver.send(DATA, {**BATCH, name: value}).status in (202, 400), name
    event_names = (
        "event_name", "custom_attributes", "timestamp_unixtime_ms", "message_id", "product_action", "promotion_action",
        "product_impressions", "currency_code", "screen_name", "session_uuid",
    )  # fmt: skip
    for name in event_names:
        for kind in ("custom_event", "commerce_event", "screen_view", "opt_out", "push_registration"):
            event = {"event_type": kind, "data": {"event_name": "Played", name: value}}
            assert receiver.send(DATA, {**BATCH, "events": [event]}).status == 202, (kind, name)
    for name in ("mixpanel_cohort_id", "mixpanel_cohort_name", "mixpanel_session_id", "page_info", "members"):
        content = {"action": "members", "parameters": {"mixpanel_cohort_id": "1", name: value}}
        assert receiver.send(COHORTS, content).status in (200, 400), name
    for name in ("id", "timestamp_ms", "firehose_version", "user_profiles", "audience_id", "audience_name", "action"):
        for kind in ("event_processing_request", "audience_membership_change_request", "audience_subscription_request"):
            assert receiver.send(KEYED, keyed({"type": kind, "audience_id": 1, name: value})).status in (200, 400)
    for name in ("AudienceId", "AudienceName", "IsMember", "UserIdentities", "MembershipChangedTimestamp", "MPID"):
        record: dict[str, Any] = {
            "AudienceId": 1,
            "IsMember": True,
            "UserIdentities": {"CustomerId": "a"},
            name: value,
        }
        assert receiver.send(AUDIENCES, record).status == 202, name
    assert scene.records()


def gzipped(body: bytes, times: int = 1) -> bytes:
    for _ in range(times):
        body = gzip.compress(body)
    return body


DEFLATED = zlib.compress(orjson.dumps(cohort()))


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("GZIP", gzipped(orjson.dumps(cohort())), 200),
        ("identity", orjson.dumps(cohort()), 200),
        ("", orjson.dumps(cohort()), 415),
        ("deflate", DEFLATED, 415),
        ("gzip", DEFLATED, 400),
        ("zstd", b"x", 415),
        ("x-gzip", gzipped(orjson.dumps(cohort())), 415),
        ("gzip, identity", gzipped(orjson.dumps(cohort())), 415),
        ("gzip", gzipped(orjson.dumps(cohort()), 2), 400),
        ("gzip", gzipped(b" " * 200_000_000), 413),
        ("gzip", gzipped(b" " * 3_000_000) * 100, 413),
        ("gzip", gzipped(orjson.dumps(cohort()))[:-4] + b"\0\0\0\0", 400),
        ("gzip", b"\x1f\x8b" + b"\0" * 100, 400),
        ("gzip", gzipped(b""), 400),
        ("gzip", gzipped(b"") * 20_000, 400),
    ],
)
def test_an_encoding_is_undone_once_or_refused(
    receiver: ReceiverProcess, encoding: str, body: bytes, status: int
) -> None:
    assert receiver.send(COHORTS, body, {"Content-Encoding": encoding}).status == status


@pytest.mark.parametrize(
    "kind",
    [
        "application/json;charset=latin-1",
        "multipart/form-data",
        "*/*",
        "json",
        "/",
        ";;;",
    ],
)
def test_another_type_or_charset_is_415(receiver: ReceiverProcess, kind: str) -> None:
    assert receiver.send(COHORTS, cohort(), {"Content-Type": kind}).status == 415


@pytest.mark.parametrize(
    "path",
    [
        "/", "//", f"/{PATH}", f"{PATH}/", f"{PATH}//", PATH.upper(), PATH.replace("receive", "%72eceive") + "/%2e",
        f"/receive//{CONNECTOR}/{COHORTS}", f"/receive/{CONNECTOR}/../{CONNECTOR}/{COHORTS}/x", "/receive/%00/%ff",
        f"/receive/{CONNECTOR}%2f{COHORTS}", "/receive/" + "x" * 4000, f"{PATH};a=b", f"/receive/{CONNECTOR}/\u00e4",
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_404(receiver: ReceiverProcess, path: str) -> None:
    heard = exchange(receiver, head("Content-Length: 0", path=path).replace(b"\xe4", "ä".encode()))
    assert statuses(heard)[0] in (400, 404)
    assert CONNECTOR not in heard.decode(errors="replace")


@pytest.mark.parametrize("path", [f"{PATH}?a=b", f"{PATH}#part", f"http://elsewhere{PATH}", f"{PATH}?" + "q" * 3000])
def test_what_stands_around_a_path_does_not_matter(receiver: ReceiverProcess, path: str) -> None:
    body = orjson.dumps(cohort())
    heard = exchange(receiver, head(f"Content-Length: {len(body)}", path=path) + body)
    assert statuses(heard) == [200]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "post", "BREW"])
def test_another_method_is_405(receiver: ReceiverProcess, method: str) -> None:
    heard = exchange(receiver, head("Content-Length: 0", method=method))
    assert statuses(heard) == [400 if method in ("post", "BREW") else 405]
    assert method != "HEAD" or heard.endswith(b"\r\n\r\n"), "no body behind the header"


BODY = orjson.dumps(cohort())
LENGTH = f"Content-Length: {len(BODY)}"


@pytest.mark.parametrize(
    ("lines", "body", "accepted"),
    [
        ([], b"", {400}),
        ([LENGTH, LENGTH], BODY, {200, 400}),
        ([LENGTH, "Content-Length: 1"], BODY, {400}),
        (["Content-Length: -1"], BODY, {400}),
        (["Content-Length: +5"], BODY, {400}),
        (["Content-Length: 5,5"], BODY, {400}),
        (["Content-Length: 0x10"], BODY, {400}),
        (["Content-Length: 99999999999999999999"], BODY, {400, 413}),
        ([LENGTH, "Transfer-Encoding: chunked"], BODY, {400}),
        (["Transfer-Encoding: chunked, identity"], BODY, {400}),
        (["Transfer-Encoding: gzip"], BODY, {400, 501}),
        (["Transfer-Encoding: chunked"], b"-1\r\n", {400}),
        (["Transfer-Encoding: chunked"], b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY), {200}),
        (["Transfer-Encoding: chunked"], b"%x;a=b\r\n%b\r\n0\r\nTrailer: x\r\n\r\n" % (len(BODY), BODY), {200}),
        ([LENGTH, "Expect: something-else"], BODY, {200, 417}),
        ([LENGTH, "Upgrade: websocket", "Connection: Upgrade"], BODY, {200, 400}),
        ([LENGTH, *(f"X-{number}: y" for number in range(2000))], BODY, {200, 400}),
        ([LENGTH, "X: " + "y" * 100_000], BODY, {400}),
        ([LENGTH, "X y: z"], BODY, {400}),
        ([LENGTH, " folded: z"], BODY, {200, 400}),
        ([LENGTH, "Host: other"], BODY, {200, 400}),
        ([LENGTH, "Authorization: Basic eDp5"], BODY, {200, 400, 401}),
        ([LENGTH, "Content-Type: text/plain"], BODY, {200, 400, 415}),
    ],
)
def test_headers_of_any_kind_have_an_answer(
    receiver: ReceiverProcess, lines: list[str], body: bytes, accepted: set[int]
) -> None:
    heard = exchange(receiver, head(*lines) + body)
    assert set(statuses(heard)[:1]) <= accepted, heard[:200]
    assert statuses(heard), "an answer"


@pytest.mark.parametrize("host", ["", "x" * 3000, "evil.example:99999", "[::1", "a b", "\u00ff", "../../etc"])
def test_any_host_is_the_receivers(receiver: ReceiverProcess, host: str) -> None:
    heard = exchange(receiver, head(LENGTH, host=host) + BODY)
    assert statuses(heard)[0] in (200, 400)


def test_a_body_that_ends_too_early_is_no_record_and_no_fault(scene: Receiving, receiver: ReceiverProcess) -> None:
    before = len(scene.records())
    assert statuses(exchange(receiver, head("Content-Length: 5000") + BODY, ends=True)) in ([], [400])
    chunk = b"%x\r\n%b\r\n" % (len(BODY), BODY)
    assert statuses(exchange(receiver, head("Transfer-Encoding: chunked") + chunk, ends=True)) in ([], [400])
    assert len(scene.records()) == before


def test_requests_one_behind_the_other_are_answered_in_their_order(receiver: ReceiverProcess) -> None:
    empty = orjson.dumps(cohort("members", []))
    said = head(LENGTH) + BODY + head(f"Content-Length: {len(empty)}") + empty + head(LENGTH) + BODY
    heard = exchange(receiver, said, answers=3)
    assert statuses(heard) == [200, 200, 200], heard
    actions = re.findall(rb'"action":"(\w+)"', heard)
    assert actions == [b"add_members", b"members", b"add_members"]


def test_what_comes_behind_a_refusal_is_not_taken_for_a_request(scene: Receiving, receiver: ReceiverProcess) -> None:
    """A refused body may look like a request."""
    hidden = head(LENGTH) + BODY
    before = len(scene.records())
    heard = exchange(receiver, head(f"Content-Length: {len(hidden)}", path="/nowhere") + hidden)
    assert statuses(heard) == [404]
    assert len(scene.records()) == before


def test_authorization_in_any_form_is_401(receiver: ReceiverProcess) -> None:
    good = base64.b64encode(f"mixpanel:{PASSWORD}".encode()).decode()
    for given in (
        "",
        "Basic",
        "Basic ",
        "Basic !",
        f"Basic {good}x",
        f"Digest {good}",
        "Basic " + "x" * 5000,
        "\u00ff",
        good,
    ):
        assert (
            receiver.send(COHORTS, cohort(), {"Authorization": given.encode("latin-1").decode("latin-1")}).status == 401
        )
    for given in ("", "Bearer", f"Bearer {KEY} {KEY}", f"Token {KEY}", KEY.upper(), f"Bearer {KEY}\u00e9"):
        assert receiver.send(DATA, BATCH, {"Authorization": given}).status == 401


def test_a_flood_of_connections_that_say_nothing_leaves_room_afterwards(receiver: ReceiverProcess) -> None:
    lines = []
    try:
        for _ in range(300):
            line = socket.socket()
            line.settimeout(60)
            line.connect(("127.0.0.1", receiver.port))
            lines.append(line)
    finally:
        for line in lines:
            line.close()

    def has_room() -> bool:
        try:
            return receiver.send(COHORTS, BODY).status == 200
        except ConnectionError:
            return False

    wait_until(has_room, "room after the flood")


def test_after_all_of_it_nothing_failed_and_nothing_is_told(scene: Receiving, receiver: ReceiverProcess) -> None:
    """Last in this file: everything before it in this process is in the log, and in what was taken."""
    assert receiver.send(AUDIENCES, b'[null, 1, "x", [], {}]').status == 202
    for kind in ("audience_membership_change_request", "audience_subscription_request", "event_processing_request"):
        assert receiver.send(KEYED, keyed({"type": kind, "audience_id": [1], "user_profiles": 5})).status in (200, 400)
    assert receiver.send(COHORTS, cohort(users=[PRIVATE])).status == 200
    log = scene.logs()
    for private in (KEY, PASSWORD, PRIVATE, "Traceback", '"level": "error"', "a fault"):
        assert private not in log, private
    assert receiver.metric("streams_receiver_requests_total", code="500") == 0
    bodies = [record.body for record in scene.records() if isinstance(record, Malformed)]
    assert bodies
    assert not any(KEY in body for body in bodies)
