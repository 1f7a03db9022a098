"""mParticle's Events API, emulated."""
