"""How our own tests run: everything is imported early, and property tests have no deadline.

Brokers and emulators come from our own plugin, which says why imports come early (`_import_early`).
"""

from __future__ import annotations

import gc
import importlib
import pkgutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

import streams
from tests.topics import claims_kept

# Two cores that a broker shares: a slow example is no failure, and no deadline is an assertion about time.
settings.register_profile("streams", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("streams")

# A run that a shell started in its background ignores Ctrl-C, and so would every process that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Iterator[None]:
    """Import every module of ours and of the tests in one thread, and collect no garbage meanwhile."""
    gc.disable()
    try:
        for module in pkgutil.walk_packages(streams.__path__, "streams."):
            # What cannot be imported is told by the tests that need it.
            with suppress(Exception):
                if not module.name.endswith(".__main__"):
                    importlib.import_module(module.name)
        return (yield)
    finally:
        gc.enable()


@pytest.fixture(autouse=True)
def _topics_of_a_test_end_with_it() -> Iterator[None]:
    """The first fixture of each test, so the last to end: no process uses the topics any more."""
    with claims_kept():
        yield


_configure = structlog.configure


def _configure_for_one_test(**settings: Any) -> None:
    """A logger that is kept would keep the level, too."""
    _configure(**{**settings, "cache_logger_on_first_use": False})


pytest.MonkeyPatch().setattr(structlog, "configure", _configure_for_one_test)


@pytest.fixture(autouse=True)
def _a_log_is_set_up_for_one_test() -> Iterator[None]:
    """A command that runs in the process of the tests logs warnings only; the next test may look for other lines."""
    is_set_up, before = structlog.is_configured(), structlog.get_config()
    yield
    if is_set_up:
        structlog.configure(**before)
    else:
        structlog.reset_defaults()


@pytest.hookimpl(tryfirst=True)
def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes that are no text get the argument's name: compressed ones hold the time at which they were made, and every
    worker of a parallel run must collect the same names."""
    return argname if isinstance(val, bytes) and not val.isascii() else None
