"""Kills, rotations, floods and slow senders at an HTTP inlet: nothing is missing, and nobody is told to give up."""

from __future__ import annotations

import gzip
import http.client
import signal
import socket
import threading
from collections import Counter
from pathlib import Path

import orjson
import pytest

from streams.testing.brokers import ApacheKafka, Broker
from tests.chaos.conftest import own_broker  # noqa: F401 - a fixture
from tests.receiver.inlets import HTTP_INLET, INLET, OTHER_TOKEN, TOKEN, Written, event, post
from tests.receiver.scene import Given, ReceiverProcess, receiving
from tests.waiting import PATIENCE_SECONDS, wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.apache, pytest.mark.timeout(360)]
RSS_BYTES_MAX = 256 * 2**20
"""Two bodies of 16 MB under way, and what one of them is as objects, on top of the process and its Kafka client."""
EVENTS = [event(f"e-{number}", user=f"user-{number % 5}") for number in range(40)]


@pytest.mark.parametrize("side", ["before", "after"])
def test_killed_at_its_commit_nothing_is_missing_and_only_whole_requests_are_doubled(
    kafka: Broker, tmp_path: Path, side: str
) -> None:
    """The commits: schemas, the first request, the second one."""
    with receiving(kafka.bootstrap_servers, tmp_path, inlets={INLET: HTTP_INLET}) as scene:
        killed = scene.start(environment={"KILLED": f"{side} 3"}, module="tests.receiver.killed")
        assert post(killed, [event("first")]).status == 200
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            post(killed, EVENTS)
        wait_until(lambda: killed.worker.exit_code == -signal.SIGKILL, "the receiver to be dead")
        after = scene.start()
        assert post(after, EVENTS).status == 200
        written = Written(scene)
        found = Counter(written.ids())
        times = 2 if side == "after" else 1
        assert found.pop("first") == 1
        assert found == {one["id"]: times for one in EVENTS}
        assert written.counts().received == 1 + times * len(EVENTS)


def test_what_was_answered_200_is_on_kafka_after_kills_at_any_moment(kafka: Broker, tmp_path: Path) -> None:
    with receiving(kafka.bootstrap_servers, tmp_path, inlets={INLET: HTTP_INLET}) as scene:
        acknowledged: list[str] = []
        for number in range(3):
            receiver = scene.start()
            done = threading.Event()

            def send(receiver: ReceiverProcess = receiver, number: int = number, done: threading.Event = done) -> None:
                for count in range(10_000):
                    names = [f"{number}-{count}-{each}" for each in range(3)]
                    try:
                        if post(receiver, [event(name) for name in names]).status == 200:
                            acknowledged.extend(names)
                    except (http.client.HTTPException, OSError):
                        break
                done.set()

            before = len(acknowledged)
            threading.Thread(target=send, daemon=True).start()
            wait_until(lambda before=before, number=number: len(acknowledged) > before + 9 + 12 * number, "answers")  # type: ignore[misc]
            receiver.worker.kill()
            assert done.wait(60)
        written = Written(scene)
        scene.start()
        found = Counter(written.ids())
        assert set(acknowledged) <= set(found)
        assert written.counts().received == found.total()
        whole = Counter(name.rpartition("-")[0] for name in found)
        assert set(whole.values()) == {3}, "a request is there whole, or not at all"


def test_a_token_is_rotated_without_one_refused_request(kafka: Broker, tmp_path: Path) -> None:
    """Braze sends all the time, with the old token and then with the new one; files are swapped under it."""
    first, second = tmp_path / "token", tmp_path / "next-token"
    first.write_text(TOKEN)
    second.write_text("not-used-yet-but-long-enough")
    inlet = {"kind": "http", "tokens": [f"file:{first}", f"file:{second}"]}
    with receiving(kafka.bootstrap_servers, tmp_path, inlets={INLET: inlet}) as scene:
        receiver = scene.start()
        answers: Counter[int] = Counter()
        token_at_braze = [TOKEN]
        stop = threading.Event()

        def send() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                answers[post(receiver, [event(f"r-{number}")], token=token_at_braze[0]).status] += 1

        def some_more() -> None:
            before = answers.total()
            wait_until(lambda: answers.total() >= before + 5, "more answers")

        sender = threading.Thread(target=send)
        sender.start()
        try:
            some_more()
            second.write_text(f"{OTHER_TOKEN}\n")
            some_more()
            token_at_braze[0] = OTHER_TOKEN
            some_more()
            first.write_text(f"{OTHER_TOKEN}-and-newer")
            some_more()
        finally:
            stop.set()
            sender.join()
        assert set(answers) == {200}
        assert post(receiver, [event("old")], token=TOKEN).status == 503
        assert post(receiver, b"", token=TOKEN).status == 401


def test_tokens_that_cannot_be_read_are_no_refusal(kafka: Broker, tmp_path: Path) -> None:
    first, second = tmp_path / "token", tmp_path / "next-token"
    first.write_text(TOKEN)
    second.write_text(OTHER_TOKEN)
    inlet = {"kind": "http", "tokens": [f"file:{first}", f"file:{second}"], "unauthorized": 401}
    with receiving(kafka.bootstrap_servers, tmp_path, inlets={INLET: inlet}) as scene:
        receiver = scene.start()
        second.unlink()
        assert post(receiver, [event("a")], token=TOKEN).status == 200
        for content in ([event("b")], b"", b'{"events": []}'):
            given = post(receiver, content, token=OTHER_TOKEN)
            assert (given.status, given.headers["retry-after"]) == (503, "5"), "it might be the one that is away"
        first.unlink()
        assert post(receiver, [event("c")], token=TOKEN).status == 503
        assert post(receiver, b"", token=TOKEN).status == 503
        first.write_text(TOKEN)
        assert post(receiver, [event("d")], token=TOKEN).status == 200
        assert sorted(Written(scene).ids()) == ["a", "d"]
        assert TOKEN not in scene.logs()


def test_while_the_broker_is_away_braze_is_told_to_try_again(
    own_broker: Broker,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    assert isinstance(own_broker, ApacheKafka)
    node = own_broker._node
    assert node is not None
    receiver_section = {"answer_within": "2s"}
    with receiving(
        own_broker.bootstrap_servers, tmp_path, receiver=receiver_section, inlets={INLET: HTTP_INLET}
    ) as scene:
        receiver = scene.start()
        assert post(receiver, [event("before")]).status == 200
        node.stop()
        given = post(receiver, [event("away")])
        assert (given.status, given.headers["retry-after"]) == (503, "5")
        assert post(receiver, b"").status == 200, "a check of the credentials needs no Kafka"
        node.start()
        wait_until(lambda: post(receiver, [event("after")]).status == 200, "the receiver to write again", 150)
        assert {"before", "after"} <= set(Written(scene).ids())


def test_a_stop_answers_what_is_in_hand_and_tells_the_rest_to_try_again(kafka: Broker, tmp_path: Path) -> None:
    with receiving(kafka.bootstrap_servers, tmp_path, inlets={INLET: HTTP_INLET}) as scene:
        receiver = scene.start()
        body = orjson.dumps({"events": [event("slow")]})
        with socket.create_connection(("127.0.0.1", receiver.port), timeout=60) as slow:
            slow.sendall(_head(len(body)) + body[:20])
            wait_until(lambda: receiver.metric("streams_receiver_requests_in_hand") == 1, "the request to be in hand")
            assert receiver.worker._process is not None
            receiver.worker._process.send_signal(signal.SIGTERM)
            wait_until(lambda: receiver.health("/readyz").status == 503, "the receiver to be unready")
            given = post(receiver, [event("late")])
            assert (given.status, given.headers["retry-after"]) == (503, "5")
            slow.sendall(body[20:])
            assert slow.recv(65_536).startswith(b"HTTP/1.1 200")
        assert receiver.worker._process.wait(90) == 0
        assert Written(scene).ids() == ["slow"]


def test_a_flood_of_large_bodies_leaves_the_memory_bounded_and_refuses_nobody_for_good(
    kafka: Broker, tmp_path: Path
) -> None:
    usual = orjson.dumps({"events": [event(f"f-{number}", message_extras="x" * 400) for number in range(6_000)]})
    large = b'{"events":[' + b",".join([orjson.dumps(event("z", message_extras="y" * 15_000))] * 1_000) + b"]}"
    assert 12_000_000 < len(large) < 16_000_000
    packed = gzip.compress(large, 1)
    with receiving(kafka.bootstrap_servers, tmp_path, inlets={INLET: HTTP_INLET}) as scene:
        receiver = scene.start()
        assert post(receiver, [event("first")]).status == 200
        answers: Counter[int] = Counter()

        def send(number: int) -> None:
            if number % 3 == 0:
                given = post(receiver, packed, headers={"Content-Encoding": "gzip"})
            else:
                given = post(receiver, usual if number % 3 == 1 else large)
            answers[given.status] += 1

        threads = [threading.Thread(target=send, args=(number,)) for number in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(f"answers {dict(answers)}; most {receiver.rss_bytes_most() / 2**20:.0f} MiB")
        assert answers.total() == 24
        assert set(answers) <= {200, 503}
        assert answers[200] >= 1
        assert receiver.rss_bytes_most() < RSS_BYTES_MAX
        wait_until(lambda: post(receiver, [event("last")]).status == 200, "room for one more")


def test_a_flood_without_a_token_is_not_read_at_all(kafka: Broker, tmp_path: Path) -> None:
    with receiving(kafka.bootstrap_servers, tmp_path, inlets={INLET: HTTP_INLET}) as scene:
        receiver = scene.start()
        before = receiver.rss_bytes()
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", receiver.port), timeout=60) as sender:
                sender.sendall(_head(15_000_000, token="a-wrong-token-of-24-letters"))
                assert sender.recv(65_536).startswith(b"HTTP/1.1 503"), "answered before the body came"
        assert receiver.rss_bytes() < before + 8 * 2**20


def test_connections_beyond_the_limit_are_told_to_try_again(kafka: Broker, tmp_path: Path) -> None:
    with receiving(
        kafka.bootstrap_servers, tmp_path, inlets={INLET: HTTP_INLET}, receiver={"connections_max": 2}
    ) as scene:
        receiver = scene.start()
        held = [socket.create_connection(("127.0.0.1", receiver.port), timeout=60) for _ in range(2)]
        for connection in held:
            connection.sendall(_head(100) + b"{")
        wait_until(lambda: receiver.metric("streams_receiver_requests_in_hand") == 2, "two requests to be in hand")
        assert post(receiver, [event("x")]).status == 503
        for connection in held:
            connection.close()
        wait_until(lambda: post(receiver, [event("y")]).status == 200, "room for one more")


def test_slow_senders_are_told_to_try_again(kafka: Broker, tmp_path: Path) -> None:
    """About real time: ten seconds for a header, thirty for a body."""
    with receiving(kafka.bootstrap_servers, tmp_path, inlets={INLET: HTTP_INLET}) as scene:
        receiver = scene.start()
        found: dict[str, bytes] = {}

        def slow(name: str, pieces: bytes) -> None:
            with socket.create_connection(("127.0.0.1", receiver.port), timeout=PATIENCE_SECONDS) as sender:
                sender.sendall(pieces)
                found[name] = sender.recv(65_536)

        threads = [
            threading.Thread(target=slow, args=("header", _head(10)[:40])),
            threading.Thread(target=slow, args=("body", _head(100) + b"{")),
            threading.Thread(target=slow, args=("stranger", _head(100, token="x" * 24) + b"{")),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {name: answer.split(b" ")[1] for name, answer in found.items()} == {
            "header": b"503", "body": b"503", "stranger": b"503",
        }  # fmt: skip
        assert Written(scene).letters() == [], "half a body is not parked: Braze sends it again"


def test_a_type_without_a_topic_holds_up_no_other_where_no_topic_may_be_made(kafka: Broker, tmp_path: Path) -> None:
    with receiving(
        kafka.bootstrap_servers, tmp_path, inlets={INLET: HTTP_INLET}, kafka={"topics": {"create": False}}
    ) as scene:
        written = Written(scene)
        receiver = scene.start()
        given: Given = post(receiver, [event("known")])
        assert (given.status, "there is no topic" in given.content["error"]) == (503, True)
        scene.administration.create_topic(written.topic("users.messages.email.Send"), 1, 1, {})
        mixed = [event("known"), event("new", "users.messages.pigeon.Send")]
        assert post(receiver, mixed).content == {"written": 1, "parked": 1}
        (letter,) = written.letters()
        assert "there is no topic" in letter.verdict.detail
        assert orjson.loads(letter.value) == mixed[1]


def _head(length: int, token: str = TOKEN) -> bytes:
    lines = (
        f"POST /currents/{INLET} HTTP/1.1",
        "Host: x",
        "Content-Type: application/json",
        f"Authorization: Bearer {token}",
        f"Content-Length: {length}",
    )
    return "\r\n".join((*lines, "", "")).encode()
