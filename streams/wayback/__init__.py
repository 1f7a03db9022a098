"""The way back: what Mixpanel and mParticle tell, as records of our own. Pure; what exists so far: docs/way-back.md."""
