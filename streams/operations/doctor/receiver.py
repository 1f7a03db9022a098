"""Whether vendors reach the receiver at the address that they were told."""

from __future__ import annotations

from collections.abc import Iterator

from streams.config import Settings
from streams.delivery.contract import NoResponse, Request, Response
from streams.operations.doctor.findings import Finding, ok, problem, warning
from streams.ports.http import Fetcher

WHAT = "receiver"
START = "streams run receiver; then the Ingress or the proxy before it"


def receiver_findings(settings: Settings, fetcher: Fetcher) -> Iterator[Finding]:
    """Nothing is sent: each entry is asked with GET, which a receiver refuses with 405 before it looks at a key."""
    entries = settings.entries
    if not entries:
        return
    count = sum(map(len, entries.values()))
    if settings.receiver.public_url is None:
        yield ok(WHAT, f"entries: {count}; receiver.public_url is not set, so it was not asked")
        return
    for connector, those in entries.items():
        for entry in those:
            url = settings.receiver.address(connector, entry)
            yield _found(f"{WHAT} {connector}/{entry}", url, fetcher.fetch(Request("GET", url, {}, b"")))


def _found(what: str, url: str, answer: Response | NoResponse) -> Finding:
    if isinstance(answer, NoResponse):
        return problem(what, "unreachable", f"{url}: {answer.detail}", START)
    if answer.status == 405:
        return ok(what, f"answers at {url}")
    if answer.status == 404:
        detail = f"{url}: nobody knows this entry"
        return problem(
            what, "failed", detail, "start the receiver with this configuration; is receiver.public_url right?"
        )
    if answer.status >= 500:
        return problem(what, "unreachable", f"{url}: no receiver behind it (status {answer.status})", START)
    detail = f"{url}: status {answer.status} is not a receiver's answer"
    return warning(what, detail, "is receiver.public_url right, and does the proxy before it pass POST and GET on?")
