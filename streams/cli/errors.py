"""The one place that turns known errors into a message on stderr and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import IntEnum
from functools import wraps
from typing import ParamSpec

import typer

Parameters = ParamSpec("Parameters")


class ExitCode(IntEnum):
    """What a command's exit code says."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    """Usage or bad configuration."""
    NOTHING_MATCHED = 3
    CREDENTIALS = 4
    UNREACHABLE = 5
    """Kafka or a destination does not answer."""
    PARTLY_DONE = 6
    PLAN_STALE = 7
    FENCED = 8
    """Another process with the same name took this one's place."""
    FAULT = 9
    """A fault of the program."""
    CLIENT_FATAL = 10
    """Kafka refuses what the client was set to, or its client cannot go on."""
    STATE_TOO_NEW = 11
    """A newer version wrote the state: this process must be upgraded."""
    INTERRUPTED = 130


class CommandError(Exception):
    """A command cannot go on; the message names what, where and the fix."""

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def translated(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """The command, with known errors as a message on stderr and their exit code, and no traceback."""

    @wraps(command)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        from streams.config import ConfigurationError
        from streams.delivery.account import MetadataError
        from streams.operations.errors import BadRequest, NothingMatched, OperationError, PlanStale
        from streams.operations.verification import TooBusy
        from streams.ports.errors import AccessDenied, KafkaRefusal, KafkaUnreachable, SchemasUnavailable
        from streams.state.records import StateError, StateTooNew

        _log_to_stderr()
        try:
            command(*args, **kwargs)
        except CommandError as error:
            _leave(str(error), error.exit_code)
        except ConfigurationError as error:
            place = f"{error.file}: " if error.file else ""
            _leave("\n".join(f"{place}{problem}" for problem in error.problems), ExitCode.USAGE)
        except BadRequest as error:
            options = ", ".join(f"--{field}" for field in error.fields)
            _leave(f"{options}: {error}" if options else str(error), ExitCode.USAGE)
        except PlanStale as error:
            _leave(str(error), ExitCode.PLAN_STALE)
        except NothingMatched as error:
            _leave(str(error), ExitCode.NOTHING_MATCHED)
        except KafkaUnreachable as error:
            _leave(str(error), ExitCode.UNREACHABLE)
        except SchemasUnavailable as error:
            _leave(f"nothing was done: the schema registry does not answer: {error}", ExitCode.UNREACHABLE)
        except StateTooNew as error:
            _leave(str(error), ExitCode.STATE_TOO_NEW)
        except (AccessDenied, KafkaRefusal, MetadataError, OperationError, StateError, TooBusy) as error:
            _leave(str(error), ExitCode.FAILED)

    return run


def _log_to_stderr() -> None:
    """Stdout is the command's answer; `run` sets up its own log."""
    import structlog

    from streams.adapters.telemetry.log import configure_log

    if not structlog.is_configured():
        configure_log("human", "warning")


def _leave(message: str, exit_code: ExitCode) -> None:
    print(f"streams: {message}", file=sys.stderr)
    raise typer.Exit(exit_code) from None
