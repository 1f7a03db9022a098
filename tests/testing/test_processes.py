"""Ports for child processes: each is given once, and nobody else takes it before it is listened on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from streams.testing.processes import PORT_END, PORT_MIN, free_port

ASKED = 50


@pytest.fixture
def last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that says which port was the last."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"streams-ports-{os.getuid()}"


def test_processes_that_ask_at_once_are_given_different_ports(tmp_path: Path) -> None:
    program = f"from streams.testing.processes import free_port\nfor _ in range({ASKED}): print(free_port())"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", program]
    asking = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(3)]
    given = [port for process in asking for port in process.communicate()[0].split()]
    assert len(given) == len(set(given)) == 3 * ASKED


def test_a_port_is_none_that_the_system_gives_to_whoever_asks_for_any(last: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        assert not PORT_MIN <= listener.getsockname()[1] < PORT_END
    assert PORT_MIN <= free_port() < PORT_END


@pytest.mark.parametrize("host", ["127.0.0.1", ""])
def test_a_port_that_somebody_listens_on_is_passed_over(last: Path, host: str) -> None:
    with socket.create_server((host, free_port())) as listener:
        taken = listener.getsockname()[1]
        last.write_text(str(taken - 1))
        assert free_port() != taken


def test_after_the_last_port_comes_the_first(last: Path) -> None:
    last.write_text(str(PORT_END - 1))
    first = free_port()
    last.write_text(str(first))
    assert PORT_MIN <= first < free_port()
