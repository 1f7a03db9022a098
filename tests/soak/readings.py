"""What is read each minute of a soak: what processes hold, what the topics hold, how much waits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

KIB_PER_MIB = 1024


@dataclass(frozen=True, slots=True)
class ProcessReading:
    """A process at one moment: resident memory in MiB, open file descriptors, threads, and its roles: what it keeps,
    and which inlets it is the active process of."""

    pid: int
    rss_mib: float
    descriptors: int
    threads: int
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything at one moment. `minute` is since the start; `outages` are those of the broker until then; `state_rows`
    and `state_bytes` are the keys of the state topic that have a value, and their size, whatever Kafka has compacted
    yet."""

    minute: float
    outages: int
    processes: Mapping[str, ProcessReading]
    state_rows: int
    state_bytes: int
    waiting: Mapping[str, int]
    accounts: Mapping[str, Mapping[str, Any]]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def process_reading(pid: int, roles: Iterable[str] = ()) -> ProcessReading | None:
    """None if the process ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        descriptors = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return None
    memory, threads = (re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE) for name in ("VmRSS", "Threads"))
    if memory is None or threads is None:  # it has ended, and its parent has not looked yet
        return None
    return ProcessReading(pid, int(memory[1]) / KIB_PER_MIB, descriptors, int(threads[1]), tuple(sorted(roles)))
