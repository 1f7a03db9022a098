"""A run of chaos: a stage, a plan drawn from a seed, and what is checked after each of its rounds."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from streams.config import topology
from streams.emulators.mparticle.options import Limits, MParticleOptions
from streams.testing.brokers import Broker
from streams.testing.cluster import ApacheCluster
from streams.testing.emulators import EmulatorClient, MixpanelEmulator, MParticleEmulator
from tests.chaos import plan
from tests.chaos.checker import Checker, check_source
from tests.chaos.scene import Scene, staged
from tests.chaos.stagehand import CONNECTOR_BYTES_MAX, TYPES, Stagehand, set_configuration
from tests.chaos.witness import Witness
from tests.registry import Registry

GRACES = {plan.MIXPANEL: 5, plan.MPARTICLE: 8}
"""Seconds. Probes come and clocks may differ by a tenth of it."""
OWN_KEYS: dict[str, dict[str, Any]] = {
    plan.MIXPANEL: {
        "flood_breaker": {"records": plan.FLOOD_RECORDS, "share": plan.FLOOD_SHARE, "window": "20s"},
    },
    plan.MPARTICLE: {"retry": {"give_up_after": f"{plan.GIVE_UP_SECONDS}s"}},
}


def seconds_max(rounds: int) -> int:
    """Time for a run of so many rounds."""
    return 180 + 360 * rounds


def run(broker: Broker, folder: Path, seed: int, rounds: int, acts: int, protocol: str) -> None:
    """Play a seed's rounds, and check after each of them. Prints what was done, and at the end a line of JSON.

    Raises `AssertionError` at the first difference, after the story of its round.
    """
    is_cluster = isinstance(broker, ApacheCluster)
    brokers = plan.BROKERS if is_cluster else 1
    print(f"\nSEED={seed} ROUNDS={rounds} PROTOCOL={protocol} CLUSTER={brokers}", flush=True)
    drawn = plan.draw(seed, rounds, acts, is_cluster=is_cluster)
    with ExitStack() as stack:
        clients, connectors = stack.enter_context(destinations())
        for name, connector in connectors.items():
            connector |= {"events": list(TYPES[name]), "grace": f"{GRACES[name]}s", "redrive_rate": 400}
            connector |= OWN_KEYS[name]
        registry = Registry()
        stack.callback(registry.close)
        source = {"schema_registry": {"url": registry.url}}
        scene = stack.enter_context(staged(broker.bootstrap_servers, folder, connectors, source, protocol, brokers))
        smaller = [scene.settings.topics.connector(name) for name in connectors]
        set_configuration(broker.bootstrap_servers, smaller, {"max.message.bytes": str(CONNECTOR_BYTES_MAX)})
        witness = Witness(broker.bootstrap_servers, our_topics(scene))
        stack.callback(witness.close)
        stagehand = Stagehand(scene, broker, clients, registry)
        stack.callback(stagehand.close)
        begun = time.monotonic()
        for number, one in enumerate(drawn, 1):
            try:
                _play(stagehand, witness, clients, one)
            except BaseException:
                print(f"SEED={seed}, round {number} of {rounds}\n{_story(stagehand, one)}", flush=True)
                raise
        counts = {"seed": seed, "rounds": rounds, "protocol": protocol, "brokers": brokers}
        summary = {**counts, "seconds": round(time.monotonic() - begun), **stagehand.counts}
        print("\n".join([*stagehand.troupe.endings, json.dumps(summary)]), flush=True)


def _story(stagehand: Stagehand, one: plan.Round[plan.Act]) -> str:
    """What was planned and done in a round, and where everybody is now."""
    try:
        places = [stagehand.scene.places(connector) for connector in plan.SCOPES]
    except Exception as error:
        places = [f"places are not known: {error}"]
    return "\n".join(["", str(one), "what was done:", *stagehand.troupe.diary, "", *places, stagehand.scene.logs()])


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


def _play(
    stagehand: Stagehand, witness: Witness, clients: dict[str, EmulatorClient], one: plan.Round[plan.Act]
) -> None:
    sent_again = {name: len(client.retried_400()) for name, client in clients.items()}
    stagehand.perform(one)
    administration = stagehand.scene.administration
    topics = our_topics(stagehand.scene)
    places = [place for topic in topics for place in administration.partitions(topic)]
    # As writers see them: markers of a transaction are written after its commit was answered.
    witness.catch_up(administration.high_watermarks(places))
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
