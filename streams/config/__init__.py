"""YAML and environment to frozen settings, or every problem at once."""

from streams.config.connector import Connector
from streams.config.loader import Settings, load, loads
from streams.config.problems import ConfigurationError, Problem

__all__ = ["ConfigurationError", "Connector", "Problem", "Settings", "load", "loads"]
