"""Checks the configuration. Makes no connection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from streams.config import ConfigurationError, Problem, Settings, load
from streams.config.kafka import ClientConfig, Kafka
from streams.config.loader import readable_options
from streams.config.warnings import schema_problems, warnings

OptionProblem = Callable[[ClientConfig, Literal["classic", "consumer"]], str | None]
"""Why the Kafka client refuses options, with this group protocol."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The result. `settings` is None if problems make them unusable."""

    settings: Settings | None
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def checked(path: Path, option_problem: OptionProblem, *, reads_secrets: bool = True) -> Checked:
    """Read the file and collect all problems.

    Without `reads_secrets`, missing secrets are not reported, and options that contain them are not checked.
    """
    try:
        settings = load(path, reads_secrets=reads_secrets)
    except ConfigurationError as error:
        kafka = readable_options(path, reads_secrets=reads_secrets)
        options = () if kafka is None else _option_problems(kafka, option_problem, reads_secrets)
        return Checked(None, (*error.problems, *options), ())
    problems = (*schema_problems(settings), *_option_problems(settings.kafka, option_problem, reads_secrets))
    return Checked(settings, problems, warnings(settings))


def _option_problems(kafka: Kafka, option_problem: OptionProblem, reads_secrets: bool) -> tuple[Problem, ...]:
    try:
        reason = option_problem(kafka.client_config("streams-config-check"), kafka.group_protocol)
    except ConfigurationError as error:
        return error.problems if reads_secrets else ()
    return (Problem("kafka.options", reason),) if reason else ()
