"""Braze, by `/users/track` and, for partners, its cohort import: the way back."""

from __future__ import annotations

from streams.destinations.braze.destination import BrazeDestination
from streams.destinations.braze.samples import SAMPLES, example
from streams.destinations.braze.settings import BrazeSettings, overlaps
from streams.destinations.kind import DestinationKind

BRAZE = DestinationKind(
    "braze", BrazeSettings, BrazeDestination, {}, example, SAMPLES, overlaps, private=BrazeDestination
)
