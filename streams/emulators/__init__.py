"""Mixpanel and mParticle as local servers, strict as the real ones, with scripted faults."""
