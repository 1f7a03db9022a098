"""What alerts say: what happened, what follows, the next command, and the page that tells more."""

from __future__ import annotations

from streams.state.moments import iso
from streams.state.records import ConnectorState, ScopeState

HEADS = {
    "invalid": "credentials are INVALID",
    "half": "credentials are still INVALID, half of the grace is over",
    "most": "credentials are still INVALID, 90 % of the grace is over",
    "recovered": "credentials are VALID again",
}


def invalidity(connector: str, scope: str, kind: str, state: ScopeState, purge_at_ms: int) -> tuple[str, str]:
    """Title and text while a scope is INVALID."""
    evidence, head = state.evidence, HEADS[kind]
    said = "" if evidence is None else f"{evidence.status} {evidence.detail}".strip()
    text = (
        f"Connector {connector}, scope {scope}: {head}.\n"
        f"Since {iso(state.since)}; the destination said: {said}\n"
        f"Its records are parked, and go out by themselves once the Secret is fixed. "
        f"The first of them is deleted at {iso(purge_at_ms)}.\n"
        f"Next: streams connectors show {connector}\n"
        f"More time: streams dlq extend {connector} --scope {scope} --by 24h --reason WHY"
    )
    return f"streams: {connector}/{scope}: {head}", text


def recovery(connector: str, scope: str, state: ScopeState) -> tuple[str, str]:
    """Title and text once a scope is VALID again."""
    text = (
        f"Connector {connector}, scope {scope}: the destination takes the credentials again since {iso(state.since)}.\n"
        f"Its dead letters go out by themselves, in order. Nothing has to be typed.\n"
        f"To watch them: streams connectors show {connector} --ledger"
    )
    return f"streams: {connector}/{scope}: {HEADS['recovered']}", text


def refusal(connector: str, scope: str, state: ScopeState) -> tuple[str, str]:
    """Title and text while traffic is refused though a probe with the same credentials is accepted."""
    head = "traffic is refused, and the probe is accepted"
    text = (
        f"Connector {connector}, scope {scope}: the destination refuses records since "
        f"{iso(state.refused_though_good)}, and accepts a probe with the same credentials.\n"
        f"Nothing is parked and nothing is lost: records wait in the connector's topic, and are tried again.\n"
        f"The key may send only some events, or belongs to another project. Look at its rights at the destination.\n"
        f"Next: streams connectors show {connector}"
    )
    return f"streams: {connector}/{scope}: {head}", text


def suspension(connector: str, state: ConnectorState) -> tuple[str, str]:
    """Title and text while a connector is SUSPENDED; a flood is looked at before it is resumed."""
    next_step = (
        f"Next: streams dlq top {connector}"
        if state.by == "flood"
        else f"Next: fix it, then streams connectors resume {connector}"
    )
    text = (
        f"Connector {connector} is SUSPENDED by {state.by} since {iso(state.since)}: {state.reason}\n"
        f"Nothing is sent and nothing is lost: records wait in its topic.\n"
        f"{next_step}"
    )
    return f"streams: {connector} is SUSPENDED by {state.by}", text


def purge(connector: str, letters: int, since_ms: int) -> tuple[str, str]:
    """Title and text once letters were purged by their deadline. `since_ms`: when that was told last; 0 for never."""
    since = f" since {iso(since_ms)}" if since_ms else ""
    text = (
        f"Connector {connector}: {letters:,} dead letters were purged{since}: their credentials stayed INVALID "
        f"beyond the grace.\nThey cannot come back. The receipts are on the audit topic.\n"
        f"Next: streams connectors show {connector} --ledger"
    )
    return f"streams: {connector}: {letters:,} dead letters were purged", text


def loss(connector: str, records: int) -> tuple[str, str]:
    """Title and text once retention deleted records that were not read."""
    text = (
        f"Connector {connector}: retention deleted {records:,} records of its topic before they were delivered.\n"
        f"The sink's log names the offsets. They can only come back from the Currents topics, or from Braze.\n"
        f"Next: streams connectors show {connector}"
    )
    return f"streams: {connector}: {records:,} records were lost", text


def page_of(kind: str, state: ConnectorState) -> str:
    """The runbook of an alert."""
    match kind:
        case "purged":
            return "purging.md"
        case "lost":
            return "lost-records.md"
        case "suspended":
            return "flood-breaker.md" if state.by == "flood" else "suspended.md"
        case _:
            return "credentials-invalid.md"
