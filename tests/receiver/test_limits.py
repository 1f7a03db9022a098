"""Memory, connections and time of a receiver, whatever is sent to it."""

from __future__ import annotations

import gzip
import http.client
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import orjson
import pytest

from streams.testing.brokers import Broker
from tests.receiver.scene import (
    COHORTS,
    CONNECTOR,
    JSON,
    KEY,
    KEYED,
    ReceiverProcess,
    authorization,
    cohort,
    receiving,
)
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]
RSS_BYTES_MAX = 200 * 2**20
BODY_MAX = 4_000_000
SENDERS = 64
PATH = f"/receive/{CONNECTOR}/{COHORTS}"


def head(length: int, path: str = PATH, entry: str = COHORTS, *more: str) -> bytes:
    """A header with the entry's key."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {length}", *more]
    lines += [f"{name}: {text}" for name, text in authorization(entry).items()]
    return "\r\n".join([*lines, "", ""]).encode()


def usual_body() -> bytes:
    """As many members as fit, each with what Mixpanel sends of a user."""
    body = cohort()
    member = {"mixpanel_distinct_id": "", "email": "someone@example.com", "first_name": "Some", "last_name": "One"}
    size = len(orjson.dumps(body))
    number = 0
    while size < BODY_MAX - 200:
        one = {**member, "$braze_external_id": f"user-{number:08}"}
        body["parameters"]["members"].append(one)
        size += len(orjson.dumps(one)) + 1
        number += 1
    return orjson.dumps(body)


def dense_body() -> bytes:
    """The shortest members that become records: a hundred thousand and more."""
    start, end = orjson.dumps(cohort()).split(b"[]")
    members = [b'{"$distinct_id":"%d"}' % number for number in range(150_000)]
    return start + b"[" + b",".join(members) + b"]" + end


def hollow_body() -> bytes:
    """Lists of nothing: what costs most memory for its bytes."""
    start, end = orjson.dumps(cohort()).split(b"[]")
    room = (BODY_MAX - len(start) - len(end)) // 9 - 1
    return start + b"[" + b",".join([b'{"a":{}}'] * room) + b"]" + end


def empty_body() -> bytes:
    """What is no member, again and again: a malformed record each."""
    start, end = orjson.dumps(cohort()).split(b"[]")
    room = (BODY_MAX - len(start) - len(end)) // 2 - 2
    return start + b"[" + b",".join([b"1"] * room) + b"]" + end


@pytest.mark.parametrize(
    "make",
    [usual_body, dense_body, empty_body, hollow_body],
    ids=["usual members", "the shortest members", "no members", "hollow members"],
)
def test_64_senders_of_4_mb_bodies_leave_the_memory_bounded(
    kafka: Broker, tmp_path: Path, make: Callable[[], bytes]
) -> None:
    body = make()
    packed = gzip.compress(body, 1)
    with receiving(kafka.bootstrap_servers, tmp_path) as scene:
        receiver = scene.start()
        assert receiver.send(COHORTS, cohort(users=["first"])).status == 200
        before = receiver.rss_bytes()
        answers: Counter[int] = Counter()

        def send(number: int) -> None:
            content, encoding = (packed, {"Content-Encoding": "gzip"}) if number % 2 else (body, {})
            headers = {**JSON, **authorization(COHORTS), **encoding}
            for _ in range(2):
                answers[receiver.request("POST", PATH, content, headers).status] += 1

        threads = [threading.Thread(target=send, args=(number,)) for number in range(SENDERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        most = receiver.rss_bytes_most()
        print(
            f"{make.__name__}: {len(body):,} bytes, {len(packed):,} packed; answers {dict(answers)}; "
            f"RSS before {before / 2**20:.0f} MiB, most {most / 2**20:.0f} MiB"
        )
        assert answers.total() == 2 * SENDERS
        assert set(answers) <= {200, 413, 503}
        assert most < RSS_BYTES_MAX
        wait_until(lambda: receiver.send(COHORTS, cohort(users=["last"])).status == 200, "room for one more")


def test_a_body_reserves_its_length_and_gives_it_back_even_where_its_sender_goes_away(
    kafka: Broker, tmp_path: Path
) -> None:
    with receiving(kafka.bootstrap_servers, tmp_path) as scene:
        receiver = scene.start()
        slow = [socket.create_connection(("127.0.0.1", receiver.port), timeout=60) for _ in range(3)]
        for connection in slow:
            connection.sendall(head(BODY_MAX) + b"{")
        wait_until(lambda: receiver.metric("streams_receiver_requests_in_hand") == 3, "three bodies to be under way")
        given = receiver.send(COHORTS, cohort(users=["no-room"]))
        assert (given.status, given.headers["retry-after"]) == (503, "5")
        for connection in slow:
            connection.close()
        wait_until(lambda: receiver.metric("streams_receiver_requests_in_hand") == 0, "them to be given up")
        assert receiver.send(COHORTS, cohort(users=["room"])).status == 200


def test_who_has_no_key_takes_no_room(kafka: Broker, tmp_path: Path) -> None:
    with receiving(kafka.bootstrap_servers, tmp_path) as scene:
        receiver = scene.start()
        strangers = [socket.create_connection(("127.0.0.1", receiver.port), timeout=60) for _ in range(20)]
        try:
            for connection in strangers:
                connection.sendall(head(BODY_MAX).replace(b"Basic ", b"Basic x") + b"{")
            for connection in strangers:
                assert connection.recv(65_536).startswith(b"HTTP/1.1 401")
            assert receiver.send(COHORTS, cohort(users=["ada"])).status == 200
        finally:
            for connection in strangers:
                connection.close()


def test_connections_beyond_the_limit_are_told_to_try_again_and_a_flood_of_them_ends(
    kafka: Broker, tmp_path: Path
) -> None:
    with receiving(kafka.bootstrap_servers, tmp_path, receiver={"connections_max": 4}) as scene:
        receiver = scene.start()
        held = [socket.create_connection(("127.0.0.1", receiver.port), timeout=60) for _ in range(4)]
        for connection in held:
            connection.sendall(head(10) + b"{")
        wait_until(lambda: receiver.metric("streams_receiver_requests_in_hand") == 4, "four requests to be in hand")
        given = receiver.send(COHORTS, cohort())
        assert (given.status, given.headers["retry-after"]) == (503, "5")
        flood = [socket.create_connection(("127.0.0.1", receiver.port), timeout=60) for _ in range(300)]
        wait_until(lambda: sum(map(is_closed, flood)) >= 300 - 4 - 64, "the flood to end")
        for connection in [*flood, *held]:
            connection.close()

        def has_room() -> bool:
            try:
                return receiver.send(COHORTS, cohort()).status == 200
            except ConnectionError:  # it is closed without an answer as long as those of the flood count
                return False

        wait_until(has_room, "room for a connection")
        assert receiver.rss_bytes_most() < RSS_BYTES_MAX


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side closed it."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_a_connection_that_only_waits_gives_way_to_a_new_one(kafka: Broker, tmp_path: Path) -> None:
    with (
        receiving(kafka.bootstrap_servers, tmp_path, receiver={"connections_max": 2}) as scene,
        ExitStack() as stack,
    ):
        receiver = scene.start()
        for _ in range(4):
            connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=60)
            stack.callback(connection.close)
            connection.request("POST", PATH, orjson.dumps(cohort()), {**JSON, **authorization(COHORTS)})
            response = connection.getresponse()
            assert (response.status, response.read()[:2]) == (200, b'{"')  # and the connection stays open


def answer_of(receiver: ReceiverProcess, pieces: list[bytes], pause: float) -> tuple[bytes, float]:
    """What a slow sender gets, and after how many seconds."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=60) as connection:
        connection.settimeout(pause)
        for piece in pieces:
            connection.sendall(piece)
            try:
                found = connection.recv(65_536)
            except TimeoutError:
                continue
            return found, time.monotonic() - began
        connection.settimeout(60)
        return connection.recv(65_536), time.monotonic() - began


def test_slow_senders_are_answered_408(kafka: Broker, tmp_path: Path) -> None:
    """About real time: ten seconds for a header, thirty for a body."""
    with receiving(kafka.bootstrap_servers, tmp_path) as scene:
        receiver = scene.start()
        found: dict[str, tuple[bytes, float]] = {}

        def slow(name: str, pieces: list[bytes]) -> None:
            found[name] = answer_of(receiver, pieces, 1.0)

        wanted = {
            "header": [head(10)[index : index + 1] for index in range(40)],
            "body": [head(100), *[b" "] * 60],
            "nothing": [b""],
        }
        threads = [threading.Thread(target=slow, args=(name, pieces)) for name, pieces in wanted.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found["header"][0].startswith(b"HTTP/1.1 408")
        assert found["body"][0].startswith(b"HTTP/1.1 408")
        assert found["nothing"][0] == b"", "who said nothing is told nothing"
        assert found["header"][1] >= 9
        assert found["body"][1] >= 29


def test_a_deep_body_of_a_stranger_costs_little_where_the_key_is_inside_it(kafka: Broker, tmp_path: Path) -> None:
    with receiving(kafka.bootstrap_servers, tmp_path) as scene:
        receiver = scene.start()
        path = f"/receive/{CONNECTOR}/{KEYED}"
        for body in (
            b"[" * BODY_MAX,
            b"[" + b"[]," * (BODY_MAX // 3 - 2) + b"[]]",
            b"{" + b'"":{},' * 600_000 + b'"":1}',
        ):
            assert receiver.request("POST", path, body, JSON).status in (400, 401, 413)
        print(f"most {receiver.rss_bytes_most() / 2**20:.0f} MiB")
        assert receiver.rss_bytes_most() < RSS_BYTES_MAX


def test_a_key_in_a_file_is_changed_without_a_restart(kafka: Broker, tmp_path: Path) -> None:
    key, next_key = tmp_path / "key", tmp_path / "next"
    key.write_text(KEY)
    next_key.write_text(KEY)
    old, new = "an-old-key-of-some-length", "a-new-key-of-some-length"
    data = {"kind": "mparticle_events", "keys": [f"file:{key}", f"file:{next_key}"]}
    with receiving(kafka.bootstrap_servers, tmp_path, {"data": data}) as scene:
        receiver = scene.start()

        def status(said: str) -> int:
            return receiver.send("data", [], {"Authorization": said}).status

        key.write_text(old)
        wait_until(lambda: status(f"Bearer {old}") == 202, "the changed key to be taken")
        next_key.write_text(new)
        wait_until(lambda: status(new) == 202, "the second key to be taken")
        assert (status(old), status(KEY)) == (202, 401), "both are good while one is changed"
        key.unlink()
        assert (status(old), status(new)) == (401, 202)
        next_key.write_text("")
        given = receiver.send("data", [], {"Authorization": new})
        assert (given.status, given.headers["retry-after"]) == (503, "5")
        next_key.write_text(new)
        assert status(new) == 202
        for secret in (old, new, KEY):
            assert secret not in scene.logs()
