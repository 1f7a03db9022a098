"""Kills, refusals, a broker that is away, and a stop: no request is lost, and none is taken in part."""

from __future__ import annotations

import http.client
import signal
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import orjson
import pytest

from streams.testing.brokers import ApacheKafka, Broker
from streams.testing.emulators import BrazeEmulator
from streams.testing.processes import free_port
from streams.wayback.records import Malformed, Membership
from tests.chaos.conftest import own_broker  # noqa: F401 - a fixture
from tests.receiver.scene import (
    COHORTS,
    CONNECTOR,
    DATA,
    JSON,
    PARTITIONS,
    Given,
    ReceiverProcess,
    Receiving,
    authorization,
    cohort,
    receiving,
)
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.apache, pytest.mark.timeout(360)]
USERS = [f"user-{number}" for number in range(50)]


def ids(scene: Receiving) -> Counter[tuple[str, str]]:
    return Counter((record.external_user_id, record.id) for record in scene.records() if isinstance(record, Membership))


def members(scene: Receiving) -> list[str]:
    """Users of the memberships, without the words that tell the cohort's name."""
    return [record.external_user_id for record in scene.records() if isinstance(record, Membership)]


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_receiver_killed_at_its_commit_is_made_whole_by_a_repeat(kafka: Broker, tmp_path: Path, side: str) -> None:
    with receiving(kafka.bootstrap_servers, tmp_path) as scene:
        killed = scene.start(environment={"KILLED": f"{side} 2"}, module="tests.receiver.killed")
        assert killed.send(COHORTS, cohort(users=["first"])).status == 200
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            killed.send(COHORTS, cohort(users=USERS))
        wait_until(lambda: killed.worker.exit_code == -signal.SIGKILL, "the receiver to be dead")
        after = scene.start()
        assert after.send(COHORTS, cohort(users=USERS)).status == 200
        found = ids(scene)
        times = 2 if side == "after" else 1
        assert found.pop(("first", "7/s-1/1/c-1/first")) == 1
        assert found == {(user, f"7/s-1/1/c-1/{user}"): times for user in USERS}
        names = (1 + times) * PARTITIONS  # each request tells the cohort's name to every partition
        assert scene.counts().received == len(scene.records()) == 1 + times * len(USERS) + names


def test_the_account_adds_up_after_kills_at_any_moment(kafka: Broker, tmp_path: Path) -> None:
    with receiving(kafka.bootstrap_servers, tmp_path) as scene:
        acknowledged: list[str] = []
        for number in range(4):
            receiver = scene.start()
            done = threading.Event()

            def send(receiver: ReceiverProcess = receiver, number: int = number, done: threading.Event = done) -> None:
                for count in range(10_000):
                    user = f"u-{number}-{count}"
                    try:
                        if receiver.send(COHORTS, cohort(users=[user])).status == 200:
                            acknowledged.append(user)
                    except (http.client.HTTPException, OSError):
                        break
                done.set()

            before = len(acknowledged)
            threading.Thread(target=send, daemon=True).start()
            wait_until(lambda before=before, number=number: len(acknowledged) >= before + 5 + 7 * number, "answers")  # type: ignore[misc]
            receiver.worker.kill()
            assert done.wait(60)
        scene.start()
        found = scene.records()
        assert set(acknowledged) <= {record.external_user_id for record in found}
        assert scene.counts().received == len(found)


def test_a_receiver_that_was_replaced_ends_with_the_code_for_it(kafka: Broker, tmp_path: Path) -> None:
    with receiving(kafka.bootstrap_servers, tmp_path) as scene:
        old = scene.start("pod-0")
        assert old.send(COHORTS, cohort(users=["old"])).status == 200
        new = scene.start("pod-0")
        assert old.send(COHORTS, cohort(users=["late"])).status == 503
        wait_until(lambda: old.worker.exit_code is not None, "the old receiver to end")
        assert old.worker.exit_code == 8
        assert new.send(COHORTS, cohort(users=["new"])).status == 200
        assert [record.external_user_id for record in scene.records()].count("late") == 0
        assert scene.counts().received == 2 * (1 + PARTITIONS)


def test_two_receivers_count_side_by_side(kafka: Broker, tmp_path: Path) -> None:
    with receiving(kafka.bootstrap_servers, tmp_path) as scene:
        first, second = scene.start("pod-0"), scene.start("pod-1")
        assert first.send(COHORTS, cohort(users=["ada"])).status == 200
        assert second.send(COHORTS, cohort(users=["bob"])).status == 200
        assert first.send(COHORTS, cohort(users=["carol"])).status == 200
        assert scene.counts().received == 3 * (1 + PARTITIONS)


def test_a_record_that_the_topic_does_not_take_is_malformed_and_stops_no_other(kafka: Broker, tmp_path: Path) -> None:
    with receiving(kafka.bootstrap_servers, tmp_path, topic={"max.message.bytes": "90000"}) as scene:
        receiver = scene.start()
        body = cohort(users=["ada", "bob"])
        body["parameters"]["mixpanel_cohort_name"] = "n"
        large = {
            "user_identities": [{"identity_type": "customer_id", "identity": "carol"}],
            "user_attributes": {"story": [f"chapter-{number}-{number * 7919 % 10007}" for number in range(20_000)]},
            "events": [{"event_type": "custom_event", "data": {"event_name": "Read", "message_id": "m-1"}}],
        }
        given: list[Given] = []
        threads = [
            threading.Thread(target=lambda: given.append(receiver.send(COHORTS, body))),
            threading.Thread(target=lambda: given.append(receiver.send(DATA, large))),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(one.status for one in given) == [200, 202]
        found = scene.records()
        assert {record.external_user_id for record in found} == {"ada", "bob", "carol", ""}
        (malformed,) = (record for record in found if isinstance(record, Malformed))
        assert "Kafka does not take it" in malformed.reason
        assert scene.counts().received == len(found)


def test_a_stop_answers_what_is_in_hand_and_refuses_the_rest(kafka: Broker, tmp_path: Path) -> None:
    with receiving(kafka.bootstrap_servers, tmp_path) as scene:
        receiver = scene.start()
        assert receiver.health("/readyz").status == 200
        body = orjson.dumps(cohort(users=["slow"]))
        head = f"POST /receive/{CONNECTOR}/{COHORTS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        head += f"Authorization: {authorization(COHORTS)['Authorization']}\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", receiver.port), timeout=60) as slow:
            slow.sendall(head.encode() + body[:20])
            wait_until(lambda: receiver.metric("streams_receiver_requests_in_hand") == 1, "the request to be in hand")
            assert receiver.worker._process is not None
            receiver.worker._process.send_signal(signal.SIGTERM)
            wait_until(lambda: receiver.health("/readyz").status == 503, "the receiver to be unready")
            refused = receiver.send(COHORTS, cohort(users=["late"]))
            assert (refused.status, refused.headers["retry-after"]) == (503, "5")
            slow.sendall(body[20:])
            assert slow.recv(65_536).startswith(b"HTTP/1.1 200")
        assert receiver.worker._process.wait(90) == 0
        assert members(scene) == ["slow"]


def test_a_stop_does_not_wait_longer_for_a_body_that_never_comes(kafka: Broker, tmp_path: Path) -> None:
    with receiving(kafka.bootstrap_servers, tmp_path) as scene:
        receiver = scene.start()
        head = f"POST /receive/{CONNECTOR}/{COHORTS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        head += f"Authorization: {authorization(COHORTS)['Authorization']}\r\nContent-Length: 100\r\n\r\n"
        with socket.create_connection(("127.0.0.1", receiver.port), timeout=60) as slow:
            slow.sendall(head.encode())
            wait_until(lambda: receiver.metric("streams_receiver_requests_in_hand") == 1, "the request to be in hand")
            assert receiver.worker.terminate() == 0


def test_a_sender_that_went_away_is_left_out(kafka: Broker, tmp_path: Path) -> None:
    """A frozen process begins nothing: what is sent and taken back meanwhile is never written."""
    with receiving(kafka.bootstrap_servers, tmp_path) as scene:
        receiver = scene.start()
        head = f"POST /receive/{CONNECTOR}/{COHORTS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        head += f"Authorization: {authorization(COHORTS)['Authorization']}\r\nContent-Length: 1000\r\n\r\n"
        with socket.create_connection(("127.0.0.1", receiver.port), timeout=60) as gone:
            gone.sendall(head.encode() + b"{")
            wait_until(lambda: receiver.metric("streams_receiver_requests_in_hand") == 1, "the request to be in hand")
        wait_until(lambda: receiver.metric("streams_receiver_requests_total", code="none") == 1, "it to be counted")
        assert receiver.metric("streams_receiver_requests_in_hand") == 0
        assert receiver.send(COHORTS, cohort(users=["stays"])).status == 200
        assert members(scene) == ["stays"]


def test_while_the_broker_is_away_senders_are_told_to_try_again_and_then_all_goes_on(
    own_broker: Broker,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    assert isinstance(own_broker, ApacheKafka)
    node = own_broker._node
    assert node is not None
    with receiving(own_broker.bootstrap_servers, tmp_path, receiver={"answer_within": "2s"}) as scene:
        receiver = scene.start()
        assert receiver.send(COHORTS, cohort(users=["before"])).status == 200
        node.stop()
        refused = receiver.send(COHORTS, cohort(users=["away"]))
        assert (refused.status, refused.headers["retry-after"]) == (503, "5")
        assert receiver.health("/livez").status == 200
        node.start()

        def is_back() -> bool:
            return receiver.send(COHORTS, cohort(users=["after"])).status == 200

        began = time.monotonic()
        wait_until(is_back, "the receiver to write again", 150)
        print(f"writes again {time.monotonic() - began:.1f} s after the broker was started")
        users = {record.external_user_id for record in scene.records()}
        assert {"before", "after"} <= users
        assert scene.counts().received == len(scene.records())


def test_run_all_starts_a_receiver_where_something_is_received_and_ends_it(
    kafka: Broker, braze: BrazeEmulator, tmp_path: Path
) -> None:
    port = free_port()
    connector = {"base_url": braze.base_url, "rest_key": braze.rest_key, "scratch": str(tmp_path / "scratch")}
    with receiving(kafka.bootstrap_servers, tmp_path, receiver={"port": port}, connector=connector) as scene:
        worker = scene.process("all")

        def is_taken() -> bool:
            assert worker.is_running(), worker.last_words()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            headers = {**JSON, **authorization(COHORTS)}
            try:
                connection.request(
                    "POST", f"/receive/{CONNECTOR}/{COHORTS}", orjson.dumps(cohort(users=["ada"])), headers
                )
                return connection.getresponse().status == 200
            except OSError:
                return False
            finally:
                connection.close()

        wait_until(is_taken, "the receiver to answer")
        assert worker.terminate() == 0
        with pytest.raises(OSError, match=r"refused"):
            socket.create_connection(("127.0.0.1", port), timeout=5)
