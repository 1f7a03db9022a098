"""Dead letters: counted, grouped, shown, replayed, purged, exported and imported."""
