"""Why a server gave no answer, in words: a person on call should not have to know Python's exceptions."""

from __future__ import annotations

import errno
import os
import socket

_WORDS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "the connection was closed",
    errno.EPIPE: "the connection was closed",
    errno.EHOSTUNREACH: "no route to the host",
    errno.ENETUNREACH: "no route to the network",
    errno.ETIMEDOUT: "the connection timed out",
}


def why_no_connection(error: BaseException) -> str:
    """The reason without addresses, which may hold secrets. The name of the exception where nothing better is known."""
    cause = getattr(error, "os_error", None) or error
    if isinstance(cause, socket.gaierror) or type(error).__name__ == "ClientConnectorDNSError":
        return "the host's name is not known"
    if type(error).__name__ == "ServerDisconnectedError":
        return _WORDS[errno.ECONNRESET]
    if type(error).__name__ == "ClientResponseError":
        return "the answer cannot be read as HTTP"
    number = getattr(cause, "errno", None)
    if isinstance(number, int) and number > 0:
        return _WORDS.get(number) or os.strerror(number).lower()
    return type(cause).__name__
