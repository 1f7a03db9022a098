"""Is the configuration right? Asks nobody outside this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from streams.config import ConfigurationError, Problem, Settings, load
from streams.config.kafka import ClientConfig
from streams.config.warnings import warnings


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found. `settings` is None where there are problems that hide them."""

    settings: Settings | None
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def checked(path: Path, option_problem: Callable[[ClientConfig], str | None]) -> Checked:
    """Read the file and gather every problem. `option_problem` says what the Kafka client has against its options."""
    try:
        settings = load(path)
    except ConfigurationError as error:
        return Checked(None, error.problems, ())
    reason = option_problem(settings.kafka.client_config("streams-config-check"))
    problems = (Problem("kafka.options", reason),) if reason else ()
    return Checked(settings, problems, warnings(settings))
