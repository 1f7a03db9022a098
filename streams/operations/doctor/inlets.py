"""Whether inlets can do their work: tokens, the address that Braze was told, and who else writes the same topics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from streams.config import Settings
from streams.config.inlets import HttpInlet, StorageInlet
from streams.delivery.contract import NoResponse, Request
from streams.operations.doctor.findings import Finding, ok, problem, warning
from streams.ports.http import Fetcher

WHAT = "inlet"


def inlet_findings(settings: Settings, fetcher: Fetcher) -> Iterator[Finding]:
    """Nothing is sent: an HTTP inlet is asked with GET, which a receiver refuses with 405 before it reads a token."""
    yield from _shared_topics(settings)
    for name, inlet in settings.http_inlets.items():
        yield from _tokens(name, inlet)
        if settings.receiver.public_url is not None:
            yield _address(name, settings.receiver.inlet_address(name), fetcher)


def _shared_topics(settings: Settings) -> Iterator[Finding]:
    """One event by two ways is two records. Two inlets may have different events, so this is only a remark."""
    feeding = defaultdict(list)
    for name, inlet in settings.inlets.items():
        feeding[settings.inlet_prefix(inlet)].append(name)
    for prefix, names in feeding.items():
        if len(names) > 1:
            kinds = {type(settings.inlets[name]) for name in names}
            both = " (one from storage and one over HTTP)" if kinds == {HttpInlet, StorageInlet} else ""
            yield warning(
                WHAT,
                f"{', '.join(names)} write the same topics, {prefix}…{both}",
                "fine if no event comes by two of them; otherwise it is delivered twice: take one away, or give a test "
                "inlet a topic_prefix of its own",
            )


def _tokens(name: str, inlet: HttpInlet) -> Iterator[Finding]:
    for index, token in enumerate(inlet.tokens):
        what = f"{WHAT} {name}"
        try:
            token.reveal()
        except ValueError as error:
            fix = "put the Secret back: requests whose token could be this one are answered 503 until then"
            yield problem(what, "configuration", f"tokens[{index}]: {error}", fix)
        else:
            yield ok(what, f"tokens[{index}] can be read")


def _address(name: str, url: str, fetcher: Fetcher) -> Finding:
    what = f"{WHAT} {name}"
    answer = fetcher.fetch(Request("GET", url, {}, b""))
    start = "streams run receiver; then the Ingress or the proxy before it"
    if isinstance(answer, NoResponse):
        return problem(what, "unreachable", f"{url}: {answer.detail}", start)
    if answer.status == 405:
        return ok(what, f"answers at {url}")
    if answer.status in (400, 401, 403, 404):
        detail = f"{url}: answered {answer.status}, at which Braze drops events or disables its connector"
        return problem(what, "failed", detail, "it must reach the receiver, and not be refused by a proxy before it")
    if answer.status >= 500:
        detail = f"{url}: status {answer.status}: no receiver behind it, or it does not know this inlet"
        return problem(what, "unreachable", detail, start)
    return warning(what, f"{url}: status {answer.status} is no receiver's answer", "is receiver.public_url right?")
