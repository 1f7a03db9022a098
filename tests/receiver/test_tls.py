"""TLS that ends at the receiver: the certificate is read again when its files change."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from streams.testing.brokers import Broker
from tests.receiver.scene import COHORTS, cohort, receiving
from tests.security.authority import Authority, authority, needs_openssl

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(360), needs_openssl]


def install(signer: Authority, name: str, folder: Path) -> None:
    """A new certificate and key in the files that the configuration names."""
    signer.server(name)
    for end, target in (("crt", "tls.crt"), ("key", "tls.key")):
        new = folder / f"new.{end}"
        new.write_bytes((signer.folder / f"{name}.{end}").read_bytes())
        new.rename(folder / target)


def trusting(signer: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(signer.certificate))


def test_a_changed_certificate_is_shown_to_the_next_connection(kafka: Broker, tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    first, second = authority(tmp_path / "first"), authority(tmp_path / "second")
    install(first, "receiver", tmp_path)
    tls = {"certificate": f"file:{tmp_path / 'tls.crt'}", "key": f"file:{tmp_path / 'tls.key'}"}
    with receiving(kafka.bootstrap_servers, tmp_path, receiver={"tls": tls}) as scene:
        receiver = scene.start()
        assert receiver.send(COHORTS, cohort(users=["ada"]), tls=trusting(first)).status == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            receiver.send(COHORTS, cohort(), tls=trusting(second))
        install(second, "receiver", tmp_path)
        assert receiver.send(COHORTS, cohort(users=["bob"]), tls=trusting(second)).status == 200
        without_name = trusting(second)
        without_name.check_hostname = False
        assert receiver.send(COHORTS, cohort(), tls=without_name, host="127.0.0.1").status == 200
        (tmp_path / "tls.key").write_text("half a key")
        assert receiver.send(COHORTS, cohort(), tls=trusting(second)).status == 200, "the last pair that worked"
        old = trusting(second)
        old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError):
            receiver.send(COHORTS, cohort(), tls=old)
        assert "Traceback" not in scene.logs()


def test_a_certificate_that_cannot_be_used_ends_the_start_with_the_reason(kafka: Broker, tmp_path: Path) -> None:
    tls = {"certificate": f"file:{tmp_path / 'tls.crt'}", "key": f"file:{tmp_path / 'tls.key'}"}
    (tmp_path / "tls.crt").write_text("no certificate")
    (tmp_path / "tls.key").write_text("no key")
    with receiving(kafka.bootstrap_servers, tmp_path, receiver={"tls": tls}) as scene:
        with pytest.raises(AssertionError, match="the receiver ended"):
            scene.start()
        assert "receiver.tls" in scene.logs()
        assert "no certificate with its key in PEM" in scene.logs()
        assert "Traceback" not in scene.logs()
