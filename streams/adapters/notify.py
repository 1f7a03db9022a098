"""Tells people: alerts of a connector to a Slack-compatible webhook and by e-mail.

The caller tries again until every channel took it. A channel that took a message does not get it twice. So a
message is known by its title and text: what may happen again must say when it happened.
"""

from __future__ import annotations

import hashlib
import smtplib
import ssl
from collections import OrderedDict
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import localtime, make_msgid

import orjson
import structlog

from streams.adapters.http import HttpTransport
from streams.adapters.no_connection import why_no_connection
from streams.config.connector import Notify, Smtp
from streams.config.http import Http
from streams.delivery.contract import NoResponse, Request
from streams.values import Secret, http_problem

log = structlog.get_logger(__name__)

ANSWER_SECONDS_MAX = 10.0
"""For a webhook's answer, and for each step of a talk with a mail server: a keeper waits for this."""
IMPLICIT_TLS_PORT = 465
"""Where a mail server speaks TLS from the first byte (RFC 8314); elsewhere it offers STARTTLS."""
TEXT_CHARACTERS_MAX = 4_000
"""What Slack advises for `text`; far more than an alert has to say."""
REMEMBERED_MAX = 1_000
"""Messages whose channels are remembered: some a day, so this is for longer than a retry ever takes."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")

Send = Callable[[str, str], None]


class Notifications:
    """A `Notifier` for the people that a connector's `notify` names. Logs name connector and channel, no address."""

    def __init__(self, connector: str, notify: Notify, outgoing: Http | None = None) -> None:
        """`outgoing`: the proxy of webhooks, and authorities that webhooks and mail servers are trusted by."""
        self._connector = connector
        way = outgoing or Http()
        self._channels: dict[str, Send] = {}
        self._took: OrderedDict[bytes, set[str]] = OrderedDict()
        webhook, address, server = notify.webhook, notify.email, notify.smtp
        if webhook is not None:
            self._channels["webhook"] = lambda title, text: _post(way, webhook, title, text)
        if address:
            self._channels["email"] = lambda title, text: _mail(_tls(way), server, address, title, text)

    def notify(self, title: str, text: str) -> bool:
        """Whether every channel took it, now or before; True where there is none. Never raises."""
        took = self._remembered(title, text)
        for channel, send in self._channels.items():
            if channel in took:
                continue
            try:
                send(title, text[:TEXT_CHARACTERS_MAX])
            except _NotSent as failure:
                log.warning("alert not sent", connector=self._connector, channel=channel, reason=str(failure))
            else:
                took.add(channel)
        return took.issuperset(self._channels)

    def _remembered(self, title: str, text: str) -> set[str]:
        """The channels that took this message."""
        message = hashlib.sha256(f"{title}\0{text}".encode()).digest()
        took = self._took.setdefault(message, set())
        self._took.move_to_end(message)
        while len(self._took) > REMEMBERED_MAX:
            self._took.popitem(last=False)
        return took


class _NotSent(Exception):
    """A channel did not take the message. The reason holds no address, no secret and no server's words."""


def _post(way: Http, webhook: Secret, title: str, text: str) -> None:
    url = _revealed("notify.webhook", webhook)
    if http_problem(url):
        raise _NotSent("notify.webhook must be an address that begins with http:// or https://")
    body = orjson.dumps({"text": _escaped(f"{title}\n{text}")})
    try:
        transport = HttpTransport(way, request_seconds_max=ANSWER_SECONDS_MAX)
    except ValueError as error:  # http.ca_file is away
        raise _NotSent(str(error)) from None
    try:
        answer = transport.fetch(Request("POST", url, {"Content-Type": "application/json"}, body))
    finally:
        transport.close()
    if isinstance(answer, NoResponse):
        raise _NotSent(answer.detail)
    if not 200 <= answer.status < 300:
        raise _NotSent(f"status {answer.status}")  # not its body: some servers repeat the path, which is the secret


def _escaped(text: str) -> str:
    """Slack's three control characters: a destination's words must not become a link or call a whole channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _mail(tls: ssl.SSLContext, server: Smtp, address: str, title: str, text: str) -> None:
    sender = server.sender or address
    message = EmailMessage()
    message["Subject"] = " ".join(title.split())
    message["From"] = sender
    message["To"] = address
    message["Date"] = localtime()
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    message.set_content(text)
    try:
        with _connected(tls, server) as connection:
            connection.send_message(message)
    except smtplib.SMTPException as error:
        raise _NotSent(f"{type(error).__name__}{_code(error)}") from None
    except ssl.SSLError as error:
        raise _NotSent(f"TLS: {getattr(error, 'verify_message', '') or error.reason}") from None
    except TimeoutError:
        raise _NotSent("no answer in time") from None
    except OSError as error:
        raise _NotSent(f"no answer: {why_no_connection(error)}") from None


def _connected(tls: ssl.SSLContext, server: Smtp) -> smtplib.SMTP:
    """A connection that is ready to take a message; encrypted wherever the server can."""
    connection: smtplib.SMTP
    if server.port == IMPLICIT_TLS_PORT:
        connection = smtplib.SMTP_SSL(server.host, server.port, timeout=ANSWER_SECONDS_MAX, context=tls)
    else:
        connection = smtplib.SMTP(server.host, server.port, timeout=ANSWER_SECONDS_MAX)
    try:
        if server.port != IMPLICIT_TLS_PORT:
            _start_tls(connection, server, tls)
        if server.username is not None:
            password = "" if server.password is None else _revealed("notify.smtp.password", server.password)
            connection.login(server.username, password)
    except BaseException:  # Ctrl-C, too: the connection must not stay open
        connection.close()
        raise
    return connection


def _start_tls(connection: smtplib.SMTP, server: Smtp, tls: ssl.SSLContext) -> None:
    """An attacker between could hide the server's offer and read the password: it is sent encrypted or not at all."""
    connection.ehlo()
    if connection.has_extn("starttls"):
        connection.starttls(context=tls)
        connection.ehlo()
    elif server.username is not None and server.host not in LOOPBACK:
        raise _NotSent("the mail server offers no STARTTLS, and the password is not sent unencrypted")


def _tls(way: Http) -> ssl.SSLContext:
    try:
        return way.tls()
    except ValueError as error:
        raise _NotSent(str(error)) from None


def _revealed(path: str, secret: Secret) -> str:
    """The secret as it is now: a swapped file is seen at the next alert."""
    try:
        return secret.reveal()
    except ValueError as error:
        raise _NotSent(f"{path}: {error}") from None


def _code(error: smtplib.SMTPException) -> str:
    """The server's reply code. Not its words: they may repeat an address."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "".join(f" {code}" for code, _ in error.recipients.values())
    return f" {error.smtp_code}" if isinstance(error, smtplib.SMTPResponseException) else ""
