"""YAML and environment to frozen settings, or every problem at once."""
