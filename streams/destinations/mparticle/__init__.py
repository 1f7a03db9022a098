"""mParticle, by its Events API."""

from __future__ import annotations

from streams.destinations.kind import DestinationKind
from streams.destinations.mparticle.destination import MParticleDestination
from streams.destinations.mparticle.mapping import EVENTS
from streams.destinations.mparticle.settings import FEEDS, FeedCredentials, MParticleSettings
from streams.values import Secret


def _example() -> MParticleSettings:
    pairs = {feed: FeedCredentials(key=Secret(f"{feed}-key"), secret=Secret(f"{feed}-secret")) for feed in FEEDS}
    return MParticleSettings(feeds=pairs)


MPARTICLE = DestinationKind(
    "mparticle", MParticleSettings, MParticleDestination, EVENTS, _example, private=MParticleDestination
)
