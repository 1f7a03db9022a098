"""What nobody foresaw ends a command with one sentence and a code, and shows no values."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from streams.cli import defence, main
from streams.cli.assembly.processes import stop_on_signal
from streams.cli.errors import ExitCode


class Unforeseen(Exception):
    pass


def fail() -> None:
    raise Unforeseen("could not read 'ann@example.com' of \"Ann Example\"")


def test_a_fault_that_nobody_foresaw_is_one_sentence_with_its_place_and_a_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(main, "app", fail)
    monkeypatch.delenv("STREAMS_LOG_LEVEL", raising=False)
    with pytest.raises(SystemExit) as end:
        main.carry_out()
    assert end.value.code == ExitCode.FAULT
    (line,) = capsys.readouterr().err.splitlines()
    assert "Unforeseen" in line
    assert "streams/cli/main.py" in line
    assert "Traceback" not in line
    assert "ann@example.com" not in line
    assert "Ann Example" not in line


def test_at_debug_the_calls_follow_and_still_no_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_LOG_LEVEL", "debug")
    try:
        fail()
    except Unforeseen as fault:
        told = defence.explained(fault)
    assert f"{Path(__file__)}:" in told
    assert "Ann" not in told


def test_a_thread_that_dies_stops_its_process_and_its_fault_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    process = stop_on_signal()
    stop = process.__enter__()
    threading.Thread(target=fail, name="beside").start()
    assert stop.wait(60), "the process was not stopped"
    with pytest.raises(Unforeseen):
        process.__exit__(None, None, None)
    assert capsys.readouterr().err == ""
