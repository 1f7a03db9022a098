"""Alive and ready: what the pulse of a process says, and the port that tells it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from streams.ports.pulse import JOIN_SECONDS_MAX, STANDSTILL_SECONDS_MAX, START_SECONDS_MAX, UNKNOWN_SECONDS_MAX, Pulse
from streams.testing.clock import MovableClock
from streams.web.page_server import Page, PageServer
from streams.web.server import PortTaken
from tests.telemetry.scrape import get
from tests.waiting import wait_until

MAX_POLL_INTERVAL_SECONDS = 300.0
"""Kafka gives a member's partitions to others after this."""


def test_a_process_that_starts_is_alive_and_not_ready() -> None:
    clock = MovableClock()
    pulse = Pulse(clock)
    clock.advance(START_SECONDS_MAX - 1)
    assert pulse.standstill() == ""
    assert "Kafka" in pulse.unready()


def test_a_start_that_never_ends_is_not_alive() -> None:
    clock = MovableClock()
    pulse = Pulse(clock)
    clock.advance(START_SECONDS_MAX + 1)
    assert "nothing has begun" in pulse.standstill()


def test_a_loop_that_goes_round_is_alive_however_long_it_runs() -> None:
    clock = MovableClock()
    pulse = Pulse(clock)
    for _ in range(100):
        pulse.beat("sink")
        clock.advance(STANDSTILL_SECONDS_MAX - 1)
        assert pulse.standstill() == ""


def test_one_loop_that_stands_still_is_named_though_another_goes_round() -> None:
    clock = MovableClock()
    pulse = Pulse(clock)
    pulse.beat("keeper")
    for _ in range(4):
        pulse.beat("sink")
        clock.advance(STANDSTILL_SECONDS_MAX / 3)
    assert pulse.standstill().startswith("the keeper stands still")


def test_a_stuck_loop_is_told_before_kafka_gives_its_partitions_away() -> None:
    assert STANDSTILL_SECONDS_MAX < MAX_POLL_INTERVAL_SECONDS


def test_partitions_make_a_process_ready_and_a_stop_ends_that() -> None:
    pulse, stop = Pulse(MovableClock()), threading.Event()
    pulse.stops_when(stop.is_set)
    pulse.joined()
    assert pulse.unready() == ""
    stop.set()
    assert pulse.unready() == "stopping"


def test_a_spare_process_that_no_partition_is_left_for_becomes_ready_too() -> None:
    clock = MovableClock()
    pulse = Pulse(clock)
    pulse.beat("sink")
    clock.advance(JOIN_SECONDS_MAX - 1)
    assert pulse.unready() != ""
    clock.advance(2)
    assert pulse.unready() == ""


def test_a_process_that_its_group_does_not_know_is_not_ready_and_in_the_end_not_alive() -> None:
    clock = MovableClock()
    pulse = Pulse(clock)
    pulse.joined()
    pulse.known_to_group(False)
    assert "does not know" in pulse.unready()
    assert pulse.standstill() == ""
    clock.advance(UNKNOWN_SECONDS_MAX + 1)
    pulse.beat("sink")
    pulse.known_to_group(False)
    assert "does not know" in pulse.standstill()
    pulse.known_to_group(True)
    assert (pulse.unready(), pulse.standstill()) == ("", "")


def test_partitions_are_an_answer_too() -> None:
    clock = MovableClock()
    pulse = Pulse(clock)
    pulse.known_to_group(False)
    pulse.joined()
    clock.advance(UNKNOWN_SECONDS_MAX + 1)
    pulse.beat("sink")
    assert (pulse.unready(), pulse.standstill()) == ("", "")


def test_time_in_which_kafka_says_nothing_does_not_count_against_a_process() -> None:
    clock = MovableClock()
    pulse = Pulse(clock)
    pulse.known_to_group(False)
    for _ in range(20):
        clock.advance(UNKNOWN_SECONDS_MAX / 2)
        pulse.beat("sink")
        pulse.known_to_group(None)
    clock.advance(UNKNOWN_SECONDS_MAX / 2)
    pulse.known_to_group(False)
    assert pulse.standstill() == ""


def test_a_member_of_a_kafka_that_goes_away_stays_ready() -> None:
    pulse = Pulse(MovableClock())
    pulse.known_to_group(True)
    pulse.known_to_group(None)
    assert pulse.unready() == ""


class FakeWorker:
    """A loop that a test can stop inside a round."""

    def __init__(self, pulse: Pulse) -> None:
        self.pulse = pulse
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.is_held = threading.Event()
        self.rounds = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.pulse.beat("worker")
            self.rounds += 1
            if not self.may_go_on.is_set():
                self.is_held.set()
            self.may_go_on.wait()
            self._stop.wait(0.001)

    def end(self) -> None:
        self._stop.set()
        self.may_go_on.set()
        self._thread.join()


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def worker(clock: MovableClock) -> Iterator[FakeWorker]:
    worker = FakeWorker(Pulse(clock))
    yield worker
    worker.end()


@pytest.fixture
def server(worker: FakeWorker) -> Iterator[PageServer]:
    def livez() -> Page:
        problem = worker.pulse.standstill()
        return Page(503, problem.encode()) if problem else Page(200, b"ok\n")

    server = PageServer("127.0.0.1", 0, {"/livez": livez, "/metrics": lambda: Page(200, b"up 1\n")})
    yield server
    server.close()


def test_a_stopped_loop_is_told_by_its_own_process_and_so_is_its_end(
    server: PageServer, worker: FakeWorker, clock: MovableClock
) -> None:
    assert get(server.port, "/livez") == (200, b"ok\n")
    worker.may_go_on.clear()
    wait_until(worker.is_held.is_set, "the loop to stand in its round")
    rounds = worker.rounds
    clock.advance(STANDSTILL_SECONDS_MAX + 1)
    status, body = get(server.port, "/livez")
    assert status == 503
    assert b"worker stands still" in body
    worker.may_go_on.set()
    wait_until(lambda: worker.rounds > rounds, "another round")
    assert get(server.port, "/livez")[0] == 200


def test_other_paths_are_404_and_name_what_there_is(server: PageServer) -> None:
    status, body = get(server.port, "/")
    assert status == 404
    assert body == b"there is /livez /metrics\n"


def test_a_query_changes_nothing(server: PageServer) -> None:
    assert get(server.port, "/metrics?name=x") == (200, b"up 1\n")


def exchanged(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
        return answer


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
def test_only_get_is_answered(server: PageServer, method: str) -> None:
    answer = exchanged(server.port, f"{method} /metrics HTTP/1.0\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.0 405 ")
    assert b"Allow: GET" in answer


def test_an_answer_says_nothing_of_what_serves_it(server: PageServer) -> None:
    answer = exchanged(server.port, b"GET /metrics HTTP/1.0\r\n\r\n")
    assert b"Python" not in answer
    assert b"BaseHTTP" not in answer


def test_clients_that_say_nothing_are_cut_off_and_the_port_goes_on_answering(server: PageServer) -> None:
    silent = [socket.create_connection(("127.0.0.1", server.port), timeout=60) for _ in range(30)]
    try:
        for connection in silent:
            assert connection.recv(10) in (b"", b"HTTP/1.0 4"), "cut off, at once or after 5 s"
        assert get(server.port, "/livez")[0] == 200
    finally:
        for connection in silent:
            connection.close()


def test_a_port_that_is_taken_is_an_error_that_names_it(server: PageServer) -> None:
    with pytest.raises(PortTaken, match=f"127.0.0.1:{server.port}"):
        PageServer("127.0.0.1", server.port, {})
