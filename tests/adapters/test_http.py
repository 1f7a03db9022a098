"""Requests over real TLS and through a real proxy: whom we trust, which way they go, what is said when they cannot."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.adapters import http
from streams.adapters.http import HttpTransport
from streams.adapters.notify import Notifications
from streams.config.connector import Notify
from streams.config.http import Http
from streams.delivery.contract import NoResponse, Request, Response
from tests.security.authority import Authority, authority, needs_openssl
from tests.security.servers import ProxyServer, Server, serving
from tests.waiting import PATIENCE_SECONDS

PASSWORD = "proxy-password-5e1f"
USER = ("streams", PASSWORD)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that nobody knows may take a busy machine longer than a process would wait."""
    monkeypatch.setattr(http, "CONNECT_SECONDS_MAX", PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def secure(certificates: Authority) -> Iterator[Server]:
    with serving(Server(certificates.context("destination"))) as server:
        yield server


@pytest.fixture
def plain() -> Iterator[Server]:
    with serving(Server()) as server:
        yield server


@pytest.fixture
def proxy() -> Iterator[ProxyServer]:
    with serving(ProxyServer(USER)) as server:
        yield server


def post(url: str, **outgoing: Any) -> Response | NoResponse:
    transport = HttpTransport(Http.model_validate(outgoing), request_seconds_max=PATIENCE_SECONDS)
    try:
        return transport.fetch(Request("POST", url, {"Content-Type": "application/json"}, b"[1]"))
    finally:
        transport.close()


def through(proxy: ProxyServer, **keys: Any) -> dict[str, Any]:
    return {"url": proxy.url, "username": USER[0], "password": PASSWORD, **keys}


@pytest.mark.parametrize(
    ("url", "detail"),
    [
        ("http://127.0.0.1:1/", "no answer: connection refused"),
        ("http://no-such-host.invalid/", "no answer: the host's name is not known"),
    ],
)
def test_a_server_that_cannot_be_reached_is_said_in_words(url: str, detail: str) -> None:
    assert post(url) == NoResponse(detail)


def test_a_connection_that_is_closed_without_an_answer_is_said_in_words() -> None:
    def close_the_first(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=close_the_first, args=(listener,))
        thread.start()
        answer = post(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        thread.join(60.0)
    assert answer == NoResponse("no answer: the connection was closed")


def test_a_proxy_that_does_not_answer_is_named() -> None:
    answer = post("http://destination.test/", proxy={"url": "http://127.0.0.1:1"})
    assert answer == NoResponse("the proxy does not answer: connection refused")


@needs_openssl
def test_a_server_whose_authority_is_unknown_gets_nothing_and_no_retry_fixes_it(secure: Server) -> None:
    answer = post(secure.url)
    assert isinstance(answer, NoResponse)
    assert answer.is_misconfigured
    assert "certificate" in answer.detail
    assert secure.bodies == []


@needs_openssl
def test_an_authority_from_a_file_is_trusted(secure: Server, certificates: Authority) -> None:
    answer = post(secure.url, ca_file=certificates.certificate)
    assert isinstance(answer, Response)
    assert secure.bodies == [b"[1]"]


@needs_openssl
def test_a_trusted_authority_does_not_vouch_for_another_name(secure: Server, certificates: Authority) -> None:
    answer = post(secure.url.replace("127.0.0.1", "127.0.0.2"), ca_file=certificates.certificate)
    assert isinstance(answer, NoResponse)
    assert secure.bodies == []


@needs_openssl
def test_a_tunnel_through_a_proxy_verifies_the_server_behind_it(
    secure: Server, proxy: ProxyServer, certificates: Authority
) -> None:
    untrusted = post(secure.url, proxy=through(proxy))
    assert isinstance(untrusted, NoResponse)
    assert untrusted.is_misconfigured
    assert secure.bodies == []
    assert isinstance(post(secure.url, proxy=through(proxy), ca_file=certificates.certificate), Response)
    assert secure.bodies == [b"[1]"]
    address = secure.url.removeprefix("https://")
    assert proxy.targets == [f"CONNECT {address}"] * 2


def test_a_plain_request_goes_through_the_proxy_too(plain: Server, proxy: ProxyServer) -> None:
    assert isinstance(post(plain.url, proxy=through(proxy)), Response)
    assert proxy.targets == [f"POST {plain.url}"]
    assert plain.bodies == [b"[1]"]


@pytest.mark.parametrize("host", ["127.0.0.1", ".0.0.1"])
def test_hosts_that_are_excepted_are_reached_without_it(plain: Server, proxy: ProxyServer, host: str) -> None:
    assert isinstance(post(plain.url, proxy=through(proxy, no_proxy=[host])), Response)
    assert proxy.targets == []


@needs_openssl
@pytest.mark.parametrize(("status", "is_misconfigured"), [(407, True), (403, True), (502, False)])
def test_a_proxy_that_refuses_is_a_matter_of_configuration_and_one_that_fails_is_retried(
    secure: Server, proxy: ProxyServer, status: int, is_misconfigured: bool
) -> None:
    proxy.refusal = status
    assert post(secure.url, proxy=through(proxy)) == NoResponse(f"the proxy answers {status}", is_misconfigured)


def test_a_swapped_proxy_password_is_used_at_the_next_request(plain: Server, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("old")
    with serving(ProxyServer(USER)) as proxy:
        outgoing = Http.model_validate({"proxy": through(proxy, password=f"file:{file}")})
        transport = HttpTransport(outgoing)
        try:
            request = Request("POST", plain.url, {}, b"{}")
            refused = transport.fetch(request)
            assert isinstance(refused, Response)
            assert refused.status == 407
            file.write_text(PASSWORD)
            taken = transport.fetch(request)
            assert isinstance(taken, Response)
            assert taken.status == 200
            file.unlink()
            missing = transport.fetch(request)
            assert isinstance(missing, NoResponse)
            assert "http.proxy.password: cannot read secret file" in missing.detail
        finally:
            transport.close()


@needs_openssl
def test_alerts_go_the_same_way(secure: Server, proxy: ProxyServer, certificates: Authority) -> None:
    notify = Notify.model_validate({"webhook": f"{secure.url}/hook"})
    outgoing = Http.model_validate({"proxy": through(proxy), "ca_file": certificates.certificate})
    assert Notifications("growth", notify, outgoing).notify("title", "text")
    assert not Notifications("growth", notify).notify("title", "text")
    assert len(secure.bodies) == len(proxy.targets) == 1
