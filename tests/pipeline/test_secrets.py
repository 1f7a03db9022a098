"""Secrets in files, swapped as Kubernetes swaps a mounted Secret: nothing is restarted."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.testing.brokers import Broker
from streams.testing.emulators import MParticleEmulator
from tests.pipeline.line import CDP, mparticle_connector, running
from tests.pipeline.test_answers import OPEN, event

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(360)]


class Mount:
    """A mounted Secret: its keys are links into `..data`, which is itself a link that is swapped in one step."""

    def __init__(self, folder: Path, secret: str) -> None:
        self._folder = folder
        self._version = 0
        folder.mkdir()
        self.swap(secret)
        (folder / "secret").symlink_to(Path("..data") / "secret")

    @property
    def reference(self) -> str:
        """As the configuration names it."""
        return f"file:{self._folder / 'secret'}"

    def swap(self, secret: str) -> None:
        self._version += 1
        data = self._folder / f"..version_{self._version}"
        data.mkdir()
        (data / "secret").write_text(secret + "\n")
        new = self._folder / "..data_tmp"
        new.symlink_to(data.name)
        new.rename(self._folder / "..data")


def test_a_secret_that_is_fixed_in_its_file_brings_everything_out_without_a_restart(
    kafka: Broker, tmp_path: Path, mparticle: MParticleEmulator
) -> None:
    mount = Mount(tmp_path / "mount", mparticle.feeds["unbound"].secret)
    connector = mparticle_connector(mparticle, grace="60s")
    connector["feeds"] = {"unbound": {"key": mparticle.feeds["unbound"].key, "secret": mount.reference}}
    with running(kafka, tmp_path, {CDP: connector}) as line:
        scene = line.scene
        for number in range(20):
            line.write(OPEN, event(f"before-{number}"))
        line.settle()
        mparticle.change_secret("unbound", "rotated-secret")
        for number in range(20):
            line.write(OPEN, event(f"after-{number}"))
        line.flush()
        scene.wait_until(lambda: scene.account(CDP).parked.get("credentials") == 20, "the rest to be parked")
        mount.swap("rotated-secret")
        scene.wait_until(lambda: scene.account(CDP).delivered == 40, "everything to be delivered")
        ids = {batch["source_request_id"] for batch in mparticle.unique()}
        assert {f"{when}-{number}" for when in ("before", "after") for number in range(20)} <= ids
        assert scene.verify(CDP).problems == ()
        assert all(process.is_running() for process in line.processes.values())
