"""The console's pages where there is much to show: how long they take, and how much memory its process holds."""

from __future__ import annotations

import http.client
import json
import re
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from streams.testing.processes import Child
from tests.waiting import wait_until

CONNECTORS = 20
"""`full` has the letters; the others have none."""
ROUNDS_MIN = 10
"""Each asks for every page once. Rounds go on until the letters are counted, and so many after that."""
COUNT_SECONDS_MAX = 600.0
FULL = "/connectors/full"
PAGES = ("/", "/index.json", FULL, f"{FULL}/letters", "/connectors/c-07", "/router", "/audit", "/topics", "/schemas")


@dataclass(frozen=True, slots=True)
class Pages:
    """`p95_seconds` over all pages, also while letters are counted; by page the same. `rss_mib` is the peak."""

    p95_seconds: float
    by_page: dict[str, float]
    requests: int
    rss_mib: float


def connectors() -> dict[str, dict[str, str]]:
    names = ["full", *(f"c-{number:02}" for number in range(1, CONNECTORS))]
    return {
        name: {"destination": "mixpanel", "project_token": f"{number:032x}"} for number, name in enumerate(names, 1)
    }


def pages(config: Path) -> Pages:
    """Ask a new console for its pages, one after the other, as several people who never stop would."""
    seconds: dict[str, list[float]] = {page: [] for page in PAGES}
    with _console(config) as (base, pid):
        asking = _Asking(base)
        wait_until(lambda: asking.status("/") == 200, "the first look", COUNT_SECONDS_MAX)
        deadline = time.monotonic() + COUNT_SECONDS_MAX
        rounds_after = 0
        while rounds_after < ROUNDS_MIN:
            for page in PAGES:
                began = time.monotonic()
                status = asking.status(page)
                seconds[page].append(time.monotonic() - began)
                if status != 200:
                    raise SystemExit(f"{page} answers {status}")
            rounds_after += asking.is_counted()
            if time.monotonic() > deadline:
                raise SystemExit(f"the letters are not counted after {COUNT_SECONDS_MAX:.0f} s")
        group = asking.first_group()
        for _ in range(ROUNDS_MIN):
            began = time.monotonic()
            asking.status(f"{FULL}/letters?fingerprint={group}")
            seconds.setdefault("a group of letters", []).append(time.monotonic() - began)
        peak = _peak_mib(pid)
    every = [one for found in seconds.values() for one in found]
    by_page = {page: round(_p95(found), 3) for page, found in seconds.items()}
    return Pages(_p95(every), by_page, len(every), peak)


class _Asking:
    """One connection that stays open."""

    def __init__(self, base: str) -> None:
        parts = urlsplit(base)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        self._body = b""

    def status(self, path: str) -> int:
        self._connection.request("GET", path)
        response = self._connection.getresponse()
        self._body = response.read()
        return response.status

    def is_counted(self) -> bool:
        self.status(f"{FULL}/letters.json")
        return "groups" in json.loads(self._body)

    def first_group(self) -> str:
        self.status(f"{FULL}/letters.json")
        return str(json.loads(self._body)["groups"][0]["event_types"][0]["fingerprint"])


@contextmanager
def _console(config: Path) -> Iterator[tuple[str, int]]:
    content = yaml.safe_load(config.read_text()) | {"console": {"port": 0, "write": True}}
    own = config.with_suffix(".console.yaml")
    own.write_text(yaml.safe_dump(content))
    log = own.with_suffix(".log")
    child = Child([sys.executable, "-m", "streams", "run", "console", "--config", str(own)], log)
    try:
        wait_until(lambda: "the console is at" in log.read_text(), "the console's address")
        found = re.search(r"the console is at (http://\S+)/", log.read_text())
        assert found is not None
        yield found[1], child.pid
    finally:
        child.stop()


def _p95(seconds: list[float]) -> float:
    """Never more than the slowest: with few answers the other method goes on beyond what was measured."""
    return statistics.quantiles(seconds, n=20, method="inclusive")[-1]


def _peak_mib(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None, "Linux tells the peak of a process"
    return int(found[1]) / 1024
