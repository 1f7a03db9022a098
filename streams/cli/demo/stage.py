"""The demo's stage: embedded Kafka, emulators, workers, made-up events, and the accounts as they move."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import yaml

from streams.adapters.kafka import clients
from streams.adapters.kafka.admin import Administration
from streams.cli.assembly.installation import connect
from streams.cli.assembly.processes import Workers
from streams.cli.demo.console import beside
from streams.cli.demo.result import Arrived, Result, Written
from streams.cli.errors import CommandError, ExitCode
from streams.cli.output import note
from streams.config import load, topology
from streams.delivery.account import Account
from streams.events.catalogue import CATALOGUE
from streams.events.encodings import encode_single_object
from streams.events.samples import sample_events
from streams.events.schemas import shipped
from streams.operations.accounts import Accounts
from streams.operations.dead_letters.groups import grouped
from streams.state.top import Trouble
from streams.testing.brokers import embedded
from streams.testing.emulators import MixpanelEmulator, MParticleEmulator

if TYPE_CHECKING:
    from rich.table import Table

MIXPANEL, MPARTICLE = "demo-mixpanel", "demo-mparticle"
SETTLE_SECONDS_MAX = 60.0
"""How long what was sent may take to be settled once no more is sent."""
STOPPED_SECONDS_MAX = 3.0
"""The same once somebody stopped the demo, who waits for the terminal."""
LEAVE_SECONDS_MAX = 4.0
"""How long the workers may take to leave: what they hold is thrown away with the broker."""
VIEW_SECONDS = 0.5
LINE_SECONDS = 5.0
ANONYMOUS_SHARE = 0.03
"""Events of users without an external id: Braze sends those to no partner, and neither do we."""
EVENTS_MAX = 10_000_000
"""Bounds a demo that nobody stops."""
AHEAD_EVERY = 400
"""Every so many events one lies two days ahead: Mixpanel refuses it by name, and it becomes a dead letter."""
AHEAD_SECONDS = 2 * 86_400


@dataclass(frozen=True, slots=True)
class Source:
    """What is sent: files, or made-up events at a rate."""

    paths: tuple[Path, ...]
    is_restamped: bool
    events_per_second: float
    seed: int


class Demonstration:
    """One run: `run`, then `result`. As a context manager it starts and ends everything that it needs."""

    def __init__(self, source: Source, seconds_max: float | None, *, is_quiet: bool, has_console: bool = False) -> None:
        self._source = source
        self._has_console = has_console
        self._seconds_max = seconds_max
        self._is_quiet = is_quiet
        self._began = time.monotonic()
        self._first_delivery_seconds: float | None = None
        self._printed_at = self._began
        self._sent = 0
        self._is_cut_short = False
        """Whether it had an end of its own, and was stopped before."""
        self._stack = ExitStack()

    def __enter__(self) -> Demonstration:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="streams-demo-")))
            broker = stack.enter_context(embedded())
            self._folder = folder
            self._emulate(stack)
            config = self._config = folder / "streams.yaml"
            config.write_text(yaml.safe_dump(self._configuration(broker.bootstrap_servers)))
            self._settings = load(config)
            self._administration = Administration(self._settings.kafka.client_config("streams-demo"))
            self._installation = connect(self._settings, "streams-demo")
            self._account_reader = Accounts(self._installation)
            stack.callback(self._account_reader.close)
            self._make_topics()
            self._log_path = folder / "workers.log"
            log_file = stack.enter_context(self._log_path.open("wb"))
            # One port cannot serve three processes, and nobody probes a demonstration.
            environment = {"STREAMS_LOG_LEVEL": "warning", "STREAMS_HTTP_PORT": ""}
            self._workers = Workers(config, self._commands(), environment, stderr=log_file)
            stack.callback(self._workers.stop, LEAVE_SECONDS_MAX)
            if self._has_console:
                note(f"the console is at {stack.enter_context(beside(self._settings))}")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, stop: Event) -> None:
        """Send events and show the accounts until time is up or `stop` is set; then wait until all is settled."""
        with self._view() as show:
            sends = self._sending(stop)
            while not stop.is_set() and not self._is_over():
                tick = time.monotonic()
                if next(sends, None) is None and self._source.paths:
                    break
                show(self._accounts())
                stop.wait(max(0.0, VIEW_SECONDS - (time.monotonic() - tick)))
                self._require_workers()
            self._is_cut_short = stop.is_set() and (self._seconds_max is not None or bool(self._source.paths))
            self._settle(stop, show)

    def _settle(self, stop: Event, show: Callable[[dict[str, Account]], None]) -> None:
        """Wait until everything is settled, for a minute; for seconds once somebody stopped it."""
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        is_cut_short = False
        while time.monotonic() < deadline and not self._is_settled():
            if stop.is_set() and not is_cut_short:
                is_cut_short = True
                deadline = min(deadline, time.monotonic() + STOPPED_SECONDS_MAX)
            show(self._accounts())
            self._require_workers()
            time.sleep(VIEW_SECONDS / 2)
        show(self._accounts())

    def result(self, *, is_stopped: bool = False) -> Result:
        """The accounts, compared with what was sent and with what the emulators took.

        Where somebody stopped it, records under way are a remark, and so is an end that did not come.
        """
        router, accounts = self._account_reader.router(), self._accounts()
        arrived = self._arrived()
        problems, under_way = [], []
        for name, totals in accounts.items():
            if totals.waiting:
                under_way.append(f"{name}: {totals.waiting:,} records wait")
            # Between a destination's answer and the commit an event was taken and does not count as delivered yet.
            if not is_stopped and (problem := arrived[name].problem(totals.delivered)):
                problems.append(f"{name}: {problem}")
        if self._sent != router.read:
            under_way.append(f"{self._sent:,} events were sent, the router read {router.read:,}")
        if self._is_cut_short:
            under_way.append("it was not over yet")
        if is_stopped:
            remarks = tuple(f"stopped: {text}" for text in under_way)
        else:
            remarks = ()
            problems += [*under_way, *self._further_problems(accounts)]
        return Result(
            self._sent,
            router,
            accounts,
            arrived,
            self._first_delivery_seconds,
            tuple(problems),
            remarks,
            self._troubles(accounts),
        )

    def _troubles(self, accounts: dict[str, Account]) -> Mapping[str, Sequence[Trouble]]:
        """Why events of files were parked: who sees nothing arrive has no topics left to look at."""
        if not self._source.paths:
            return {}
        return {
            name: grouped(self._installation, name).troubles()
            for name, totals in accounts.items()
            if sum(totals.parked.values())
        }

    def _arrived(self) -> Mapping[str, Arrived | Written]:
        mixpanel, mparticle = self._mixpanel.totals(), self._mparticle.totals()
        taken = mixpanel["imported"] - mixpanel["ignored"]  # probes are ignored, as they ask for
        is_whole = taken == mixpanel["rows"]
        batches = mparticle["accepted"] + mparticle["duplicates"]
        return {
            MIXPANEL: Arrived(taken, len(self._mixpanel.unique()) if is_whole else None),
            MPARTICLE: Arrived(batches, len(self._mparticle.unique()) if batches == mparticle["rows"] else None),
        }

    def _further_problems(self, _accounts: dict[str, Account]) -> list[str]:
        """What a story must have done, in addition to an account that adds up."""
        return []

    # The stage.

    def _emulate(self, stack: ExitStack) -> None:
        """Start the destinations; they end with the stack."""
        self._mixpanel = stack.enter_context(MixpanelEmulator())
        self._mparticle = stack.enter_context(MParticleEmulator())

    def _commands(self) -> list[list[str]]:
        """The processes, as arguments of `streams run`."""
        return [["router"], ["sink", MIXPANEL], ["sink", MPARTICLE]]

    def _configuration(self, bootstrap_servers: str) -> dict[str, Any]:
        feeds = {
            feed: {"key": credentials.key, "secret": credentials.secret}
            for feed, credentials in self._mparticle.feeds.items()
        }
        return {
            "kafka": {"bootstrap_servers": bootstrap_servers, "topics": {"partitions": 2}},
            "connectors": {
                MIXPANEL: {
                    "destination": "mixpanel",
                    "events": ["all"],
                    "base_url": self._mixpanel.base_url,
                    "project_token": self._mixpanel.project_token,
                },
                MPARTICLE: {
                    "destination": "mparticle",
                    "events": ["all"],
                    "base_url": self._mparticle.base_url,
                    "environment": "development",
                    "feeds": feeds,
                },
            },
        }

    def _make_topics(self) -> None:
        for topic in topology.wanted_topics(self._settings, 1):
            self._administration.create_topic(topic.name, topic.partitions, topic.replication, topic.configuration)
        if not self._source.paths:
            for event_type in CATALOGUE:
                self._administration.create_topic(f"currents.{event_type}", 1, 1, {})

    def _require_workers(self) -> None:
        ended = self._workers.ended()
        if ended is not None:
            command, code = ended
            tail = "\n".join(self._log_path.read_text(errors="replace").splitlines()[-10:])
            raise CommandError(f"`streams run {command}` ended with exit code {code}\n{tail}", ExitCode.FAILED)

    # Sending.

    def _sending(self, stop: Event) -> Iterator[int]:
        if self._source.paths:
            yield from self._send_files(stop)
        else:
            yield from self._send_samples()

    def _send_samples(self) -> Iterator[int]:
        """Made-up events, at each step as many as time asks for."""
        producer = clients.producer({"bootstrap.servers": self._settings.kafka.bootstrap_servers, "linger.ms": 20})
        began = time.monotonic()
        events = sample_events(
            EVENTS_MAX, seed=self._source.seed, now_s=int(time.time()), anonymous_share=ANONYMOUS_SHARE
        )
        while True:
            wanted = int((time.monotonic() - began + VIEW_SECONDS) * self._source.events_per_second)
            for event in (next(events) for _ in range(wanted - self._sent)):
                value = event.value
                if self._sent % AHEAD_EVERY == AHEAD_EVERY - 1:
                    schema = shipped().by_event_type(event.event_type)
                    assert schema is not None
                    ahead = {**event.record, "time": event.record["time"] + AHEAD_SECONDS}
                    value = encode_single_object(schema, ahead)
                producer.produce(f"currents.{event.event_type}", value, event.key)
                producer.poll(0)
                self._sent += 1
            producer.flush(SETTLE_SECONDS_MAX)
            yield self._sent

    def _send_files(self, stop: Event) -> Iterator[int]:
        """Files by `streams ingest`, as a user would."""
        from streams.cli.assembly.ingest import ingest_files
        from streams.operations.ingest.run import Order

        with ingest_files(self._settings, self._source.paths) as work:
            order = Order(restamp=self._source.is_restamped)
            outcome = work.run(work.plan(), order, is_stopped=stop.is_set)
        for failure in outcome.failures:
            print(f"not taken: {failure.file}: {failure.reason}", file=sys.stderr)
        self._sent = outcome.records
        yield self._sent

    # Watching.

    def _accounts(self) -> dict[str, Account]:
        accounts = self._account_reader.of(self._settings.connectors)
        if self._first_delivery_seconds is None and any(totals.delivered for totals in accounts.values()):
            self._first_delivery_seconds = round(time.monotonic() - self._began, 2)
        return accounts

    def _is_settled(self) -> bool:
        is_read = self._account_reader.router().read >= self._sent
        return is_read and not any(totals.waiting for totals in self._accounts().values())

    def _is_over(self) -> bool:
        return self._seconds_max is not None and time.monotonic() - self._began >= self._seconds_max

    @contextmanager
    def _view(self) -> Iterator[Callable[[dict[str, Account]], None]]:
        """A live table on a terminal, else a line now and then, on stderr."""
        if self._is_quiet:
            yield lambda _accounts: None
        elif sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            with Live(console=Console(stderr=True), auto_refresh=False) as live:
                yield lambda accounts: live.update(self._table(accounts), refresh=True)
        else:
            yield self._print_line

    def _table(self, accounts: dict[str, Account]) -> Table:
        from rich.table import Table

        seconds = time.monotonic() - self._began
        table = Table(title=f"{self._sent:,} events sent, {seconds:.0f} s", title_justify="left")
        for column in ("connector", "routed", "delivered", "skipped", "parked", "waiting"):
            table.add_column(column, justify="left" if column == "connector" else "right")
        for name, totals in accounts.items():
            counts = (totals.routed, totals.delivered, sum(totals.skipped.values()), sum(totals.parked.values()))
            table.add_row(name, *(f"{count:,}" for count in (*counts, totals.waiting)))
        return table

    def _print_line(self, accounts: dict[str, Account]) -> None:
        now = time.monotonic()
        if now - self._printed_at < LINE_SECONDS:
            return
        self._printed_at = now
        parts = [
            f"{name}: {totals.delivered:,} delivered, {totals.waiting:,} waiting" for name, totals in accounts.items()
        ]
        print(f"{now - self._began:4.0f} s  {self._sent:,} sent  {'  '.join(parts)}", file=sys.stderr)
