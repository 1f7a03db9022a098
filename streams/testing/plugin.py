"""The pytest plugin: fixture `kafka`, marker `apache`, and the emulators' fixtures.

The broker is chosen once the tests are known, and only if one of them asks for it; which one and why stands in the
summary, with the count of what it kept from running. Under pytest-xdist the workers share one broker. Imports stay
light: every pytest run loads this module where the package is installed. What the fixtures need is imported once the
tests are known, before the first of them runs: see `_import_early`.
"""

from __future__ import annotations

import gc
import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from streams.testing.brokers import Broker
    from streams.testing.emulators import BrazeEmulator, MixpanelEmulator, MParticleEmulator

SKIPPED = "needs a better broker: "
"""How the reason of each skip of ours begins; the summary counts by it."""
BROKER = "streams_broker"
ATTEMPTS = 2
"""How often the broker of a run is started before the run ends: once may be bad luck."""
MODULES = {
    "kafka": ("streams.testing.brokers", "streams.testing.shared_broker"),
    "mixpanel": ("streams.testing.emulators",),
    "mparticle": ("streams.testing.emulators",),
    "braze": ("streams.testing.emulators",),
}
"""What each fixture imports."""

_chosen = pytest.StashKey["Broker | str"]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kafka: needs a broker of any kind")
    config.addinivalue_line("markers", "apache: proves a claim that holds on Apache Kafka only")


def pytest_collection_finish(session: pytest.Session) -> None:
    _import_early({name for item in session.items for name in getattr(item, "fixturenames", ())})
    # Here and not in the fixture: the first choice on a machine may download Kafka, which no test's timeout allows for.
    if not session.config.option.collectonly and any(_needs_broker(item) for item in session.items):
        _choice(session.config)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if not _needs_broker(item):
        return
    choice = _choice(item.config)
    item.user_properties.append((BROKER, str(choice)))
    if isinstance(choice, str):
        _cannot_run(choice)
    elif item.get_closest_marker("apache") is not None and not choice.is_apache:
        _cannot_run(f"Apache Kafka, not {choice}")


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that all tests of the run share: take topic and group names of your own."""
    from streams.testing.shared_broker import shared

    choice = _choice(request.config)
    if isinstance(choice, str):
        _cannot_run(choice)
    broker: Callable[[], AbstractContextManager[Broker]]
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        broker = partial(shared, choice, Path(tmp_path_factory.getbasetemp().parent), worker)
    else:
        broker = partial(_itself, choice)
    with ExitStack() as stack:
        yield _entered(stack, broker, request.session)


@pytest.fixture(scope="session")
def _mixpanel_emulator() -> Iterator[MixpanelEmulator]:
    from streams.testing.emulators import MixpanelEmulator

    with MixpanelEmulator() as emulator:
        yield emulator


@pytest.fixture
def mixpanel(_mixpanel_emulator: MixpanelEmulator) -> MixpanelEmulator:
    """An emulated Mixpanel, empty at the start of each test."""
    _mixpanel_emulator.reset()
    return _mixpanel_emulator


@pytest.fixture(scope="session")
def _mparticle_emulator() -> Iterator[MParticleEmulator]:
    from streams.testing.emulators import MParticleEmulator

    with MParticleEmulator() as emulator:
        yield emulator


@pytest.fixture
def mparticle(_mparticle_emulator: MParticleEmulator) -> MParticleEmulator:
    """An emulated mParticle, empty at the start of each test."""
    _mparticle_emulator.reset()
    return _mparticle_emulator


@pytest.fixture(scope="session")
def _braze_emulator() -> Iterator[BrazeEmulator]:
    from streams.testing.emulators import BrazeEmulator

    with BrazeEmulator() as emulator:
        yield emulator


@pytest.fixture
def braze(_braze_emulator: BrazeEmulator) -> BrazeEmulator:
    """An emulated Braze, empty at the start of each test."""
    _braze_emulator.reset()
    return _braze_emulator


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for kind in terminalreporter.stats.values() for report in kind if hasattr(report, "when")]
    used = {text for report in reports for name, text in getattr(report, "user_properties", ()) if name == BROKER}
    skipped = sum(
        report.skipped and isinstance(report.longrepr, tuple) and SKIPPED in report.longrepr[2] for report in reports
    )
    for text in sorted(used):
        terminalreporter.section(f"broker: {text}", sep="-")
    if skipped:
        terminalreporter.write_line(
            f"{skipped} tests were SKIPPED because this broker cannot prove them (REQUIRE_BROKER=apache fails instead)"
        )


def _import_early(fixtures: set[str]) -> None:
    """Import what these fixtures need: in the main thread, with no garbage collection in between.

    pytest parses each of our modules for its assertions where there is no byte code of it yet. CPython 3.11 counts the
    depth of what it parses in one place for the whole process. If a finalizer runs in the middle and formats a
    traceback, or lets another thread parse, the count is wrong and the import ends with `SystemError: AST constructor
    recursion depth mismatch`. Once the tests run there may be such threads and such garbage.
    """
    modules = {module for fixture in fixtures for module in MODULES.get(fixture, ())}
    was_on = gc.isenabled()
    gc.disable()
    try:
        for module in sorted(modules):
            importlib.import_module(module)
    finally:
        if was_on:
            gc.enable()


def _entered(stack: ExitStack, broker: Callable[[], AbstractContextManager[Broker]], session: pytest.Session) -> Broker:
    """The broker, started. What cannot be started ends the run with one sentence.

    pytest keeps the failure of a session's fixture: each later test would fail with it again.
    """
    problem: Exception | None = None
    for _ in range(ATTEMPTS):
        try:
            return stack.enter_context(broker())
        except Exception as error:  # each kind of broker has its own, and the last one is told
            problem = error
    sentence = f"the run ends here: its broker could not be started in {ATTEMPTS} attempts: {problem!r}"
    session.shouldstop = sentence
    pytest.fail(sentence, pytrace=False)


def _itself(broker: Broker) -> AbstractContextManager[Broker]:
    return broker


def _needs_broker(item: pytest.Item) -> bool:
    return "kafka" in getattr(item, "fixturenames", ()) or item.get_closest_marker("apache") is not None


def _choice(config: pytest.Config) -> Broker | str:
    """The broker, or why there is none."""
    if _chosen not in config.stash:
        from streams.testing.brokers import NoBroker, choose

        try:
            config.stash[_chosen] = choose()
        except NoBroker as problem:
            config.stash[_chosen] = str(problem)
    return config.stash[_chosen]


def _cannot_run(reason: str) -> NoReturn:
    if os.environ.get("REQUIRE_BROKER"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(SKIPPED + reason)
