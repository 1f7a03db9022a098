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
    assert AdminClient({"bootstrap.servers": kafka.bootstrap_servers}).list_topics(timeout=60).brokers

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
    deadline = time.monotonic() + 120
    while len({line.split()[0] for line in pathlib.Path("addresses").read_text().splitlines()}) < count:
        assert time.monotonic() < deadline, "the other worker never got a broker"
        time.sleep(0.05)
"""

# The worker that comes first starts the broker.
KILLED = """
import os, pathlib, signal, time, pytest
from confluent_kafka.admin import AdminClient

def notes():
    return [line.split() for line in pathlib.Path("addresses").read_text().splitlines()]

def is_running(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:  # it is gone
        return False

def await_notes(count):
    deadline = time.monotonic() + 120
    while len(notes()) < count:
        assert time.monotonic() < deadline, "the other worker wrote nothing"
        time.sleep(0.05)

@pytest.mark.parametrize("number", range(2))
def test_the_first_worker_is_killed(kafka, number):
    with pathlib.Path("addresses").open("a") as addresses:
        addresses.write(f"{os.getpid()} {kafka.bootstrap_servers}\\n")
    await_notes(2)
    first = int(notes()[0][0])
    if os.getpid() == first:
        os.kill(first, signal.SIGKILL)
    deadline = time.monotonic() + 120
    while is_running(first):
        assert time.monotonic() < deadline, "the first worker lives"
        time.sleep(0.05)
    for _ in range(3):
        assert AdminClient({"bootstrap.servers": kafka.bootstrap_servers}).list_topics(timeout=60).brokers
"""

# Garbage whose finalizer formats a traceback, at every turn: what happens now and then in a long run with threads.
RESTLESS = """
import gc, traceback

class Restless:
    def __init__(self):
        self.itself = self

    def __del__(self):
        try:
            len([1 / 0 + 1])
        except ZeroDivisionError:
            traceback.format_exc()
        Restless()

def pytest_runtestloop():
    Restless()
    gc.set_threshold(20, 1, 1)

def pytest_sessionfinish():
    gc.disable()
"""

FAILING = """
import pathlib, pytest
from streams.testing.brokers import Broker

class Failing(Broker):
    def start(self):
        with pathlib.Path("starts").open("a") as starts:
            starts.write("x")
        if len(pathlib.Path("starts").read_text()) <= FAILURES:
            raise RuntimeError("no luck")

def pytest_collection_finish(session):
    import streams.testing.plugin as plugin
    session.config.stash[plugin._chosen] = Failing("failing", "127.0.0.1:1", is_apache=False)
"""

MANY = """
import pytest

@pytest.mark.parametrize("number", range(20))
def test_with_a_broker(kafka, number):
    assert kafka.kind
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
        timeout=400,
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


def test_no_fixture_imports_anything_once_tests_run(tmp_path: Path) -> None:
    """On CPython 3.11 an import of ours that a finalizer interrupts ends with a `SystemError`."""
    (tmp_path / "conftest.py").write_text(RESTLESS)
    suite = "def test_all(kafka, mixpanel, mparticle): pass"
    output = run(tmp_path, suite, PYTHONPYCACHEPREFIX=str(tmp_path / "cold"))
    assert "1 passed" in output, output


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="from 3.12 on nothing is collected in the middle of a parse")
def test_a_finalizer_that_formats_a_traceback_breaks_a_parse_that_it_interrupts(tmp_path: Path) -> None:
    """Why `_import_early` exists: once this does not hold any more for any Python that we support, it may go."""
    (tmp_path / "conftest.py").write_text(RESTLESS)
    suite = "def test_it():\n    import ast, inspect\n    import typing\n    ast.parse(inspect.getsource(typing))"
    output = run(tmp_path, suite)
    assert "SystemError: AST constructor recursion depth mismatch" in output, output


def test_a_worker_that_is_killed_leaves_the_broker_to_the_others(tmp_path: Path) -> None:
    output = run(tmp_path, KILLED, "-n", "2", "--max-worker-restart", "0")
    assert "1 failed, 1 passed" in output, output
    notes = [line.split() for line in (tmp_path / "addresses").read_text().splitlines()]
    assert len({address for _, address in notes}) == 1


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_broker_that_does_not_start_at_first_is_started_again(tmp_path: Path, workers: str) -> None:
    (tmp_path / "conftest.py").write_text(FAILING.replace("FAILURES", "1"))
    assert "20 passed" in run(tmp_path, MANY, "-n", workers)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_broker_that_never_starts_ends_the_run_with_one_sentence(tmp_path: Path, workers: str) -> None:
    (tmp_path / "conftest.py").write_text(FAILING.replace("FAILURES", "1000"))
    output = run(tmp_path, MANY, "-n", workers)
    assert "the run ends here: its broker could not be started in 2 attempts: " in output
    assert "no luck" in output
    assert "passed" not in output
    assert output.count("ERROR at setup") <= max(1, int(workers))
