"""Everything at once: processes killed, frozen and replaced, a broker restarted, destinations that fail, keys that die.

`make chaos` runs it for long; `SEED`, `ROUNDS` and `PROTOCOL` say which plan, how much of it, on which group protocol.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from streams.config import topology
from streams.emulators.mparticle.options import Limits, MParticleOptions
from streams.testing.brokers import Broker
from streams.testing.emulators import EmulatorClient, MixpanelEmulator, MParticleEmulator
from tests.chaos import plan
from tests.chaos.acting import CONNECTOR_BYTES_MAX, ENTRY, OPEN, PUSH, TYPES, Stagehand, set_configuration
from tests.chaos.checking import Checker, check_source
from tests.chaos.scene import Scene, staged
from tests.chaos.witness import Witness
from tests.registry import Registry

ROUNDS = int(os.environ.get("ROUNDS", "2"))
ACTS = 10 if "ROUNDS" not in os.environ else 30
"""Of a round: few where it is a part of all tests."""
PROTOCOL = os.environ.get("PROTOCOL", "classic")
"""`classic` or `consumer`, as `kafka.group_protocol`."""
SECONDS_MAX = 120 + 240 * ROUNDS
GRACES = {plan.MIXPANEL: 5, plan.MPARTICLE: 8}
"""Seconds. Probes come and clocks may differ by a tenth of it."""


@contextmanager
def destinations() -> Iterator[tuple[dict[str, EmulatorClient], dict[str, Any]]]:
    """Both emulators, and the connectors that deliver to them."""
    limits = Limits(batches_per_second=5_000)
    with (
        MixpanelEmulator(is_process=True) as mixpanel,
        MParticleEmulator(MParticleOptions(limits=limits), is_process=True) as mparticle,
    ):
        feeds = {
            feed: {"key": one.key, "secret": one.secret}
            for feed, one in mparticle.feeds.items()
            if feed in plan.SCOPES[plan.MPARTICLE]
        }
        yield (
            {plan.MIXPANEL: mixpanel, plan.MPARTICLE: mparticle},
            {
                plan.MIXPANEL: {
                    "destination": "mixpanel",
                    "base_url": mixpanel.base_url,
                    "project_token": mixpanel.project_token,
                },
                plan.MPARTICLE: {
                    "destination": "mparticle",
                    "base_url": mparticle.base_url,
                    "feeds": feeds,
                    "rate": 2_000,
                },
            },
        )


@pytest.mark.chaos
@pytest.mark.apache
@pytest.mark.timeout(SECONDS_MAX)
def test_whatever_breaks_every_event_is_delivered_once_or_accounted_for(own_broker: Broker, tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED", time.time_ns() % 1_000_000))
    print(f"\nSEED={seed} ROUNDS={ROUNDS} PROTOCOL={PROTOCOL}", flush=True)
    rounds = plan.draw(seed, ROUNDS, ACTS)
    with ExitStack() as stack:
        clients, connectors = stack.enter_context(destinations())
        for name, connector in connectors.items():
            connector |= {"events": list(TYPES[name]), "grace": f"{GRACES[name]}s", "redrive_rate": 400}
        registry = Registry()
        stack.callback(registry.close)
        source = {"schema_registry": {"url": registry.url}}
        scene = stack.enter_context(staged(own_broker.bootstrap_servers, tmp_path, connectors, source, PROTOCOL))
        for event_type in (OPEN, PUSH, ENTRY):
            scene.administration.create_topic(scene.source_prefix + event_type, 3, 1, {"max.message.bytes": "2000000"})
        smaller = [scene.settings.topics.connector(name) for name in connectors]
        set_configuration(own_broker.bootstrap_servers, smaller, {"max.message.bytes": str(CONNECTOR_BYTES_MAX)})
        witness = Witness(own_broker.bootstrap_servers, our_topics(scene))
        stack.callback(witness.close)
        stagehand = Stagehand(scene, own_broker, clients, registry)
        stack.callback(stagehand.close)
        begun = time.monotonic()
        for number, one in enumerate(rounds, 1):
            try:
                play(stagehand, witness, clients, one)
            except BaseException:
                places = [scene.places(connector) for connector in connectors]
                story = "\n".join(["", str(one), "what was done:", *stagehand.diary, "", *places, scene.logs()])
                print(f"SEED={seed}, round {number} of {ROUNDS}\n{story}", flush=True)
                raise
        summary = {"seed": seed, "rounds": ROUNDS, "seconds": round(time.monotonic() - begun), **stagehand.counts}
        print("\n".join([*stagehand.endings, json.dumps(summary)]), flush=True)


def play(stagehand: Stagehand, witness: Witness, clients: dict[str, EmulatorClient], one: plan.Round) -> None:
    sent_again = {name: len(client.retried_400()) for name, client in clients.items()}
    stagehand.perform(one)
    administration = stagehand.scene.administration
    topics = our_topics(stagehand.scene)
    witness.catch_up(administration.ends([place for topic in topics for place in administration.partitions(topic)]))
    counted: Counter[str] = Counter()
    for name, client in clients.items():
        checker = Checker(stagehand, witness, name, client)
        counted += checker.check(is_calm=one.mood == "calm", sent_again_before=sent_again[name])
    check_source(stagehand, witness)
    stagehand.counts.update({name: count - stagehand.counts[name] for name, count in counted.items()})
    faults = [line for process in stagehand.scene.logs_whole() for line in process.splitlines() if "Traceback" in line]
    assert not faults, "a process ended with a traceback"


def our_topics(scene: Scene) -> dict[str, int]:
    return {topic.name: topic.partitions for topic in topology.wanted_topics(scene.settings, 1)}
