"""The whole way on a real broker: Currents topics, router, sinks, emulated vendors over real HTTP."""
