"""Certificates made by openssl when a test needs them: an authority, and servers that it vouches for."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")

NAMES = "DNS:localhost,IP:127.0.0.1"
SECONDS_MAX = 60


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs certificates for servers on the loopback; `certificate` is what clients must trust."""

    folder: Path
    certificate: Path

    def server(self, name: str) -> Path:
        """A key and its signed certificate in one file of PEM, as Kafka and Python take them."""
        key, request, signed = (self.folder / f"{name}.{end}" for end in ("key", "csr", "crt"))
        extensions, both = self.folder / f"{name}.ext", self.folder / f"{name}.pem"
        extensions.write_text(f"subjectAltName={NAMES}\n")
        new = ("-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-addext", f"subjectAltName={NAMES}")
        _openssl("req", *new, "-keyout", str(key), "-out", str(request))
        by = ("-CA", str(self.certificate), "-CAkey", str(self.folder / "authority.key"), "-CAcreateserial")
        _openssl(
            "x509", "-req", "-in", str(request), *by, "-days", "2", "-extfile", str(extensions), "-out", str(signed)
        )
        both.write_bytes(key.read_bytes() + signed.read_bytes())
        return both

    def context(self, name: str) -> ssl.SSLContext:
        """For a server that shows such a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server(name))
        return context


def authority(folder: Path) -> Authority:
    """A new one that nobody trusts yet."""
    certificate = folder / "authority.crt"
    subject = ("-subj", "/CN=authority of tests", "-days", "2")
    files = ("-keyout", str(folder / "authority.key"), "-out", str(certificate))
    _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, *files)
    return Authority(folder, certificate)


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=SECONDS_MAX)
