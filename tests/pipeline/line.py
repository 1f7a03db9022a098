"""A pipeline of real processes between a broker and both emulators, for tests that look at both ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator, MParticleEmulator
from tests.chaos.scene import Scene, staged

ANALYTICS, CDP = "analytics", "cdp"


def mixpanel_connector(mixpanel: MixpanelEmulator, **keys: Any) -> dict[str, Any]:
    common = {"destination": "mixpanel", "events": ["all"], "base_url": mixpanel.base_url}
    return {**common, "project_token": mixpanel.project_token, **keys}


def mparticle_connector(mparticle: MParticleEmulator, **keys: Any) -> dict[str, Any]:
    feeds = {feed: {"key": one.key, "secret": one.secret} for feed, one in mparticle.feeds.items()}
    return {"destination": "mparticle", "events": ["all"], "base_url": mparticle.base_url, "feeds": feeds, **keys}


class Line:
    """A scene with its router and sinks running."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._producer = Producer({"bootstrap.servers": scene.bootstrap_servers, "message.max.bytes": 2_000_000})
        self._topics: set[str] = set()
        self.written = 0
        self.processes = {"router": scene.process("router", instance="router")}
        for name in scene.settings.connectors:
            self.processes[name] = scene.process("sink", name, instance=f"sink-{name}")

    def write(self, event_type: str, value: bytes | None, key: bytes | None = b"user") -> None:
        topic = self.scene.source_prefix + event_type
        if topic not in self._topics:
            self._topics.add(topic)
            self.scene.administration.create_topic(topic, 1, 1, {"max.message.bytes": "2000000"})
        self._producer.produce(topic, value, key)
        self.written += 1

    def flush(self) -> None:
        """Wait until everything that was written is on its topic."""
        assert self._producer.flush(60) == 0

    def settle(self) -> None:
        """Wait until the router has read everything, and no connector has anything waiting."""
        self.flush()
        self.scene.wait_until(lambda: self.scene.router_counts().read >= self.written, "everything to be routed")
        for name in self.scene.settings.connectors:
            self.scene.wait_until(lambda name=name: self.scene.account(name).waiting == 0, f"{name} to settle")  # type: ignore[misc]


@contextmanager
def running(
    broker: Broker, folder: Path, connectors: Mapping[str, Any], source: Mapping[str, Any] | None = None
) -> Iterator[Line]:
    """A line whose processes end with the test."""
    with staged(broker.bootstrap_servers, folder, connectors, source) as scene:
        yield Line(scene)
