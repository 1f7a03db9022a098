"""Child processes that do not outlive their parent, and free ports for them."""

from __future__ import annotations

import atexit
import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

TERMINATE_SECONDS_MAX = 15.0
"""A broker flushes and leaves within this after SIGTERM; then it is killed."""

# A process that is killed runs no clean-up, so the child asks the kernel (PR_SET_PDEATHSIG is 1) to be ended with its
# parent. Asked for by a small Python that then becomes the command: a `preexec_fn` may deadlock with client threads.
_TIED_TO_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent ended first")
os.execvp(sys.argv[2], sys.argv[2:])
"""


PORT_MIN, PORT_END = 10_000, 32_768
"""Below those that Linux gives away by itself by default: for port 0, and to clients of connections."""


def free_port() -> int:
    """A port that nothing listens on now, and that no process of this user is given again before all others were.

    Until somebody listens on it, seconds pass: a Java starts. Meanwhile others open servers on any port, and hundreds
    of connections. So it is none of the ports that the system gives away by itself, and a file says which was the last.
    """
    path = Path(tempfile.gettempdir()) / f"streams-ports-{os.getuid()}"
    # All users may write to this folder: a link that somebody else put there is not followed.
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+") as last:
        fcntl.flock(last, fcntl.LOCK_EX)
        ports = _port_after(last.read())
        port = next((port for port in ports if _is_free(port)), None)
        if port is None:
            raise OSError(f"no port from {PORT_MIN} to {PORT_END - 1} is free")
        last.seek(0)
        last.truncate()
        last.write(str(port))
    return port


def _port_after(last: str) -> Iterator[int]:
    """Each port once, from the one after the last; without one, from any."""
    begin = int(last) + 1 if last.isdecimal() else PORT_MIN + secrets.randbelow(PORT_END - PORT_MIN)
    yield from range(begin, PORT_END)
    yield from range(PORT_MIN, min(begin, PORT_END))


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("", port))  # some listen on all addresses
        except OSError:
            return False
    return True


class Child:
    """A process of ours, its output in a file; it ends with `stop`, with this interpreter, or (Linux) with its kill."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.log = log
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", "-c", _TIED_TO_PARENT, str(os.getpid()), *command]
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - commands of our own
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environment or {})},
                # Ctrl-C in a terminal goes to all of its session: whatever started this child decides when it ends.
                start_new_session=True,
            )
        atexit.register(self.kill)

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_running(self) -> bool:
        return self._process.poll() is None

    def last_lines(self, count: int = 15) -> str:
        """The end of what it wrote, for an error's text."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])

    def stop(self) -> None:
        """SIGTERM; SIGKILL after 15 s."""
        self._process.terminate()
        try:
            self._process.wait(TERMINATE_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.kill()

    def freeze(self) -> None:
        """SIGSTOP: it does nothing until `thaw`, and cannot be asked to end."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it goes on where it was."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and wait until it has ended."""
        if self.is_running():
            self._process.kill()
        self._process.wait()
        atexit.unregister(self.kill)
