"""The destinations: one line each. A destination is a folder of data and pure functions."""

from __future__ import annotations

from collections.abc import Mapping

from streams.destinations.kind import DestinationKind
from streams.destinations.mixpanel import MIXPANEL
from streams.destinations.mparticle import MPARTICLE

REGISTRY: Mapping[str, DestinationKind] = {kind.name: kind for kind in (MIXPANEL, MPARTICLE)}

__all__ = ["REGISTRY", "DestinationKind"]
