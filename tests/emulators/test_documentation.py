"""docs/emulators.md names every option, control call and fault field, and its examples are accepted."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from streams.emulators.braze.options import BrazeOptions, RestKey
from streams.emulators.faults import Fault
from streams.emulators.mixpanel.options import MixpanelOptions, Project
from streams.emulators.mparticle.options import Input, MParticleOptions
from streams.testing.emulators import BrazeEmulator, ControlError, EmulatorClient, MixpanelEmulator, MParticleEmulator

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "emulators.md").read_text()
CALLS = re.findall(r"`GET(?:`, `[A-Z`, ]+)? /_emulator/(\w+)`", PAGE)


def names(model: type[BaseModel], prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found += names(inner, f"{prefix}{name}.")
        else:
            found.append(f"{prefix}{name}")
    return found


@pytest.mark.parametrize("model", [MixpanelOptions, MParticleOptions, BrazeOptions, Fault, Project, Input, RestKey])
def test_every_option_and_every_field_of_a_fault_is_on_the_page(model: type[BaseModel]) -> None:
    assert [name for name in names(model) if f"`{name}`" not in PAGE] == []


def test_the_calls_on_the_page_are_the_calls_there_are(
    mixpanel: MixpanelEmulator, mparticle: MParticleEmulator, braze: BrazeEmulator
) -> None:
    assert len(CALLS) >= 12

    def is_answered(emulator: EmulatorClient, name: str) -> bool:
        try:
            emulator.call("GET", name)
        except ControlError:
            return False
        return True

    not_mixpanel = {"dropped", "repeated_messages", "repeated", "outputs", "audiences"}
    not_mparticle = {"compacted", "syncs", "cohorts", "repeated"}
    not_braze = {"compacted", "syncs", "outgoing", "dropped", "repeated_messages", "outputs", "audiences"}
    assert {name for name in CALLS if not is_answered(mixpanel, name)} == not_mixpanel
    assert {name for name in CALLS if not is_answered(mparticle, name)} == not_mparticle
    assert {name for name in CALLS if not is_answered(braze, name)} == not_braze


def test_the_script_on_the_page_is_taken(mparticle: MParticleEmulator) -> None:
    (script,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    mparticle.call("POST", "faults", json.loads(script))
    assert len(mparticle.faults()) == 7


def test_the_token_on_the_page_is_the_one_that_the_emulator_knows(mixpanel: MixpanelEmulator) -> None:
    assert mixpanel.project_token in PAGE
