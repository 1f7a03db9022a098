"""The pytest plugin, in runs of their own: what is skipped, what fails, what the summary says, what is shared."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = """
import pytest
from confluent_kafka.admin import AdminClient

def test_any_broker_will_do(kafka):
    assert AdminClient({"bootstrap.servers": kafka.bootstrap_servers}).list_topics(timeout=10).brokers

@pytest.mark.apache
def test_only_apache_will_do(kafka):
    raise AssertionError("ran")

def test_no_broker_is_needed():
    pass
"""

SHARING = """
import os, pathlib, time, pytest

@pytest.mark.parametrize("number", range(4))
def test_the_address_is_noted(kafka, number):
    worker, count = os.environ.get("PYTEST_XDIST_WORKER", "alone"), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    with pathlib.Path("addresses").open("a") as addresses:
        addresses.write(f"{worker} {kafka.bootstrap_servers}\\n")
    deadline = time.monotonic() + 30
    while len({line.split()[0] for line in pathlib.Path("addresses").read_text().splitlines()}) < count:
        assert time.monotonic() < deadline, "the other worker never got a broker"
        time.sleep(0.05)
"""


def run(folder: Path, suite: str, *arguments: str, **environment: str) -> str:
    """The output of pytest on this suite, where there is no Docker and no Java."""
    (folder / "test_suite.py").write_text(suite)
    # cloudcoil: as in pyproject.toml, which a suite elsewhere does not read
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p no:cloudcoil\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "KAFKA", "REQUIRE"))}
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", *arguments, "test_suite.py"],
        cwd=folder,
        env={**kept, "PATH": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return result.stdout


def test_what_the_broker_cannot_prove_is_skipped_and_counted(tmp_path: Path) -> None:
    output = run(tmp_path, SUITE)
    assert "2 passed, 1 skipped" in output
    assert "broker: embedded (there is no Docker; there is no Java)" in output
    assert "1 tests were SKIPPED" in output


def test_where_apache_is_required_nothing_is_skipped(tmp_path: Path) -> None:
    output = run(tmp_path, SUITE, REQUIRE_BROKER="apache")
    assert "1 passed, 2 errors" in output
    assert "REQUIRE_BROKER=apache, but there is no Docker; there is no Java" in output


def test_where_no_test_needs_a_broker_none_is_chosen(tmp_path: Path) -> None:
    output = run(tmp_path, SUITE, "-k", "no_broker_is_needed", REQUIRE_BROKER="apache")
    assert "1 passed" in output
    assert "broker:" not in output


@pytest.mark.parametrize("workers", ["0", "2"])
def test_all_workers_of_a_run_share_one_broker(tmp_path: Path, workers: str) -> None:
    output = run(tmp_path, SHARING, "-n", workers)
    assert "4 passed" in output
    notes = [line.split() for line in (tmp_path / "addresses").read_text().splitlines()]
    assert len(notes) == 4
    assert len({worker for worker, _ in notes}) == max(1, int(workers))
    assert len({address for _, address in notes}) == 1
