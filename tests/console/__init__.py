"""The console over real HTTP, on a broker."""
