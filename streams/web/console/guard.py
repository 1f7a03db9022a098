"""Which requests may come at all: those for a host of ours, and orders only from our own pages."""

from __future__ import annotations

from urllib.parse import urlsplit

from streams.config.console import Console, is_loopback
from streams.web.console.failures import PageError

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    # With no-referrer, browsers would send `Origin: null` with forms of our own.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "streams",
}


class Guard:
    """Checks Host and Origin. A page of another host that a browser was led to (DNS rebinding) gets nothing."""

    def __init__(self, settings: Console) -> None:
        self._public = settings.public_host
        self._host = settings.host
        self._is_open = settings.host in ("0.0.0.0", "::", "")  # noqa: S104 - compared, not listened on

    def check_host(self, host: str) -> None:
        """Raises `PageError` unless the request is for us."""
        if self._is_ours(host):
            return
        known = self._public or f"localhost or {self._host}"
        raise PageError(
            421,
            "Not this host",
            f"this console is not at {host[:100] or 'a host without a name'}, but at {known}",
            "set console.public_url to the address that browsers use",
        )

    def check_origin(self, host: str, origin: str | None) -> None:
        """Of an order. Raises `PageError` unless it comes from a page of ours."""
        netloc = urlsplit(origin).netloc.lower() if origin and origin != "null" else ""
        if netloc and (netloc == host.lower() or netloc == self._public):
            return
        raise PageError(
            403,
            "Request from another page",
            f"the form was sent from {netloc[:100]}" if netloc else "the request does not say which page sent it",
            "orders are accepted only from pages of this console: open it, and send the form there",
        )

    def _is_ours(self, host: str) -> bool:
        host = host.lower()
        if self._public and host == self._public:
            return True
        name = _name_of(host)
        return is_loopback(name) or (name == self._host.lower() and not self._is_open)


def _name_of(host: str) -> str:
    """The host without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
