"""What a process gives its keeper of the account's rate: live traffic keeps half, whatever goes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.cli.assembly.keeper import connector_keeper
from streams.cli.assembly.observation import Observation
from streams.config import load
from streams.delivery.pace import BURST_SECONDS, Share
from streams.ports.pulse import NO_PULSE
from streams.workers.keeper.jobs.jobs import Jobs
from streams.workers.keeper.redrive import Redrive

NOBODY = "127.0.0.1:1"
"""A keeper asks Kafka only once it works."""

MIXPANEL = {"destination": "mixpanel", "events": ["all"], "project_token": "0123456789abcdef0123456789abcdef"}


def shares(folder: Path, **keys: Any) -> tuple[Share, Share, float]:
    """What a redrive and a replay of this connector may take, and the time at which they may."""
    file = folder / "streams.yaml"
    content = {
        "kafka": {"bootstrap_servers": NOBODY, "options": {"log_level": 0}},
        "source": {"topics": ["^currents.+"]},
        "connectors": {"growth": {**MIXPANEL, **keys}},
    }
    file.write_text(yaml.safe_dump(content))
    settings = load(file)
    with connector_keeper(settings, settings.connectors["growth"], "one", Observation(NO_PULSE)) as keeper:
        [redrive] = [duty for duty in keeper._duties if isinstance(duty, Redrive)]
        [jobs] = [duty for duty in keeper._duties if isinstance(duty, Jobs)]
    assert jobs._share is not None
    return redrive._share, jobs._share, 10.0**9


def test_a_redrive_and_a_replay_together_take_half_of_the_rate(tmp_path: Path) -> None:
    redrive, replay, later = shares(tmp_path, rate=100)
    assert redrive.seconds_until(1, later) == 0.0
    redrive.take(500, later)
    debt = 500 - 50 * BURST_SECONDS
    assert replay.seconds_until(1, later) == pytest.approx((debt + 1) / 50)


def test_a_redrive_with_a_rate_of_its_own_takes_from_the_same_half(tmp_path: Path) -> None:
    redrive, replay, later = shares(tmp_path, rate=100, redrive_rate=90)
    redrive.take(500, later)
    assert replay.seconds_until(1, later) == pytest.approx((500 - 50 * BURST_SECONDS + 1) / 50)
    assert redrive.seconds_until(1, later) == pytest.approx((500 - 50 * BURST_SECONDS + 1) / 50)
