"""What Braze would send, to our inlet and to the bare loop: so many events, a hundred at once, on eight connections."""

from __future__ import annotations

import http.client
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from streams.emulators.braze.currents_post import body_of
from streams.events.custom_http.samples import sample_posts

TOKEN = "a-token-of-the-measurement-000"
BATCH = 100
SENDERS = 8
BODIES = 200
"""Different ones; they come again and again."""
START_SECONDS_MAX = 60.0
HEADERS = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}


def bodies() -> list[bytes]:
    events = sample_posts(BODIES * BATCH, seed=1, now_s=int(time.time()))
    return [body_of([next(events) for _ in range(BATCH)]) for _ in range(BODIES)]


def feed(port: int, path: str, contents: list[bytes], events: int, process: subprocess.Popen[str]) -> None:
    """Send so many events. Raises `SystemExit` where an answer is not 200."""
    _await_listening(port, process)
    work: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    for number in range(events // BATCH):
        work.put(contents[number % len(contents)])
    failures: list[str] = []

    def send() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        with suppress(queue.Empty):
            while not failures:
                connection.request("POST", path, work.get_nowait(), HEADERS)
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 200:
                    failures.append(f"{answer.status} {text[:200]!r}")
        connection.close()

    _together(send)
    if failures:
        raise SystemExit(f"an inlet answered {failures[0]}")


def _together(send: Callable[[], None]) -> None:
    threads = [threading.Thread(target=send) for _ in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _await_listening(port: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise SystemExit("a contender does not listen")
