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
        _log_to_stderr()
        try:
            command(*args, **kwargs)
        except CommandError as error:
            _leave(str(error), error.exit_code)
        except Exception as error:  # known ones end the command; all others go on
            exit_code = next((code for kind, code in _known_errors() if isinstance(error, kind)), None)
            if exit_code is None:
                raise
            _leave(_message(error), exit_code)

    return run


def _known_errors() -> tuple[tuple[type[Exception], ExitCode], ...]:
    """What a command may end with; the first row that fits counts. Imported here, for `--help` needs none of it."""
    from streams.config import ConfigurationError
    from streams.delivery.metadata import MetadataError
    from streams.operations.errors import BadRequest, NothingMatched, OperationError, PlanStale
    from streams.operations.verification import TooBusy
    from streams.ports import errors as ports
    from streams.state.records import StateError, StateTooNew

    return (
        (ConfigurationError, ExitCode.USAGE),
        (BadRequest, ExitCode.USAGE),
        (PlanStale, ExitCode.PLAN_STALE),
        (NothingMatched, ExitCode.NOTHING_MATCHED),
        (ports.KafkaUnreachable, ExitCode.UNREACHABLE),
        (ports.SchemasUnavailable, ExitCode.UNREACHABLE),
        (ports.StoreForbidden, ExitCode.CREDENTIALS),
        (ports.StoreUnavailable, ExitCode.UNREACHABLE),
        (StateTooNew, ExitCode.STATE_TOO_NEW),
        (ports.AccessDenied, ExitCode.FAILED),
        (ports.KafkaRefusal, ExitCode.FAILED),
        (MetadataError, ExitCode.FAILED),
        (OperationError, ExitCode.FAILED),
        (StateError, ExitCode.FAILED),
        (TooBusy, ExitCode.FAILED),
    )


def _message(error: Exception) -> str:
    """What the error says, with its place in the file or its options."""
    from streams.config import ConfigurationError
    from streams.operations.errors import BadRequest
    from streams.ports.errors import SchemasUnavailable

    match error:
        case ConfigurationError():
            place = f"{error.file}: " if error.file else ""
            return "\n".join(f"{place}{problem}" for problem in error.problems)
        case BadRequest():
            options = ", ".join(f"--{field}" for field in error.fields)
            return f"{options}: {error}" if options else str(error)
        case SchemasUnavailable():
            return f"nothing was done: the schema registry does not answer: {error}"
        case _:
            return str(error)


def _log_to_stderr() -> None:
    """Stdout is the command's answer; `run` sets up its own log."""
    _import_without_rich()
    import structlog

    from streams.adapters.telemetry.log import configure_log

    if not structlog.is_configured():
        configure_log("human", "warning")


def _import_without_rich() -> None:
    """structlog imports rich where it finds it, for tracebacks that our log never draws; it works without.

    The first import decides, so this comes before any module of ours that logs. Later imports of rich find it.
    """
    if "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # so Python knows that a module is not there
    try:
        import structlog  # noqa: F401 - for its effect
    finally:
        del sys.modules["rich"]


def _leave(message: str, exit_code: ExitCode) -> None:
    print(f"streams: {message}", file=sys.stderr)
    raise typer.Exit(exit_code) from None
