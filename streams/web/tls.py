"""TLS of a server of ours, with a certificate that is read again when its files change."""

from __future__ import annotations

import ssl
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)


class CertificateUnusable(Exception):
    """Certificate or key cannot be read, or do not belong together; the text says which files."""


class Certificate:
    """`context` gives each connection the certificate as its files are now; TLS 1.2 at least."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises `CertificateUnusable`."""
        self._files = (certificate, key)
        self._stamps = self._read_stamps()
        self._current = self._loaded()
        self.context = self._loaded()
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """While the files are being swapped the last pair that worked is used."""
        try:
            stamps = self._read_stamps()
            if stamps != self._stamps:
                self._current = self._loaded()
                self._stamps = stamps
                log.info("certificate read again", file=str(self._files[0]))
        except CertificateUnusable as error:
            log.warning("could not read the new certificate: the last one is used", error=str(error))
        connection.context = self._current

    def _read_stamps(self) -> tuple[tuple[int, int, int], ...]:
        """A swapped file has another inode, or another time."""
        try:
            found = [path.stat() for path in self._files]
        except OSError as error:
            raise CertificateUnusable(f"{error.filename}: {error.strerror}") from None
        return tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in found)

    def _loaded(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(*self._files)
        except OSError as error:  # an SSLError is one, too
            is_read = isinstance(error, ssl.SSLError)
            why = "no certificate with its key in PEM" if is_read else error.strerror
            raise CertificateUnusable(f"{self._files[0]} and {self._files[1]}: {why}") from None
        return context
