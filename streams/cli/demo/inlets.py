"""The story of the inlets in under a minute: Braze writes files into a bucket, here a folder, and sends events over
HTTP. One file is damaged until Braze writes it again, and a token is rotated; every event arrives, the last one too."""

from __future__ import annotations

import io
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import fastavro

from streams.cli.demo.acts import Story
from streams.cli.demo.stage import MIXPANEL, MPARTICLE
from streams.delivery.account import Account
from streams.emulators.braze.currents import CurrentsConnector
from streams.emulators.braze.currents_post import body_of, post
from streams.events.custom_http.samples import sample_posts
from streams.events.samples import sample_events
from streams.events.schemas import shipped
from streams.testing.processes import free_port

BUCKET, FEED = "braze-bucket", "braze-http"
OLD_TOKEN, NEW_TOKEN = "first-token-of-the-demonstration", "second-token-of-the-demonstration"
TYPES = ("users.messages.email.Send", "users.messages.email.Open", "users.behaviors.CustomEvent")
FILE_RECORDS = 150
BATCH_EVENTS = 20
FEED_EVENTS = 2_000
"""More than the story takes; what is left is not sent."""
ANSWER_SECONDS_MAX = 10.0


class InletsStory(Story):
    """`run` plays it, `result` is its account."""

    def _play(self) -> None:
        self._sends = iter(())
        for event_type in TYPES:
            self._write_file(event_type)
        self._tell(f"Braze writes {len(TYPES)} files of {FILE_RECORDS} events into the bucket")
        self._until(lambda _: self._has_read_all(), "they are on Kafka")
        self._until(lambda _: self._is_listening(), "the receiver listens")
        self._sends = self._feed()
        self._tell("Braze sends events over HTTP, too")
        self._until(lambda _: self._delivered() >= 5 * BATCH_EVENTS, "events came over HTTP")
        self._write_damaged_file()
        self._write_file(TYPES[0])
        self._tell("Braze writes two more files; one of them ends in the middle of a record")
        self._until(lambda _: self._has_read_all(), "the whole file is on Kafka, and the other one waits")
        (self._folder / "next-token").write_text(NEW_TOKEN)
        self._for(1.0)
        self._token = NEW_TOKEN
        before = self._delivered()
        self._tell("the token is rotated: both are valid, and Braze has the new one")
        self._until(lambda _: self._delivered() >= before + 3 * BATCH_EVENTS, "events came with the new token")
        (self._folder / "token").write_text(f"{NEW_TOKEN}-only")
        self._until(
            lambda _: self._delivered() >= before + 6 * BATCH_EVENTS, "the old token is gone, events still come"
        )
        self._write_damaged_again()
        self._tell("Braze writes the damaged file again, and whole this time")
        self._sends = iter(())
        self._until(lambda _: self._has_read_all(), "all of it is on Kafka")
        self._until(lambda _: self._is_settled(), "everything is settled")
        self._tell(f"files {self._filed:,}, over HTTP {self._delivered():,}: {self._sent:,} events, each once")

    def _status(self, accounts: dict[str, Account]) -> str:
        delivered = ", ".join(f"{name} {totals.delivered:,}" for name, totals in accounts.items())
        return (
            f"  files {self._filed:,}, over HTTP {self._delivered():,}; read {self._read():,}; delivered: {delivered}"
        )

    def _further_problems(self, accounts: dict[str, Account]) -> list[str]:
        """Braze was never refused, and both destinations were offered every event."""
        problems = []
        ledger = self._connector.ledger
        if set(ledger.requests) - {"200"} or ledger.dropped:
            problems.append(f"Braze got other answers than 200: {dict(ledger.requests)}")
        router = self._account_reader.router()
        passed = sum(router.skipped.values()) + router.undecodable
        return problems + [
            f"{name}: {accounts[name].routed:,} of {self._sent:,} events were routed to it"
            for name in (MIXPANEL, MPARTICLE)
            if accounts[name].routed + passed < self._sent - self._unmapped(name)
        ]

    def _unmapped(self, name: str) -> int:
        """Events of types that this destination does not map."""
        mapped = self._settings.connectors[name].event_types
        return sum(count for event_type, count in self._sent_of.items() if event_type not in mapped)

    # Files.

    def _write_file(self, event_type: str) -> None:
        self._place(self._next_name(event_type), self._file(event_type))

    def _write_damaged_file(self) -> None:
        self._damaged = self._next_name(TYPES[1])
        self._whole = self._file(TYPES[1])
        self._count(TYPES[1], -FILE_RECORDS)
        self._place(self._damaged, self._whole[: 2 * len(self._whole) // 3])

    def _write_damaged_again(self) -> None:
        self._count(TYPES[1], FILE_RECORDS)
        self._place(self._damaged, self._whole)

    def _file(self, event_type: str) -> bytes:
        """A file of new events, which are counted."""
        self._files += 1
        schema = shipped().by_event_type(event_type)
        assert schema is not None
        seed = 1_000 * self._source.seed + self._files
        events = sample_events(FILE_RECORDS, seed=seed, now_s=int(time.time()), event_types=[event_type])
        content = io.BytesIO()
        fastavro.writer(content, schema.parsed, [event.record for event in events], codec="deflate")
        self._count(event_type, FILE_RECORDS)
        return content.getvalue()

    def _count(self, event_type: str, records: int) -> None:
        self._filed += records
        self._sent += records
        self._sent_of[event_type] = self._sent_of.get(event_type, 0) + records

    def _next_name(self, event_type: str) -> str:
        hour = datetime.now(UTC).strftime("%Y-%m-%d-%H")
        folder = f"dataexport.prod-01.S3.integration.demo/event_type={event_type}/date={hour}/version=1/prod"
        return f"{folder}/dataexport.S3.integration.demo+0+{self._files:010}.avro"

    def _place(self, name: str, content: bytes) -> None:
        """All at once, as an object store does."""
        path = self._folder / "bucket" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = path.with_suffix(".part")
        hidden.write_bytes(content)
        hidden.replace(path)

    # The feed.

    def _feed(self) -> Iterator[int]:
        """A request at each step; after an answer of 503 the same one again, as Braze does."""
        url = f"http://127.0.0.1:{self._port}/currents/{FEED}"
        while not self._connector.is_over:
            events = self._connector.request()
            delivered = self._delivered()
            self._connector.answered(post(url, self._token, body_of(events)), time.time_ns() // 1_000_000)
            if self._delivered() > delivered:
                self._sent += len(events)
                for event in events:
                    self._sent_of[event["event_type"]] = self._sent_of.get(event["event_type"], 0) + 1
            yield len(events)

    def _delivered(self) -> int:
        return self._connector.ledger.delivered

    def _read(self) -> int:
        return self._account_reader.router().read

    def _has_read_all(self) -> bool:
        return self._read() == self._sent

    def _is_listening(self) -> bool:
        """Whether the receiver answers, whatever it says."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/currents/{FEED}", timeout=ANSWER_SECONDS_MAX):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    # The stage.

    def _emulate(self, stack: ExitStack) -> None:
        super()._emulate(stack)
        self._files = self._filed = 0
        self._sent_of: dict[str, int] = {}
        self._port = free_port()
        self._token = OLD_TOKEN
        self._connector = CurrentsConnector(BATCH_EVENTS)
        self._connector.add(sample_posts(FEED_EVENTS, seed=self._source.seed, now_s=int(time.time())))
        (self._folder / "token").write_text(OLD_TOKEN)
        (self._folder / "next-token").write_text(f"{NEW_TOKEN}-not-yet")
        for name in ("bucket", "scratch"):
            (self._folder / name).mkdir()

    def _commands(self) -> list[list[str]]:
        return [*super()._commands(), ["ingest"], ["receiver"]]

    def _configuration(self, bootstrap_servers: str) -> dict[str, Any]:
        content = super()._configuration(bootstrap_servers)
        content["receiver"] = {"port": self._port}
        content["inlets"] = {
            BUCKET: {
                "kind": "storage",
                "url": f"file://{self._folder / 'bucket'}",
                "poll": "5s",
                "scratch": str(self._folder / "scratch"),
            },
            FEED: {
                "kind": "http",
                "tokens": [f"file:{self._folder / 'token'}", f"file:{self._folder / 'next-token'}"],
            },
        }
        return content
