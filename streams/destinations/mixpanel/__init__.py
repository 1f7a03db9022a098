"""Mixpanel, by its import API."""

from __future__ import annotations

from streams.destinations.kind import DestinationKind
from streams.destinations.mixpanel.destination import MixpanelDestination
from streams.destinations.mixpanel.mapping import EVENTS
from streams.destinations.mixpanel.settings import MixpanelSettings
from streams.values import Secret


def _example() -> MixpanelSettings:
    return MixpanelSettings(project_token=Secret("0123456789abcdef0123456789abcdef"))


MIXPANEL = DestinationKind(
    "mixpanel", MixpanelSettings, MixpanelDestination, EVENTS, _example, private=MixpanelDestination
)
