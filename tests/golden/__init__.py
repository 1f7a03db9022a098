"""Golden files: for every mapped event type a Currents event and exactly what goes out for it."""
