"""Mixpanel's own library for Node.js talks to the emulator as to Mixpanel: pinned, checked by its integrity.

It is fetched into a temporary folder, where Node.js and the package are to be had; elsewhere these tests are skipped.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.testing.emulators import MixpanelEmulator
from tests.emulators.relay import over_tls
from tests.security.authority import Authority, authority, needs_openssl

PINNED = Path(__file__).parent / "node_library"
FETCH_SECONDS_MAX = 120
SPEAK_SECONDS_MAX = 240
EVENT_AGE_SECONDS = 600
NOT_TO_BE_HAD = {
    "ECONNREFUSED",
    "ECONNRESET",
    "ENOTFOUND",
    "EAI_AGAIN",
    "ETIMEDOUT",
    "E401",
    "E403",
    "E404",
    "ENOTCACHED",
    "ERR_SOCKET_TIMEOUT",
    "EIDLETIMEOUT",
    "E429",
    "E500",
    "E502",
    "E503",
    "E504",
}
"""What npm says where its registry is away, or does not have the package. Anything else is a fault: a package with
another content, above all."""


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the library, as the lock file beside the script says."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("there is no Node.js with npm here")
    folder = tmp_path_factory.mktemp("node") / "library"
    shutil.copytree(PINNED, folder)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0"]
    try:
        fetched = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=FETCH_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not fetch the library within {FETCH_SECONDS_MAX} s")
    code = re.search(r"^npm (?:error|ERR!) code (\S+)$", fetched.stderr, re.MULTILINE)
    if code is not None and code[1] in NOT_TO_BE_HAD:
        pytest.skip(f"npm cannot fetch the library: {code[1]}")
    assert fetched.returncode == 0, fetched.stderr
    return folder


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def tls(mixpanel: MixpanelEmulator, certificates: Authority) -> Iterator[dict[str, Any]]:
    """The library's settings to reach the emulator over HTTPS: it sends credentials over nothing else."""
    with over_tls(mixpanel.base_url, certificates.context("emulator")) as port:
        yield {"protocol": "https", "host": "127.0.0.1", "port": port}


def plain(mixpanel: MixpanelEmulator) -> dict[str, Any]:
    return {"protocol": "http", "host": "127.0.0.1", "port": int(mixpanel.base_url.rpartition(":")[2])}


def speak(
    library: Path,
    mixpanel: MixpanelEmulator,
    config: dict[str, Any],
    *calls: list[Any],
    trusts: Path | None = None,
    account: tuple[str, str, str] | None = None,
) -> list[str | None]:
    """What the library said to each call: None where it went well."""
    plan = {"token": mixpanel.project_token, "config": config, "account": account, "calls": calls}
    away = {"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "NODE_OPTIONS"}
    environment = {name: value for name, value in os.environ.items() if name not in away}
    if trusts is not None:
        environment["NODE_EXTRA_CA_CERTS"] = str(trusts)
    spoken = subprocess.run(
        ["node", "speak.cjs"],
        cwd=library,
        env=environment,
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        timeout=SPEAK_SECONDS_MAX,
        check=False,
    )
    assert spoken.returncode == 0, spoken.stderr
    return list(json.loads(spoken.stdout))


def events(count: int, **properties: Any) -> list[dict[str, Any]]:
    at = int(time.time()) - EVENT_AGE_SECONDS
    return [
        {"event": f"Order {number}", "properties": {"distinct_id": "person-1", "time": at, **properties}}
        for number in range(count)
    ]


def imported(count: int) -> list[dict[str, Any]]:
    """With the ids that `/import` wants; the library makes none."""
    return [
        {**one, "properties": {**one["properties"], "$insert_id": f"order-{number}"}}
        for number, one in enumerate(events(count))
    ]


@pytest.mark.parametrize("verbose", [False, True])
def test_it_tracks_events_one_by_one_and_in_batches(library: Path, mixpanel: MixpanelEmulator, verbose: bool) -> None:
    config = {**plain(mixpanel), "verbose": verbose}
    one = ["track", "Order paid", {"distinct_id": "person-1", "total": 12.5}]
    assert speak(library, mixpanel, config, one, ["track_batch", events(120)]) == [None, None]
    rows = mixpanel.rows()
    assert sorted(row["event"] for row in rows) == sorted(["Order paid", *(f"Order {number}" for number in range(120))])
    (paid,) = (row for row in rows if row["event"] == "Order paid")
    assert (paid["properties"]["distinct_id"], paid["properties"]["total"]) == ("person-1", 12.5)
    assert [request["path"].partition("?")[0] for request in mixpanel.requests()] == ["/track"] * 4, "50 a request"


def test_it_is_told_that_an_event_is_too_old_for_track(library: Path, mixpanel: MixpanelEmulator) -> None:
    old = ["track", "Order paid", {"distinct_id": "person-1", "time": int(time.time()) - 6 * 86_400}]
    (said,) = speak(library, mixpanel, {**plain(mixpanel), "verbose": True}, old)
    assert said is not None
    assert "within the data retention period" in said
    assert mixpanel.rows() == []


@needs_openssl
@pytest.mark.parametrize("verbose", [False, True])
def test_it_imports_many_events_by_a_service_account(
    library: Path, mixpanel: MixpanelEmulator, certificates: Authority, tls: dict[str, Any], verbose: bool
) -> None:
    account = ("streams.service-account", "service-account-secret", "1234567")
    one = ["import", "Order paid", int(time.time()) - EVENT_AGE_SECONDS, {"distinct_id": "p", "$insert_id": "paid"}]
    config = {**tls, "verbose": verbose}
    calls = (one, ["import_batch", imported(120)])
    assert speak(library, mixpanel, config, *calls, trusts=certificates.certificate, account=account) == [None, None]
    assert len(mixpanel.unique()) == 121
    assert {request["status"] for request in mixpanel.requests()} == {200}


@needs_openssl
def test_it_imports_by_the_api_secret_and_is_told_of_a_wrong_one_and_of_what_is_refused(
    library: Path, mixpanel: MixpanelEmulator, certificates: Authority, tls: dict[str, Any]
) -> None:
    secret = mixpanel.project.api_secret
    batch, trusts = ["import_batch", imported(2)], certificates.certificate
    without_ids = ["import_batch", events(1)]
    good = {**tls, "verbose": True, "secret": secret}
    said = speak(library, mixpanel, good, batch, without_ids, trusts=trusts)
    assert (said[0], len(mixpanel.rows())) == (None, 2)
    assert said[1] is not None
    assert "failed validation" in said[1]
    (said_of_wrong,) = speak(library, mixpanel, {**good, "secret": "wrong"}, batch, trusts=trusts)
    assert said_of_wrong is not None
    assert "Invalid credentials" in said_of_wrong
    (said_in_short,) = speak(library, mixpanel, {**good, "verbose": False, "secret": "wrong"}, batch, trusts=trusts)
    assert said_in_short == "Mixpanel Server Error: 0"
    assert len(mixpanel.rows()) == 2
