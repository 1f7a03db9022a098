"""Alerts: over HTTP to a server, and on the fake."""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from streams.adapters.notify import Notifications
from streams.config.connector import Notify
from streams.ports.alerts import Notifier
from streams.testing.ports import FakeNotifier


class Channel(ABC):
    """A notifier, and the channel that it tells."""

    notifier: Notifier

    @abstractmethod
    def break_off(self) -> None: ...

    @abstractmethod
    def come_back(self) -> None: ...

    @abstractmethod
    def messages(self) -> list[str]:
        """What the channel took."""


class HookServer(ThreadingHTTPServer):
    """Answers with `status`; what it took with 200 is in `taken`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Hook)
        self.status = 200
        self.taken: list[str] = []


class Hook(BaseHTTPRequestHandler):
    server: HookServer

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if server.status == 200:
            server.taken.append(body["text"])
        self.send_response(server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


class Webhook(Channel):
    def __init__(self) -> None:
        self.server = HookServer()
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        address = f"http://127.0.0.1:{self.server.server_port}/hook"
        self.notifier = Notifications("growth", Notify.model_validate({"webhook": address}))

    def break_off(self) -> None:
        self.server.status = 503

    def come_back(self) -> None:
        self.server.status = 200

    def messages(self) -> list[str]:
        return list(self.server.taken)


class Fake(Channel):
    def __init__(self) -> None:
        self.notifier = self.fake = FakeNotifier()

    def break_off(self) -> None:
        self.fake.is_down = True

    def come_back(self) -> None:
        self.fake.is_down = False

    def messages(self) -> list[str]:
        return [f"{title}\n{text}" for title, text in self.fake.told]


@pytest.fixture(params=["fake", "webhook"])
def channel(request: pytest.FixtureRequest) -> Iterator[Channel]:
    if request.param == "fake":
        yield Fake()
        return
    webhook = Webhook()
    yield webhook
    webhook.server.shutdown()
    webhook.server.server_close()


def test_a_message_that_was_taken_arrives_with_title_and_text(channel: Channel) -> None:
    assert channel.notifier.notify("a title", "a text")
    assert channel.messages() == ["a title\na text"]


def test_a_channel_that_is_down_is_told_by_false_and_gets_the_message_later(channel: Channel) -> None:
    channel.break_off()
    assert not channel.notifier.notify("a title", "a text")
    assert channel.messages() == []
    channel.come_back()
    assert channel.notifier.notify("a title", "a text")
    assert channel.messages() == ["a title\na text"]


def test_a_message_that_was_taken_is_not_sent_again(channel: Channel) -> None:
    for _ in range(2):
        assert channel.notifier.notify("a title", "a text")
    channel.break_off()
    assert channel.notifier.notify("a title", "a text")
    assert channel.messages() == ["a title\na text"]


def test_another_text_is_another_message(channel: Channel) -> None:
    assert channel.notifier.notify("a title", "a text")
    assert channel.notifier.notify("a title", "another text")
    assert channel.messages() == ["a title\na text", "a title\nanother text"]
