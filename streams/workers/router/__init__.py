"""The router: from the Currents topics to the connectors' topics."""
