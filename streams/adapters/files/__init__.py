"""Files: Currents events, exported dead letters."""
