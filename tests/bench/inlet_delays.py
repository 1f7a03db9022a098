"""How long an inlet takes on the clock: a file until its first record, and a stand-by until it took over."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from tests.cli.files import opens, write_avro
from tests.inlets.stage import Inlet, key, record_id
from tests.waiting import wait_until

POLL_SECONDS = 5
SPREAD_SECONDS = 1.37
"""Between two files: they appear at all moments of a poll."""
PATIENCE_SECONDS = 120.0


class Arrivals:
    """When the first record of each file was there for a read_committed reader."""

    def __init__(self, inlet: Inlet) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": inlet.bootstrap_servers,
                "group.id": f"{inlet.prefix}arrivals",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            }
        )
        partitions = self._consumer.list_topics(inlet.topic, timeout=60).topics[inlet.topic].partitions
        self._consumer.assign([TopicPartition(inlet.topic, number, 0) for number in partitions])
        self.at: dict[str, float] = {}

    def look(self, seconds: float) -> None:
        """Read for so long."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            message = self._consumer.poll(left)
            if message is not None and message.error() is None:
                self.at.setdefault(record_id(message.value() or b""), time.monotonic())

    def wait_for(self, name: str) -> float:
        """The moment in which this record came."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while name not in self.at:
            if time.monotonic() > deadline:
                raise SystemExit(f"the record {name} does not come")
            self.look(0.05)
        return self.at[name]

    def close(self) -> None:
        self._consumer.close()


def inlet_delays(bootstrap: str, folder: Path, files: int, kills: int) -> dict[str, float]:
    """One inlet from a folder that is listed every `POLL_SECONDS`, with a process that stands by."""
    folder.mkdir()
    inlet = Inlet(bootstrap, folder, poll=f"{POLL_SECONDS}s")
    try:
        inlet.start("p0")
        _put(inlet, "first")
        inlet.await_records(1, PATIENCE_SECONDS)
        arrivals = Arrivals(inlet)
        seconds = _appearances(inlet, arrivals, files)
        takeovers = [_takeover(inlet, arrivals, number) for number in range(kills)]
        arrivals.close()
    finally:
        inlet.stop()
    return {
        "inlet_poll_seconds": POLL_SECONDS,
        "inlet_file_to_record_p50_seconds": round(statistics.median(seconds), 2),
        "inlet_file_to_record_max_seconds": round(max(seconds), 2),
        "inlet_takeover_seconds": round(statistics.median(takeovers), 1),
        "inlet_takeover_max_seconds": round(max(takeovers), 1),
    }


def _appearances(inlet: Inlet, arrivals: Arrivals, files: int) -> list[float]:
    appeared: dict[str, float] = {}
    for number in range(files):
        appeared[_put(inlet, f"f{number}")] = time.monotonic()
        arrivals.look(SPREAD_SECONDS)
    return [arrivals.wait_for(name) - at for name, at in appeared.items()]


def _takeover(inlet: Inlet, arrivals: Arrivals, number: int) -> float:
    """From the SIGKILL of the active process to the first record of a file that appears right after it."""
    inlet.start(f"p{number + 1}")
    wait_until(lambda: inlet.members() == 2, "a process that stands by", PATIENCE_SECONDS)
    inlet.children[-2].kill()
    killed_at = time.monotonic()
    return arrivals.wait_for(_put(inlet, f"k{number}")) - killed_at


def _put(inlet: Inlet, name: str) -> str:
    """A file of one record that appears at once; returns the record's id."""
    (record,) = opens(1, name)
    whole = write_avro(inlet.folder / "made" / f"{name}.avro", [record])
    path = inlet.bucket / key(f"{name}.avro")
    path.parent.mkdir(parents=True, exist_ok=True)
    whole.rename(path)
    return str(record["id"])
