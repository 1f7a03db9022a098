"""Asks each destination, and the schema registry, with the secrets that this machine has."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import orjson

from streams.config import Connector
from streams.config.source import NOT_FOUND_CODES, SchemaRegistry, schema_path
from streams.delivery.contract import Destination, NoResponse, Response
from streams.delivery.probe import Probe
from streams.operations.connectors.secrets import fix_of
from streams.operations.doctor.findings import Finding, ok, problem
from streams.ports.clock import Clock
from streams.ports.http import Fetcher
from streams.state.credentials import Outcome, outcome_of

ADDRESS = "is its address right, and can this machine reach it?"
BUSY = "the destination is busy; the configuration may be right: run doctor again in a minute"
REFERENCE = "set the variable, or mount the file, for the processes and for this command"
REGISTRY = "schema registry"


def credential_findings(connector: Connector, fetcher: Fetcher, clock: Clock) -> Iterator[Finding]:
    """Each credential scope of a connector."""
    try:
        destination = connector.build()
    except ValueError as error:
        yield problem(f"credentials {connector.name}", "configuration", f"cannot be read: {error}", REFERENCE)
        return
    for scope in destination.scopes:
        yield _credentials(connector, destination, scope, fetcher, clock)


def _credentials(connector: Connector, destination: Destination, scope: str, fetcher: Fetcher, clock: Clock) -> Finding:
    what = f"credentials {connector.name}/{scope}"
    try:
        probe = Probe(destination, scope, str(uuid4()), clock.epoch_ms())
        while probe.request is not None:
            probe.answered(fetcher.fetch(probe.request))
    except ValueError as error:
        return problem(what, "configuration", f"cannot be read: {error}", REFERENCE)
    if probe.status == 0:
        return problem(what, "unreachable", probe.detail, ADDRESS)
    match outcome_of(probe.status):
        case Outcome.GOOD:
            return ok(what, f"accepted ({probe.status})")
        case Outcome.BAD:
            return problem(what, "credentials", f"refused ({probe.status})", fix_of(connector, scope))
        case Outcome.SILENT:
            return _silent(what, probe.status)


def _silent(what: str, status: int) -> Finding:
    if is_busy(status):
        return problem(what, "unreachable", f"the destination is busy (status {status})", BUSY)
    detail = f"status {status} does not tell whether the credentials are good"
    return problem(what, "unreachable", detail, "is its address right?")


def is_busy(status: int) -> bool:
    """Whether a status means that the destination is busy or failing: time-outs, rate limits, 5xx."""
    return status in (408, 429) or 500 <= status < 600


def registry_findings(registry: SchemaRegistry | None, fetcher: Fetcher) -> Iterator[Finding]:
    """Whether the schema registry answers a request as routers and sinks make it, with its credentials."""
    if registry is None:
        return
    try:
        answer = fetcher.fetch(registry.request(schema_path(1)))
    except ValueError as error:
        yield problem(REGISTRY, "configuration", f"its credentials cannot be read: {error}", REFERENCE)
        return
    yield _registry(registry.url, answer)


def _registry(url: str, answer: Response | NoResponse) -> Finding:
    if isinstance(answer, NoResponse):
        return problem(REGISTRY, "unreachable", f"{url}: {answer.detail}", ADDRESS)
    if _is_registrys(answer):
        return ok(REGISTRY, f"answers at {url}")
    if answer.status in (401, 403):
        fix = "fix the credentials in source.schema_registry"
        return problem(REGISTRY, "credentials", f"{url}: refused ({answer.status})", fix)
    if is_busy(answer.status):
        fix = "records with new schema ids wait until it answers"
        return problem(REGISTRY, "unreachable", f"{url}: is busy (status {answer.status})", fix)
    detail = f"{url}: status {answer.status}, which is not the answer of a schema registry"
    return problem(REGISTRY, "unreachable", detail, "is source.schema_registry.url right?")


def _is_registrys(answer: Response) -> bool:
    """Whether routers and sinks would take it for the registry's word about a schema."""
    try:
        content = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return False
    if not isinstance(content, dict):
        return False
    if answer.status == 200:
        return isinstance(content.get("schema"), str)
    return answer.status == 404 and content.get("error_code") in NOT_FOUND_CODES
