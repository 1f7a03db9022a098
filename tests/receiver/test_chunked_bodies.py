"""Bodies that do not tell their length: one that is over the limit is refused while it comes, not when it has come."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.testing.brokers import Broker
from tests.receiver.scene import COHORTS, CONNECTOR, authorization, receiving

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]
BODY_MAX = 4_000_000


def chunked(content: bytes, chunk_bytes: int) -> Iterator[bytes]:
    """A body in chunks that never ends."""
    for at in range(0, len(content), chunk_bytes):
        piece = content[at : at + chunk_bytes]
        yield b"%x\r\n%b\r\n" % (len(piece), piece)


def test_a_chunked_body_is_refused_as_soon_as_it_is_over_the_limit(kafka: Broker, tmp_path: Path) -> None:
    """Its sender says no end, and waits: who only looked at the end would answer 408 after half a minute."""
    too_long = b" " * (BODY_MAX + 1)
    cases = {
        "small chunks": ("identity", b"".join(chunked(too_long, 1_000))),
        "one chunk": ("identity", b"".join(chunked(too_long, len(too_long)))),
        "a chunk that says it is endless": ("identity", b"%x\r\n%b" % (10**12, too_long)),
        "gzip of a body that is too long": ("gzip", b"".join(chunked(gzip.compress(too_long), 1_000))),
    }
    with receiving(kafka.bootstrap_servers, tmp_path) as scene:
        receiver = scene.start()
        found = {}
        for name, (encoding, body) in cases.items():
            lines = [f"POST /receive/{CONNECTOR}/{COHORTS} HTTP/1.1", "Host: x", "Transfer-Encoding: chunked"]
            lines += ["Content-Type: application/json", f"Content-Encoding: {encoding}"]
            lines += [f"{field}: {text}" for field, text in authorization(COHORTS).items()]
            with socket.create_connection(("127.0.0.1", receiver.port), timeout=60) as connection:
                connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
                found[name] = connection.recv(65_536).split(b"\r\n")[0]
    assert found == dict.fromkeys(cases, b"HTTP/1.1 413 Request Entity Too Large")
