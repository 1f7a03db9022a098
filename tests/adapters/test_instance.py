"""Names of processes on one host: the host's with the first free slot, held while the process lives."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from socket import gethostname

import pytest

from streams.adapters.instance import InstanceUnavailable, instance

HOLDER = """
import os, sys
from streams.adapters.instance import instance
with instance(sys.argv[1], os.environ) as name:
    print(name, flush=True)
    sys.stdin.read()
"""


def environment(folder: Path) -> Mapping[str, str]:
    return {"STREAMS_LOCKS": str(folder / "locks")}


def test_a_given_name_is_taken_as_it_is_and_needs_no_lock(tmp_path: Path) -> None:
    with instance("router", {**environment(tmp_path), "STREAMS_INSTANCE": "router-7"}) as name:
        assert name == "router-7"
    assert not (tmp_path / "locks").exists()


def test_the_first_process_of_a_host_is_called_as_the_host_is_and_the_others_by_their_slot(tmp_path: Path) -> None:
    with ExitStack() as stack:
        names = [stack.enter_context(instance("router", environment(tmp_path))) for _ in range(3)]
    assert names == [gethostname(), f"{gethostname()}~2", f"{gethostname()}~3"]


def test_roles_do_not_take_each_others_slots(tmp_path: Path) -> None:
    with instance("router", environment(tmp_path)), instance("sink-growth", environment(tmp_path)) as name:
        assert name == gethostname()


def test_a_process_that_starts_again_has_its_slot_again_though_others_run(tmp_path: Path) -> None:
    with ExitStack() as stack:
        stack.enter_context(instance("router", environment(tmp_path)))
        with instance("router", environment(tmp_path)) as before:
            stack.enter_context(instance("router", environment(tmp_path)))
        with instance("router", environment(tmp_path)) as after:
            assert after == before


def test_a_slot_of_a_process_that_was_killed_is_free_at_once(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, "router"],
        env=dict(environment(tmp_path)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == gethostname()
        with instance("router", environment(tmp_path)) as beside:
            assert beside == f"{gethostname()}~2"
        holder.kill()
    with instance("router", environment(tmp_path)) as after:
        assert after == gethostname()


def test_a_folder_that_cannot_be_written_is_named_with_what_helps(tmp_path: Path) -> None:
    (tmp_path / "locks").write_text("a file")
    with (
        pytest.raises(InstanceUnavailable, match=r"locks.*STREAMS_LOCKS.*STREAMS_INSTANCE"),
        instance("router", environment(tmp_path)),
    ):
        pass
