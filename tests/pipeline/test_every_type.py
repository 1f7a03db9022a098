"""All event types, end to end: every mapped one arrives with all its fields, every other is counted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from streams.events.catalogue import CATALOGUE
from streams.events.encodings import encode_single_object
from streams.events.samples import sample_record
from streams.events.schemas import shipped
from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator, MParticleEmulator
from tests.chaos.scene import Scene, staged
from tests.pipeline.line import ANALYTICS, CDP, mixpanel_connector, mparticle_connector, running

GOLDEN = Path(__file__).parents[1] / "golden"
SAMPLES = Path(__file__).resolve().parents[2].parent / "shared" / "samples" / "currents-v10"
ADDED_BY_MIXPANEL = {"$import", "$mp_api_endpoint", "$mp_api_timestamp_ms", "mp_processing_time_ms", "ip"}


def golden(destination: str) -> dict[str, dict[str, Any]]:
    """Cases by the id of their event."""
    contents = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((GOLDEN / destination).glob("*.json"))]
    return {
        case["event"]["id"]: {**case, "event_type": content["event_type"]}
        for content in contents
        for case in content["cases"]
    }


@pytest.mark.kafka
@pytest.mark.timeout(360)
def test_every_golden_event_arrives_as_its_golden_payload_and_every_other_type_is_counted(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator, mparticle: MParticleEmulator
) -> None:
    cases = {"mixpanel": golden("mixpanel"), "mparticle": golden("mparticle")}
    connectors = {ANALYTICS: mixpanel_connector(mixpanel), CDP: mparticle_connector(mparticle)}
    unmapped = set(CATALOGUE) - {case["event_type"] for case in cases["mixpanel"].values()}
    with running(kafka, tmp_path, connectors) as line:
        for case in [*cases["mixpanel"].values(), *cases["mparticle"].values()]:
            schema = shipped().by_event_type(case["event_type"])
            assert schema is not None
            line.write(case["event_type"], encode_single_object(schema, case["event"]))
        for event_type in unmapped:
            schema = shipped().by_event_type(event_type)
            assert schema is not None
            line.write(event_type, encode_single_object(schema, sample_record(event_type, Random(1), 1_790_000_000)))
        line.settle()
        counts = line.scene.router_counts()
        assert len(unmapped) == counts.skipped["no_mapping"] == 6
        accounts = {name: line.scene.account(name) for name in connectors}
    arrived = {row["properties"]["$insert_id"]: row for row in mixpanel.unique()}
    for event_id, case in cases["mixpanel"].items():
        sent = {key: item for key, item in case["payload"]["properties"].items() if key != "ip"}
        got = {key: item for key, item in arrived[event_id]["properties"].items() if key not in ADDED_BY_MIXPANEL}
        assert arrived[event_id]["event"] == case["payload"]["event"]
        assert got == sent, case["event_type"]
    batches = {batch["source_request_id"]: batch for batch in mparticle.unique()}
    for event_id, case in cases["mparticle"].items():
        assert batches[event_id] == case["payload"], case["event_type"]
    assert (accounts[ANALYTICS].delivered, dict(accounts[ANALYTICS].parked)) == (len(arrived), {})
    assert accounts[CDP].delivered == len(batches)
    assert mixpanel.retried_400() == []


def ingest(scene: Scene, *options: str) -> None:
    command = [sys.executable, "-m", "streams", "ingest", str(SAMPLES), "--config", str(scene.config), *options]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.kafka
@pytest.mark.timeout(360)
@pytest.mark.skipif(not SAMPLES.is_dir(), reason="Braze's sample files are not beside this repository")
@pytest.mark.parametrize("restamped", [False, True])
def test_brazes_own_samples_add_up_as_they_are_and_arrive_once_restamped(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator, mparticle: MParticleEmulator, restamped: bool
) -> None:
    connectors = {ANALYTICS: mixpanel_connector(mixpanel), CDP: mparticle_connector(mparticle)}
    with staged(kafka.bootstrap_servers, tmp_path, connectors) as scene:
        ingest(scene, *(["--restamp"] if restamped else []))
        for command in (["router"], ["sink", ANALYTICS], ["sink", CDP]):
            scene.process(*command, instance="-".join(command))
        scene.wait_until(lambda: scene.router_counts().read == 94, "94 events to be routed")
        scene.wait_until(lambda: all(scene.account(name).waiting == 0 for name in connectors), "all to be settled")
        counts = scene.router_counts()
        analytics, cdp = scene.account(ANALYTICS), scene.account(CDP)
    assert counts.skipped == {"no_mapping": 6}
    assert (counts.routed[ANALYTICS], counts.routed[CDP]) == (88, 77)
    assert cdp.delivered == 77
    if restamped:
        assert analytics.delivered == len(mixpanel.unique()) == 88
        assert len(mparticle.unique()) == 77
    else:
        # All lie in 2034 and share one id: Mixpanel refuses them by name, mParticle keeps one per key.
        assert dict(analytics.parked) == {"rejected": 88}
        assert mixpanel.unique() == []
        assert 1 <= len(mparticle.unique()) <= len(mparticle.feeds)
