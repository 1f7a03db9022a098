"""The sink: from a connector's topic to its destination."""
