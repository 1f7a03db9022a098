"""Braze Currents on your own Kafka: routed per connector, delivered to Mixpanel and mParticle, nothing lost."""

__version__ = "0.1.0"
