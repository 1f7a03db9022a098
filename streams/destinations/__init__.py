"""The destinations: one line each. A destination is a folder of data and pure functions.

Those of other packages are found by their entry points (`streams.destinations.outside`).
"""

from __future__ import annotations

from collections.abc import Mapping

from streams.destinations.kind import DestinationKind
from streams.destinations.mixpanel import MIXPANEL
from streams.destinations.mparticle import MPARTICLE
from streams.destinations.outside import find

OWN: Mapping[str, DestinationKind] = {kind.name: kind for kind in (MIXPANEL, MPARTICLE)}
_OUTSIDE = find(OWN)
REGISTRY: Mapping[str, DestinationKind] = {**OWN, **_OUTSIDE.kinds}
BROKEN: Mapping[str, str] = {name: why for name, why in _OUTSIDE.broken.items() if name not in OWN}
"""Why destinations that other packages register cannot be used."""

__all__ = ["BROKEN", "OWN", "REGISTRY", "DestinationKind"]
