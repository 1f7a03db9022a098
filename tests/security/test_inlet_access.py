"""A storage inlet with exactly the access that is printed for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.testing.brokers import ApacheKafka
from tests.cli.files import opens, write_avro
from tests.inlets.stage import key
from tests.security.authority import Authority, needs_openssl
from tests.security.guarded import GuardedScene

pytestmark = [pytest.mark.apache, needs_openssl]


@pytest.fixture
def scene(guarded: ApacheKafka, certificates: Authority, tmp_path: Path) -> Iterator[GuardedScene]:
    connector = {"destination": "mixpanel", "project_token": "0" * 32}
    (tmp_path / "bucket").mkdir()
    inlet = {"kind": "storage", "url": f"file://{tmp_path}/bucket", "scratch": f"{tmp_path}/scratch", "poll": "5s"}
    scene = GuardedScene(guarded, certificates, tmp_path, {"one": connector}, inlets={"bucket": inlet})
    command = [sys.executable, "-m", "streams", "topics", "apply", "--config", str(scene.config)]
    subprocess.run(command, check=True, capture_output=True, timeout=240)
    yield scene
    scene.end()


def test_what_is_printed_is_enough_and_each_of_it_is_asked_for(scene: GuardedScene, tmp_path: Path) -> None:
    write_avro(tmp_path / "bucket" / key("a.avro"), opens(50))
    user = scene.as_role("inlets")
    scene.start(user, "ingest")
    # The topic of the audit is written only where a person orders something.
    wanted = [
        (grant, operation)
        for grant in scene.access["inlets"]
        for operation in grant["operations"]
        if grant["name"] != scene.settings.topics.audit
    ]

    def unasked() -> list[tuple[str, str]]:
        asked = scene.guard.asked(user)
        return [
            (operation, grant["name"])
            for grant, operation in wanted
            if not any(one.is_covered_by(grant, operation) for one in asked)
        ]

    scene.wait_until(lambda: not unasked(), "each right to be asked for")
    assert [one for one in scene.guard.asked(user) if not one.is_allowed] == []
