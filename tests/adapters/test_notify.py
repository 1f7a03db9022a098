"""Alerts over real HTTP and a real mail server: who is told, once, and what stays out of the log."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from streams.adapters import http, notify
from streams.adapters.notify import Notifications
from streams.config import loads
from streams.config.connector import Notify
from tests.adapters.mail import mail_server, self_signed
from tests.waiting import PATIENCE_SECONDS

SECRET = "hook-4f9a1c"
NOBODY = 1
"""A port that nobody listens on, now or later."""
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")


class Hook(ThreadingHTTPServer):
    """Answers every POST with `status` and, as some servers do, its path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HookHandler)
        self.status = 200
        self.location = ""
        self.paths: list[str] = []
        self.bodies: list[Any] = []

    def url(self, path: str = f"/services/{SECRET}") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class HookHandler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Content-Type"] == "application/json"
        self.server.paths.append(self.path)
        self.server.bodies.append(json.loads(body))
        answer = f"cannot POST {self.path}".encode()
        self.send_response(self.server.status)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer than a keeper would wait."""
    monkeypatch.setattr(notify, "ANSWER_SECONDS_MAX", PATIENCE_SECONDS)
    monkeypatch.setattr(http, "CONNECT_SECONDS_MAX", PATIENCE_SECONDS)


def notifications(**keys: Any) -> Notifications:
    return Notifications("growth", Notify.model_validate(keys))


def smtp(port: int, **keys: Any) -> dict[str, Any]:
    return {"host": "localhost", "port": port, **keys}


def test_with_nothing_configured_nobody_needs_to_be_told() -> None:
    assert notifications().notify("title", "text")


def test_a_webhook_gets_one_json_object_with_title_and_text(hook: Hook) -> None:
    assert notifications(webhook=hook.url()).notify("Credentials of growth refused", "since 03:00")
    assert hook.bodies == [{"text": "Credentials of growth refused\nsince 03:00"}]


def test_words_of_a_destination_call_nobody_in_a_channel(hook: Hook) -> None:
    notifications(webhook=hook.url()).notify("refused", "it said <!channel> & <https://bad.example|click>")
    assert hook.bodies[0]["text"] == "refused\nit said &lt;!channel&gt; &amp; &lt;https://bad.example|click&gt;"


@pytest.mark.parametrize("status", [302, 404, 429, 500])
def test_what_a_webhook_refuses_is_told_by_status_and_without_its_address(hook: Hook, status: int) -> None:
    hook.status, hook.location = status, hook.url("/elsewhere")
    with capture_logs() as lines:
        assert not notifications(webhook=hook.url()).notify("title", "text")
    (line,) = lines
    assert (line["connector"], line["channel"], line["reason"]) == ("growth", "webhook", f"status {status}")
    assert SECRET not in str(lines)
    assert hook.paths == [f"/services/{SECRET}"]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (f"http://127.0.0.1:{NOBODY}/{SECRET}", "no answer"),
        (f"ftp://127.0.0.1/{SECRET}", "http:// or https://"),
        (f"https://[{SECRET}", "must be an address"),
    ],
)
def test_a_webhook_that_cannot_be_reached_fails_and_raises_nothing(address: str, reason: str) -> None:
    told = notifications(webhook=address)
    with capture_logs() as lines:
        assert not told.notify("title", "text")
    assert reason in lines[0]["reason"]
    assert SECRET not in str(lines)


def test_a_swapped_address_is_used_at_the_next_alert(hook: Hook, tmp_path: Path) -> None:
    file = tmp_path / "webhook"
    file.write_text(hook.url("/old"))
    told = notifications(webhook=f"file:{file}")
    told.notify("first", "text")
    file.write_text(hook.url("/new"))
    told.notify("second", "text")
    file.unlink()
    assert not told.notify("third", "text")
    assert hook.paths == ["/old", "/new"]


def test_a_mail_says_title_and_text_and_that_a_program_wrote_it() -> None:
    with mail_server() as server:
        told = notifications(email="night@example.com", smtp=smtp(server.port, sender="streams@example.com"))
        assert told.notify("Credentials\nof growth", "49 letters wait, until 03:00 – then they go")
    (mail,) = server.mails
    assert (mail["Subject"], mail["To"], mail["From"]) == (
        "Credentials of growth",
        "night@example.com",
        "streams@example.com",
    )
    assert mail.get_content().strip() == "49 letters wait, until 03:00 – then they go"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"].endswith("@example.com>")


def test_without_a_sender_a_mail_comes_from_where_it_goes() -> None:
    with mail_server() as server:
        assert notifications(email="night@example.com", smtp=smtp(server.port)).notify("title", "text")
    assert server.mails[0]["From"] == "night@example.com"


def test_a_user_logs_in_with_the_password_as_it_is_now(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("not yet")
    with mail_server(user=("alerts", "swordfish")) as server:
        keys = smtp(server.port, username="alerts", password=f"file:{password}")
        told = notifications(email="night@example.com", smtp=keys)
        with capture_logs() as lines:
            assert not told.notify("title", "text")
        assert lines[0]["reason"] == "SMTPAuthenticationError 535"
        password.write_text("swordfish")
        assert told.notify("title", "text")
    assert len(server.mails) == 1


def test_a_refused_recipient_is_told_by_code_and_without_the_address() -> None:
    with mail_server(refuses_recipients=True) as server, capture_logs() as lines:
        assert not notifications(email="night@example.com", smtp=smtp(server.port)).notify("title", "text")
    assert lines[0]["reason"] == "SMTPRecipientsRefused 550"
    assert "night@" not in str(lines)


def test_a_mail_server_that_is_away_fails_and_raises_nothing() -> None:
    with capture_logs() as lines:
        assert not notifications(email="a@example.com", smtp=smtp(NOBODY)).notify("title", "text")
    assert lines[0]["channel"] == "email"
    assert "no answer" in lines[0]["reason"]


@needs_openssl
def test_where_the_server_offers_tls_the_password_and_the_mail_go_encrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with mail_server(certificate=certificate, user=("alerts", "swordfish")) as server:
        keys = smtp(server.port, username="alerts", password="swordfish")
        assert notifications(email="night@example.com", smtp=keys).notify("title", "text")
    assert server.encrypted == [True]
    assert server.lines.index("STARTTLS") < next(i for i, line in enumerate(server.lines) if line.startswith("AUTH"))


@needs_openssl
def test_on_the_port_of_implicit_tls_the_first_byte_is_encrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with mail_server(certificate=certificate, is_implicit=True) as server:
        # Port 465 needs privileges that tests do not have.
        monkeypatch.setattr(notify, "IMPLICIT_TLS_PORT", server.port)
        assert notifications(email="night@example.com", smtp=smtp(server.port)).notify("title", "text")
    assert server.encrypted == [True]


@needs_openssl
@pytest.mark.parametrize("is_implicit", [False, True])
def test_a_certificate_that_nobody_vouches_for_gets_neither_mail_nor_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_implicit: bool
) -> None:
    certificate = self_signed(tmp_path)
    with mail_server(certificate=certificate, is_implicit=is_implicit, user=("alerts", "swordfish")) as server:
        if is_implicit:
            monkeypatch.setattr(notify, "IMPLICIT_TLS_PORT", server.port)
        keys = smtp(server.port, username="alerts", password="swordfish")
        with capture_logs() as lines:
            assert not notifications(email="night@example.com", smtp=keys).notify("title", "text")
    assert lines[0]["reason"].startswith("TLS: ")
    assert [line for line in server.lines if line.startswith(("AUTH", "MAIL", "mail"))] == []


def test_a_password_leaves_this_machine_encrypted_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    with mail_server(user=("alerts", "swordfish")) as server:
        monkeypatch.setattr(notify, "LOOPBACK", ())  # as if the server were elsewhere
        keys = smtp(server.port, username="alerts", password="swordfish")
        with capture_logs() as lines:
            assert not notifications(email="night@example.com", smtp=keys).notify("title", "text")
    assert "not sent unencrypted" in lines[0]["reason"]
    assert [line for line in server.lines if line.startswith("AUTH")] == []


def test_a_channel_that_took_an_alert_does_not_get_it_again_when_the_other_is_tried_again(hook: Hook) -> None:
    with mail_server() as server:
        hook.status = 503
        told = notifications(webhook=hook.url(), email="night@example.com", smtp=smtp(server.port))
        assert not told.notify("title", "since 03:00")
        assert not told.notify("title", "since 03:00")
        hook.status = 200
        assert told.notify("title", "since 03:00")
        assert told.notify("title", "since 03:00")
        assert (len(hook.bodies), len(server.mails)) == (3, 1)
        assert told.notify("title", "since 04:00")
    assert (len(hook.bodies), len(server.mails)) == (4, 2)


def test_what_was_told_is_remembered_up_to_a_limit(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "REMEMBERED_MAX", 2)
    told = notifications(webhook=hook.url())
    for text in ("first", "second", "third", "third", "first"):
        told.notify("title", text)
    assert [body["text"] for body in hook.bodies] == ["title\nfirst", "title\nsecond", "title\nthird", "title\nfirst"]


def test_mail_reaches_the_contact_by_the_server_that_stands_once_for_all_connectors() -> None:
    with mail_server() as server:
        settings = loads(
            f"""
kafka: {{bootstrap_servers: kafka:9092}}
notify: {{smtp: {{host: localhost, port: {server.port}, sender: streams@example.com}}}}
connectors:
  growth: {{destination: mixpanel, project_token: "{"0" * 32}", contact: growth-team@example.com}}
  cdp:
    destination: mixpanel
    project_token: "{"0" * 32}"
    contact: cdp@example.com
    notify: {{email: night@example.com}}
""",
            {},
        )
        for connector in settings.connectors.values():
            assert Notifications(connector.name, connector.notify).notify("title", "text")
    assert [mail["To"] for mail in server.mails] == ["growth-team@example.com", "night@example.com"]
    assert {mail["From"] for mail in server.mails} == {"streams@example.com"}
