"""How property tests run here. Brokers and emulators come from our own plugin."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Two cores that a broker shares: a slow example is no failure, and no deadline is an assertion about time.
settings.register_profile("streams", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("streams")
