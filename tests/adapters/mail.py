"""A mail server on the loopback that takes everything it is sent, or refuses what the test says."""

from __future__ import annotations

import base64
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import cast

from tests.waiting import PATIENCE_SECONDS


@dataclass
class MailServer:
    """What the server does and what it saw."""

    port: int = 0
    certificate: Path | None = None
    is_implicit: bool = False
    """TLS from the first byte, not by STARTTLS."""
    user: tuple[str, str] | None = None
    refuses_recipients: bool = False
    mails: list[EmailMessage] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    """Of each mail."""
    lines: list[str] = field(default_factory=list)

    def context(self) -> ssl.SSLContext:
        assert self.certificate is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        return context


class _Talk(socketserver.StreamRequestHandler):
    """One connection: as much of RFC 5321, 3207 and 4954 as a client needs."""

    timeout = PATIENCE_SECONDS

    def handle(self) -> None:
        self.mail_server: MailServer = cast("_Listener", self.server).mail_server
        self.is_encrypted = False
        try:
            if self.mail_server.is_implicit:
                self.encrypt()
            self.say("220 ready")
            while (line := self.rfile.readline()) and self.answer(line.decode().strip()):
                pass
        except (OSError, ValueError):
            pass  # the client left, or does not trust us

    def say(self, *lines: str) -> None:
        for line in lines:
            self.wfile.write(f"{line}\r\n".encode())
        self.wfile.flush()

    def encrypt(self) -> None:
        self.connection = self.mail_server.context().wrap_socket(self.connection, server_side=True)
        self.request = self.connection
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb")
        self.is_encrypted = True

    def answer(self, line: str) -> bool:
        """Whether the talk goes on."""
        server = self.mail_server
        server.lines.append(line)
        match line.split(maxsplit=2):
            case ["EHLO" | "ehlo", *_]:
                offers = ["250-here"]
                if server.certificate is not None and not self.is_encrypted:
                    offers.append("250-STARTTLS")
                if server.user is not None:
                    offers.append("250-AUTH PLAIN")
                self.say(*offers, "250 8BITMIME")
            case ["STARTTLS"]:
                self.say("220 go on")
                self.encrypt()
            case ["AUTH", "PLAIN", secret]:
                _, user, password = base64.b64decode(secret).decode().split("\0")
                self.say("235 welcome" if (user, password) == server.user else f"535 {password} is wrong")
            case ["RCPT", *_] | ["rcpt", *_] if server.refuses_recipients:
                self.say(f"550 nobody here: {line}")
            case ["DATA" | "data"]:
                self.say("354 begin")
                self.take()
                self.say("250 taken")
            case ["QUIT" | "quit"]:
                self.say("221 bye")
                return False
            case _:
                self.say("250 fine")
        return True

    def take(self) -> None:
        content = b""
        while (line := self.rfile.readline()).strip() != b".":
            content += line.removeprefix(b".") if line.startswith(b"..") else line
        mail = message_from_bytes(content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mail_server.mails.append(mail)
        self.mail_server.encrypted.append(self.is_encrypted)

    def finish(self) -> None:
        try:
            super().finish()
        except OSError:
            pass
        finally:
            self.connection.close()


class _Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    mail_server: MailServer

    def handle_error(self, request: object, client_address: object) -> None:
        raise AssertionError("the mail server of this test is wrong")


@contextmanager
def mail_server(**options: object) -> Iterator[MailServer]:
    """A server with these options, on a free port."""
    server = MailServer(**options)  # type: ignore[arg-type]
    with _Listener(("127.0.0.1", 0), _Talk) as listener:
        listener.mail_server = server
        server.port = listener.server_address[1]
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join()


def self_signed(folder: Path) -> Path:
    """A certificate for `localhost` and its key, in one file."""
    key, certificate, both = folder / "key.pem", folder / "certificate.pem", folder / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return both
