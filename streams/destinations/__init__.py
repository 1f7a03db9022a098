"""The destinations: one line each. A destination is a folder of data and pure functions.

Those of other packages are found by their entry points (`streams.destinations.outside`). Each is imported when it is
asked for: most processes serve one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from streams.destinations.kind import DestinationKind
from streams.destinations.outside import Outside, find
from streams.destinations.registered import Kinds, Later, Place

_PLACES = {
    "mixpanel": Place("streams.destinations.mixpanel:MIXPANEL"),
    "mparticle": Place("streams.destinations.mparticle:MPARTICLE"),
    "braze": Place("streams.destinations.braze:BRAZE", is_received=True),
}


@cache
def _outside() -> Outside:
    return find(_PLACES)


OWN: Mapping[str, DestinationKind] = Kinds(_PLACES)
REGISTRY: Mapping[str, DestinationKind] = Kinds(_PLACES, lambda: _outside().kinds)
ROUTED: Mapping[str, DestinationKind] = Kinds(
    {name: place for name, place in _PLACES.items() if not place.is_received},
    lambda: {name: kind for name, kind in _outside().kinds.items() if not kind.is_received},
)
"""Those that events of Currents are routed to."""
BROKEN: Mapping[str, str] = Later(lambda: {name: why for name, why in _outside().broken.items() if name not in _PLACES})
"""Why destinations that other packages register cannot be used."""

__all__ = ["BROKEN", "OWN", "REGISTRY", "ROUTED", "DestinationKind"]
