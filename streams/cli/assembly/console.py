"""Builds the console from settings: its look at Kafka, the threads that ask it, and the server before them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import structlog

from streams.adapters.clock import SystemClock
from streams.adapters.kafka.journal import StateJournal
from streams.adapters.kafka.shared_journal import SharedJournal
from streams.cli.assembly.installation import connect
from streams.cli.errors import CommandError, ExitCode
from streams.config import Settings
from streams.operations.installation import Installation
from streams.ports.pulse import Pulse
from streams.web.connections import Connections
from streams.web.console.application import ConsoleApplication
from streams.web.console.client_threads import ClientThreads
from streams.web.console.desk import Desk
from streams.web.console.history import History
from streams.web.console.live import Live
from streams.web.console.pages import ROUTES
from streams.web.console.sessions import Sessions
from streams.web.console.watch import Watch
from streams.web.console.works import Works
from streams.web.listener import TrackingServer
from streams.web.server import HttpServer, PortTaken
from streams.web.tls import Certificate, CertificateUnusable

log = structlog.get_logger(__name__)

CONNECTIONS_MAX = 128
BACKLOG = 128
STOP_SECONDS = 2.0
"""For answers that are on their way when the console ends."""
FIRST_LOOK_SECONDS_MAX = 4.0
"""Where Kafka answers, the first page has something to show; where it does not, pages say so a little later."""


@contextmanager
def console(settings: Settings, user: str, pulse: Pulse) -> Iterator[str]:
    """The console's address; it is served meanwhile. `user` acts where there is no `auth`.

    It starts whether or not Kafka answers: pages say what is wrong. Raises `CommandError`.
    """
    _require_secrets(settings)
    clock = SystemClock()
    journal = SharedJournal(lambda: _journal(settings))

    def opened(client_id: str) -> Installation:
        return replace(connect(settings, client_id), open_journal=journal.open)

    live = Live()
    history = History(settings.console.history)
    watch = Watch(settings, opened, clock, history)
    threads = ClientThreads(opened, clock)
    works = Works(clock.epoch_ms, live.changed)
    desk = Desk(settings, watch, threads, works, history, clock, live.changed)
    watch.on_look(live.changed)
    watch.on_look(lambda: pulse.beat("console"))
    watch.asked()
    watch.start()
    try:
        watch.first_look.wait(FIRST_LOOK_SECONDS_MAX)
        application = ConsoleApplication(desk, ROUTES, Sessions(settings.console, user, clock), live)
        server = _listening(settings, application)
        live.bind(server.loop)
        try:
            pulse.joined()
            yield _address(settings, server.port)
        finally:
            live.close()
            server.close()
    finally:
        works.leave_all()
        watch.close()
        threads.close()
        journal.close()


def on_free_port(settings: Settings) -> Settings:
    """The settings, with any free port if theirs is taken now."""
    with socket.socket() as probe:
        try:
            probe.bind((settings.console.host, settings.console.port))
        except OSError:
            return on_port(settings, 0)
    return settings


def on_port(settings: Settings, port: int | None) -> Settings:
    """The settings, with another port where one is given."""
    if port is None:
        return settings
    return replace(settings, console=settings.console.model_copy(update={"port": port}))


def _journal(settings: Settings) -> StateJournal:
    client_id = "streams-console-state"
    options = {**settings.kafka.client_config(client_id), "log_level": 0}
    return StateJournal(options, settings.topics.state, client_id)


def _require_secrets(settings: Settings) -> None:
    """Every secret of the console can be read now. Raises `CommandError`."""
    auth = settings.console.auth
    if auth is None:
        return
    named = {f"tokens.{name}": secret for name, secret in (auth.tokens or {}).items()}
    if auth.proxy is not None:
        named["proxy.secret"] = auth.proxy.secret
    for place, secret in named.items():
        try:
            secret.reveal()
        except ValueError as error:
            raise CommandError(f"console.auth.{place}: {error}", ExitCode.USAGE) from None


def _listening(settings: Settings, application: ConsoleApplication) -> HttpServer:
    wanted = settings.console
    try:
        context = Certificate(*wanted.tls.files).context if wanted.tls else None
    except CertificateUnusable as error:
        raise CommandError(f"console.tls: {error}", ExitCode.USAGE) from error

    def make() -> TrackingServer:
        return Connections(application.answer, CONNECTIONS_MAX)

    try:
        server = HttpServer(
            "console", wanted.host, wanted.port, make, backlog=BACKLOG, stop_seconds=STOP_SECONDS, tls=context
        )
    except PortTaken as error:
        raise CommandError(f"{error}; give another console.port, or 0 for any", ExitCode.USAGE) from error
    log.info("console listening", host=wanted.host, port=server.port, write=wanted.write, reveal=wanted.reveal)
    return server


def _address(settings: Settings, port: int) -> str:
    wanted = settings.console
    if wanted.public_url:
        return wanted.public_url
    host = f"[{wanted.host}]" if ":" in wanted.host else wanted.host
    return f"{'https' if wanted.tls else 'http'}://{host}:{port}/"
