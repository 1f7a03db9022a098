"""What each request is answered, and what of it is in Kafka then."""

from __future__ import annotations

import base64
import gzip
import http.client
import socket
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from streams.testing.brokers import Broker
from streams.wayback.records import Malformed, Membership, Page
from tests.receiver.scene import (
    AUDIENCES,
    COHORTS,
    CONNECTOR,
    DATA,
    FIREHOSE,
    JSON,
    KEY,
    KEYED,
    PARTITIONS,
    PASSWORD,
    ReceiverProcess,
    Receiving,
    authorization,
    cohort,
    decoded,
    receiving,
)
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(360)]
BODY_MAX = 256_000


@pytest.fixture(scope="module")
def scene(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiving]:
    folder = tmp_path_factory.mktemp("receiver")
    with receiving(kafka.bootstrap_servers, folder, receiver={"body_max": "256kB", "memory": "1MB"}) as scene:
        yield scene


@pytest.fixture(scope="module")
def receiver(scene: Receiving) -> ReceiverProcess:
    return scene.start()


def user(name: str, **more: Any) -> dict[str, Any]:
    """A batch of mParticle's webhook with one event."""
    return {
        "user_identities": [{"identity_type": "customer_id", "identity": name}],
        "mpid": "1",
        "events": [{"event_type": "custom_event", "data": {"event_name": "Order Placed", "message_id": f"m-{name}"}}],
        **more,
    }


def membership(name: str, audience: str = "11036", **more: Any) -> dict[str, Any]:
    """A membership request of Firehose."""
    profile = {
        "user_identities": [{"type": "customer", "encoding": "raw", "value": name}],
        "audiences": [{"audience_id": audience, "audience_name": "Big spenders", "action": "add"}],
    }
    request = {"type": "audience_membership_change_request", "id": f"r-{name}", "timestamp_ms": 1_790_000_000_000}
    return {**request, "firehose_version": "3.2.0", "user_profiles": [profile], **more}


def memberships(scene: Receiving) -> dict[str, Membership]:
    """By the user."""
    return {one.external_user_id: one for one in scene.records() if isinstance(one, Membership)}


# Taken.


def test_a_difference_is_in_kafka_before_mixpanel_is_answered(scene: Receiving, receiver: ReceiverProcess) -> None:
    given = receiver.send(COHORTS, cohort(users=["ada", "bob"]))
    assert (given.status, given.content) == (200, {"action": "add_members", "status": "success"})
    found = memberships(scene)
    assert {(found[name].change, found[name].group_name, found[name].entry) for name in ("ada", "bob")} == {
        ("add", "Buyers", COHORTS)
    }


def test_a_page_is_on_every_partition_behind_the_members_that_the_partition_has(
    scene: Receiving, receiver: ReceiverProcess
) -> None:
    users = [f"page-{number}" for number in range(40)]
    assert receiver.send(COHORTS, cohort("members", users, session="full", page=2, pages=3)).status == 200
    partitions: dict[int, list[str]] = {}
    for read, record in ((one, decoded(one)) for one in scene.read()):
        if isinstance(record, Membership | Page) and (record.session or "").startswith("7/full/"):
            partitions.setdefault(read.partition, []).append(type(record).__name__)
            if isinstance(record, Page):
                assert (record.page, record.pages) == (2, 3)
    assert sorted(partitions) == list(range(PARTITIONS))
    for found in partitions.values():
        assert found == ["Membership"] * (len(found) - 1) + ["Page"]
    assert sum(found.count("Membership") for found in partitions.values()) == len(users)


def test_one_users_records_are_on_one_partition_whichever_vendor_sends_them(
    scene: Receiving, receiver: ReceiverProcess
) -> None:
    assert receiver.send(COHORTS, cohort(users=["everywhere"])).status == 200
    assert receiver.send(FIREHOSE, membership("everywhere")).status == 200
    assert receiver.send(DATA, user("everywhere")).status == 202
    assert len({one.partition for one in scene.read() if one.key == b"everywhere"}) == 1


def test_mparticles_batch_is_answered_202_with_an_empty_object(scene: Receiving, receiver: ReceiverProcess) -> None:
    given = receiver.send(DATA, user("carol"), is_gzip=True)
    assert (given.status, given.content) == (202, {})
    assert "m-carol" in {record.id for record in scene.records()}


def test_firehose_is_answered_in_its_own_shape_with_a_fresh_id(scene: Receiving, receiver: ReceiverProcess) -> None:
    given, again = (receiver.send(FIREHOSE, membership("dave")) for _ in range(2))
    assert given.status == 200
    assert given.content["type"] == "audience_membership_change_response"
    assert given.content["firehose_version"] == "3.2.0"
    assert given.content["id"] != again.content["id"]
    assert memberships(scene)["dave"].group_id == "11036"


def test_amazons_envelope_is_taken_with_the_key_where_amazon_puts_it(
    scene: Receiving, receiver: ReceiverProcess
) -> None:
    record = orjson.dumps(
        {
            "MembershipChangedTimestamp": "1790000000000",
            "AudienceId": 5,
            "AudienceName": "Amazon",
            "IsMember": True,
            "UserIdentities": {"CustomerId": "erin"},
        }
    )
    envelope = {"requestId": "q-1", "timestamp": 1, "records": [{"data": base64.b64encode(record).decode()}]}
    headers = {**JSON, "X-Amz-Firehose-Access-Key": KEY}
    given = receiver.request("POST", f"/receive/{CONNECTOR}/{AUDIENCES}", orjson.dumps(envelope), headers)
    assert (given.status, given.content["requestId"]) == (200, "q-1")
    assert memberships(scene)["erin"].group_name == "Amazon"


def test_a_repeated_request_gives_the_same_ids_once_more(scene: Receiving, receiver: ReceiverProcess) -> None:
    body = cohort(users=["frank"], session="again")
    for _ in range(2):
        assert receiver.send(COHORTS, body).status == 200
    ids = [record.id for record in scene.records() if record.external_user_id == "frank"]
    assert len(ids) == 2
    assert len(set(ids)) == 1


@pytest.mark.parametrize(
    ("entry", "body", "status"),
    [
        (COHORTS, cohort("add_members", []), 200),
        (DATA, [], 202),
        (FIREHOSE, {"type": "event_processing_request", "id": "keep-alive"}, 200),
    ],
    ids=["no members", "no batches", "keep-alive"],
)
def test_what_holds_nothing_is_a_success(receiver: ReceiverProcess, entry: str, body: Any, status: int) -> None:
    assert receiver.send(entry, body).status == status


def test_items_that_no_retry_cures_are_malformed_records_and_the_rest_is_taken(
    scene: Receiving, receiver: ReceiverProcess
) -> None:
    body = cohort(users=["grace"])
    body["parameters"]["members"] += ["no object", {"$braze_external_id": "x" * 988}]
    earlier = {(one.partition, one.offset) for one in scene.read()}  # what other tests sent
    for _ in range(2):
        assert receiver.send(COHORTS, body).status == 200
    assert "grace" in memberships(scene)
    places: dict[str, set[int]] = {}
    for read, record in ((one, decoded(one)) for one in scene.read()):
        if isinstance(record, Malformed) and (read.partition, read.offset) not in earlier:
            places.setdefault(record.id, set()).add(read.partition)
    assert len(places) == 2
    assert all(len(partitions) == 1 for partitions in places.values()), "a repeated item comes to its first one's place"


@pytest.mark.parametrize(
    ("part", "malformed"), [({"events": 5}, 1), ({"events": ["no object", 5, {}]}, 3)], ids=["no list", "bad events"]
)
def test_events_that_cannot_be_read_are_malformed_records(
    scene: Receiving, receiver: ReceiverProcess, part: dict[str, Any], malformed: int
) -> None:
    before = sum(isinstance(record, Malformed) for record in scene.records())
    assert receiver.send(DATA, user("judy", **part)).status == 202
    assert sum(isinstance(record, Malformed) for record in scene.records()) == before + malformed


def test_what_the_counts_say_is_what_the_topic_holds(scene: Receiving, receiver: ReceiverProcess) -> None:
    assert receiver.send(COHORTS, {**cohort(), "parameters": {**cohort()["parameters"], "members": [{}]}}).status == 200
    counts = scene.counts()
    assert counts.received == len(scene.records())
    assert counts.skipped["no_external_user_id"] >= 1
    assert receiver.metric("streams_receiver_records_total") == counts.received
    assert receiver.metric("streams_receiver_skipped_total") == counts.skipped.total()


# Refused.


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "not JSON"),
        (b"", "not JSON"),
        ({"parameters": {}}, "action"),
        (cohort("empty_members"), "action"),
        (
            {**cohort("members", pages=2), "parameters": {**cohort(pages=2)["parameters"], "mixpanel_session_id": ""}},
            "session",
        ),
        (cohort("members", page=3, pages=2), "page"),
    ],
    ids=["cut", "empty", "no action", "unknown action", "pages without session", "page after the last"],
)
def test_a_setup_fault_is_400_in_mixpanels_shape(
    scene: Receiving, receiver: ReceiverProcess, body: Any, says: str
) -> None:
    before = scene.counts()
    given = receiver.send(COHORTS, body)
    assert (given.status, given.content["status"]) == (400, "failure")
    assert says in given.content["error"]["message"]
    assert scene.counts() == before


@pytest.mark.parametrize("entry", [COHORTS, AUDIENCES, DATA, FIREHOSE])
@pytest.mark.parametrize("body", [b"null", b"5"])
def test_a_body_that_is_neither_an_object_nor_a_list_is_400(
    scene: Receiving, receiver: ReceiverProcess, entry: str, body: bytes
) -> None:
    before = scene.counts()
    assert receiver.send(entry, body).status == 400
    assert scene.counts() == before


@pytest.mark.parametrize("entry", [COHORTS, AUDIENCES, DATA, FIREHOSE])
@pytest.mark.parametrize(
    "said", ["", "Basic", "Bearer ", "Basic bWl4cGFuZWw6d3Jvbmc=", "Bearer wrong-key-of-sixteen", "Bearer \xff"]
)
def test_a_wrong_key_is_401_before_the_body_is_read(receiver: ReceiverProcess, entry: str, said: str) -> None:
    failures = receiver.metric("streams_receiver_auth_failures_total", entry=entry)
    connection = socket.create_connection(("127.0.0.1", receiver.port), timeout=60)
    with connection:
        head = f"POST /receive/{CONNECTOR}/{entry} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        key = f"Authorization: {said}\r\n" if said else ""
        connection.sendall(f"{head}{key}Content-Length: 200000\r\n\r\n".encode("latin-1"))  # and no body
        answer = connection.recv(65_536).decode()
    assert answer.startswith("HTTP/1.1 401")
    assert f"WWW-Authenticate: {'Basic' if entry == COHORTS else 'Bearer'}" in answer
    wait_until(
        lambda: receiver.metric("streams_receiver_auth_failures_total", entry=entry) == failures + 1,
        "the failure to be counted",
    )


def test_a_key_inside_the_body_is_looked_at_once_the_body_is_there(scene: Receiving, receiver: ReceiverProcess) -> None:
    def keyed(key: str) -> dict[str, Any]:
        return membership("heidi", account={"account_settings": {"streams_key": key}})

    assert receiver.send(KEYED, keyed("a wrong key of any length")).status == 401
    assert receiver.send(KEYED, membership("heidi")).status == 401
    assert "heidi" not in memberships(scene)
    assert receiver.metric("streams_receiver_auth_failures_total", entry=KEYED) == 2
    assert receiver.send(KEYED, keyed(KEY)).status == 200
    assert "heidi" in memberships(scene)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/receive",
        f"/receive/{CONNECTOR}",
        f"/receive/{CONNECTOR}/nobody",
        f"/receive/nobody/{COHORTS}",
        f"/receive/{CONNECTOR}/{COHORTS}/",
        "/metrics",
        "/livez",
        "/%00",
    ],
)
def test_an_unknown_address_is_404(receiver: ReceiverProcess, path: str) -> None:
    assert receiver.request("POST", path, b"{}", JSON).status == 404


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
def test_another_method_is_405_and_told_which_is_right(receiver: ReceiverProcess, method: str) -> None:
    given = receiver.request(method, f"/receive/{CONNECTOR}/{COHORTS}", headers=authorization(COHORTS))
    assert (given.status, given.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": ""},
        {**JSON, "Content-Encoding": "br"},
        {**JSON, "Content-Encoding": "gzip, gzip"},
    ],
)
def test_another_type_is_415(receiver: ReceiverProcess, headers: dict[str, str]) -> None:
    given = receiver.send(COHORTS, cohort(), headers)
    assert given.status == 415


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=UTF-8", "Application/JSON"])
def test_json_is_known_however_it_is_spelled(receiver: ReceiverProcess, kind: str) -> None:
    assert receiver.send(COHORTS, cohort(), {"Content-Type": kind}).status == 200


def padded(size: int) -> bytes:
    """A body of so many bytes."""
    body = orjson.dumps(cohort())
    return body + b" " * (size - len(body))


def test_a_body_of_the_limit_is_taken_and_one_byte_more_is_413(receiver: ReceiverProcess) -> None:
    assert receiver.send(COHORTS, padded(BODY_MAX)).status == 200
    given = receiver.send(COHORTS, padded(BODY_MAX + 1))
    assert given.status == 413
    assert "body_max" in given.content["error"]


def test_a_body_that_tells_no_length_has_the_same_limit(receiver: ReceiverProcess) -> None:
    def chunked(size: int) -> int:
        body = padded(size)
        connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=60)
        try:
            chunks = iter([body[:100_000], body[100_000:200_000], body[200_000:]])
            path = f"/receive/{CONNECTOR}/{COHORTS}"
            connection.request("POST", path, chunks, {**JSON, **authorization(COHORTS)}, encode_chunked=True)
            return connection.getresponse().status
        finally:
            connection.close()

    assert chunked(BODY_MAX) == 200
    assert chunked(BODY_MAX + 1) == 413


def test_a_body_is_measured_as_inflated_too(receiver: ReceiverProcess) -> None:
    assert receiver.send(COHORTS, padded(BODY_MAX), is_gzip=True).status == 200
    assert receiver.send(COHORTS, padded(BODY_MAX + 1), is_gzip=True).status == 413
    assert receiver.send(COHORTS, padded(400_000_000), is_gzip=True).status == 413, "some 400 kB stand for 400 MB"
    assert receiver.send(COHORTS, padded(100_000_000), is_gzip=True).status == 413, "some 100 kB stand for 100 MB"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (gzip.compress(orjson.dumps(cohort())), 200),
        (gzip.compress(orjson.dumps(cohort())[:50]) + gzip.compress(orjson.dumps(cohort())[50:]), 200),
        (gzip.compress(orjson.dumps(cohort()))[:-9], 400),
        (gzip.compress(orjson.dumps(cohort())) + b"more", 400),
        (b"no gzip at all", 400),
        (b"", 400),
    ],
    ids=["one member", "two members", "cut", "something behind it", "not gzip", "nothing"],
)
def test_gzip_is_taken_whole_or_not_at_all(receiver: ReceiverProcess, body: bytes, status: int) -> None:
    given = receiver.send(COHORTS, body, {"Content-Encoding": "gzip"})
    assert given.status == status


def test_what_is_no_http_is_400_and_the_receiver_goes_on(scene: Receiving, receiver: ReceiverProcess) -> None:
    secret = "c2VjcmV0LXRoYXQtbXVzdC1ub3QtYmUtbG9nZ2Vk"
    for said in (
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"POST\r\n\r\n",
        f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: {secret}\x00\r\n\r\n".encode(),
        f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: {secret}{'x' * 20_000}\r\n\r\n".encode(),
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: minus\r\n\r\n",
        f"POST /receive/{CONNECTOR}/{COHORTS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: {authorization(COHORTS)['Authorization']}\r\nTransfer-Encoding: chunked\r\n\r\n"
        "zz\r\n".encode(),
    ):
        with socket.create_connection(("127.0.0.1", receiver.port), timeout=60) as connection:
            connection.sendall(said)
            assert connection.recv(65_536).startswith((b"HTTP/1.1 400", b"HTTP/1.0 400")), said[:60]
    assert receiver.send(COHORTS, cohort()).status == 200
    assert secret not in scene.logs()


def test_a_sender_that_asks_first_is_told_to_go_on_or_not(receiver: ReceiverProcess) -> None:
    body = orjson.dumps(cohort())

    def asked(key: str) -> bytes:
        head = f"POST /receive/{CONNECTOR}/{COHORTS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        head += f"Authorization: {key}\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", receiver.port), timeout=60) as connection:
            connection.sendall(head.encode())
            first = connection.recv(65_536)
            if not first.startswith(b"HTTP/1.1 100"):
                return first
            connection.sendall(body)
            return connection.recv(65_536)

    assert asked(authorization(COHORTS)["Authorization"]).startswith(b"HTTP/1.1 200")
    assert asked("Basic wrong").startswith(b"HTTP/1.1 401")


def test_a_connection_is_used_again(receiver: ReceiverProcess) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=60)
    try:
        for _ in range(3):
            path = f"/receive/{CONNECTOR}/{COHORTS}"
            connection.request("POST", path, orjson.dumps(cohort()), {**JSON, **authorization(COHORTS)})
            response = connection.getresponse()
            assert (response.status, response.read()[:9]) == (200, b'{"action"')
            used = connection.sock
            assert used is not None
    finally:
        connection.close()


def test_no_key_id_or_body_is_in_the_log(scene: Receiving, receiver: ReceiverProcess) -> None:
    """Last in this file: everything before it is in the log."""
    body = cohort(users=["someone-private@example.com"])
    body["parameters"]["members"] += [["odd", "someone-private@example.com"]]
    assert receiver.send(COHORTS, body).status == 200
    assert receiver.send(DATA, user("someone-private@example.com", user_attributes={"phone": "555-0100"})).status == 202
    log = scene.logs()
    for private in (KEY, PASSWORD, "someone-private", "555-0100", "frank", "Buyers", "a-rest-key", "Bearer"):
        assert private not in log
    assert "Traceback" not in log
