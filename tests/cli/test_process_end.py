"""The end of a command's process: its exit code is what it says, whatever C libraries do when a process exits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

BEGIN = "import ctypes, sys; libc = ctypes.CDLL(None)\n"
ABORT_AT_EXIT = "libc.on_exit(libc.abort, None)\n"
"""An exit handler of a C library that fails, as OpenSSL's does while a Kafka client's threads run."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="on_exit is glibc's")


def ended(program: str, stdout: int | IO[str] = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["nonsense"], 2), (["audit"], 2)])
def test_a_command_runs_no_exit_handler_of_a_c_library(arguments: list[str], code: int) -> None:
    program = f"{BEGIN}{ABORT_AT_EXIT}sys.argv = ['streams', *{arguments}]\nfrom streams.cli.main import run\nrun()"
    assert ended(program).returncode == code


def test_such_a_handler_would_end_python_with_a_signal() -> None:
    assert ended(f"{BEGIN}{ABORT_AT_EXIT}").returncode < 0


def test_pythons_own_exit_handlers_run_and_what_was_printed_arrives(tmp_path: Path) -> None:
    program = (
        "import atexit, sys\n"
        "from streams.cli import main\n"
        "def command():\n"
        "    atexit.register(lambda: print('the folder is removed'))\n"
        "    print('done')\n"
        "main.app = command\n"
        "main.run()"
    )
    output = tmp_path / "output"
    with output.open("w") as stdout:
        assert ended(program, stdout).returncode == 0
    assert output.read_text() == "done\nthe folder is removed\n"


@pytest.mark.parametrize(("end", "code"), [("SystemExit", 0), ("SystemExit(6)", 6), ("SystemExit('what is wrong')", 1)])
def test_the_code_is_the_commands(end: str, code: int) -> None:
    program = f"from streams.cli import main\ndef command(): raise {end}\nmain.app = command\nmain.run()"
    result = ended(program)
    assert result.returncode == code
    assert result.stderr.strip() == ("what is wrong" if code == 1 else "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("flush", [True, False])
def test_output_that_could_not_be_written_is_a_failure(flush: bool) -> None:
    program = (
        f"from streams.cli import main\ndef command(): print('done', flush={flush})\nmain.app = command\nmain.run()"
    )
    with Path("/dev/full").open("w") as stdout:  # nothing can be written to it
        result = ended(program, stdout)
    assert result.returncode == 1
    assert result.stderr.count("\n") <= 1
    assert "report" not in result.stderr
