"""What our destinations send is taken by the emulated vendors, and what those answer is understood."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from streams.delivery.contract import (
    Delivered,
    Destination,
    Misconfigured,
    Request,
    Response,
    Retry,
    Unauthorised,
    Undetermined,
    Verdict,
)
from streams.delivery.probe import Probe
from streams.destinations import REGISTRY
from streams.emulators.mparticle.options import Limits, MParticleOptions
from streams.events.samples import sample_events
from streams.events.schemas import shipped
from streams.state.credentials import Outcome, outcome_of
from streams.testing.emulators import MixpanelEmulator, MParticleEmulator
from tests.emulators.sender import NOON_MS, send

HEADER_BYTES = 10
"""Of a single-object value."""


def to_mixpanel(emulator: MixpanelEmulator) -> Destination:
    kind = REGISTRY["mixpanel"]
    given = {"base_url": emulator.base_url, "project_token": emulator.project_token}
    return kind.build(kind.settings.model_validate(given))


def to_mparticle(emulator: MParticleEmulator, wire: str = "schema") -> Destination:
    kind = REGISTRY["mparticle"]
    feeds = {feed: {"key": keys.key, "secret": keys.secret} for feed, keys in emulator.feeds.items()}
    return kind.build(kind.settings.model_validate({"base_url": emulator.base_url, "feeds": feeds, "wire": wire}))


def sent(request: Request) -> Response:
    host = "/".join(request.url.split("/", 3)[:3])
    answer = send(host, request.url.removeprefix(host), request.body, dict(request.headers), method=request.method)
    return Response(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.body)


def encoded(destination: Destination, name: str, per_type: int) -> list[tuple[str, str, bytes]]:
    """Scope, id and body of sample events of every mapped type."""
    found = []
    seen = set()
    event_types = sorted(REGISTRY[name].event_types)
    for event in sample_events(
        per_type * len(event_types), seed=7, now_s=NOON_MS // 1000, event_types=event_types, anonymous_share=0.0
    ):
        schema = shipped().by_event_type(event.event_type)
        assert schema is not None
        encoder = destination.encoder(schema)
        assert encoder is not None
        outcome = encoder(event.value, HEADER_BYTES)
        assert isinstance(outcome, tuple), outcome
        found.append((outcome[0], event.record["id"], outcome[1]))
        seen.add(event.event_type)
    assert seen == set(event_types)
    return found


def deliver(destination: Destination, scope: str, bodies: Iterable[bytes], *, alone: bool = False) -> Verdict:
    given = list(bodies)
    request = destination.request(scope, given)
    if alone:
        assert destination.vetting is not None
        request = destination.vetting.request(scope, given[0])
    return destination.interpret(sent(request), request, len(given))


def test_mixpanel_takes_a_sample_of_every_mapped_type(mixpanel: MixpanelEmulator) -> None:
    destination = to_mixpanel(mixpanel)
    events = encoded(destination, "mixpanel", 10)
    assert deliver(destination, "default", [body for _, _, body in events]) == Delivered()
    stored = {row["properties"]["$insert_id"] for row in mixpanel.unique()}
    assert stored == {name for _, name, _ in events}
    assert [row for row in mixpanel.rows() if row.get("geo_from_request")] == []


@pytest.mark.parametrize("wire", ["schema", "braze"])
def test_mparticle_loses_nothing_of_a_sample_of_every_mapped_type(wire: str) -> None:
    options = MParticleOptions(strict=True, limits=Limits(batches_per_second=10_000.0))
    with MParticleEmulator(options) as emulator:
        destination = to_mparticle(emulator, wire)
        events = encoded(destination, "mparticle", 10)
        for scope in destination.scopes:
            bodies = [body for each, _, body in events if each == scope]
            for start in range(0, len(bodies), 100):
                assert isinstance(deliver(destination, scope, bodies[start : start + 100]), Delivered)
        assert {batch["source_request_id"] for batch in emulator.unique()} == {name for _, name, _ in events}
        assert [row for row in emulator.rows() if row["losses"] or row["platform_mismatch"]] == []
        assert emulator.repeated_messages() == []


def test_refusals_are_understood_as_what_they_are(mixpanel: MixpanelEmulator, mparticle: MParticleEmulator) -> None:
    destination = to_mixpanel(mixpanel)
    body = encoded(destination, "mixpanel", 1)[0][2]
    mixpanel.fail(status=429, headers={"Retry-After": "3"})
    throttled = deliver(destination, "default", [body])
    assert isinstance(throttled, Retry)
    assert throttled.retry_after == "3"
    mixpanel.revoke()
    assert isinstance(deliver(destination, "default", [body]), Unauthorised)
    feeds = to_mparticle(mparticle)
    assert isinstance(deliver(feeds, "ios", [b'{"environment":"staging"}'], alone=True), Undetermined)
    mparticle.revoke("ios")
    assert isinstance(deliver(feeds, "ios", [b"{}"]), Unauthorised)
    assert isinstance(deliver(feeds, "web", [b"{}"]), Delivered)


def test_a_probe_is_good_with_good_credentials_and_leaves_no_event_of_a_user(
    mixpanel: MixpanelEmulator, mparticle: MParticleEmulator
) -> None:
    now_ms = mixpanel.now_ms()
    probed = to_mixpanel(mixpanel)
    assert sent(probed.probe("default", "nonce-1", now_ms)).status == 200
    assert mixpanel.rows() == []
    mixpanel.revoke("project_token")
    assert sent(probed.probe("default", "nonce-2", now_ms)).status == 401
    feeds = to_mparticle(mparticle)
    assert {sent(feeds.probe(scope, "nonce-1", now_ms)).status for scope in feeds.scopes} == {202}
    assert len(feeds.scopes) == len(mparticle.rows()) == 4
    assert {batch["environment"] for batch in mparticle.unique()} == {"development"}
    mparticle.revoke("unbound")
    assert sent(feeds.probe("unbound", "nonce-2", now_ms)).status == 403


HTML = {"body": "<html>welcome</html>", "headers": {"Content-Type": "text/html"}}
PLAIN = {"body": "OK", "headers": {"Content-Type": "text/plain"}}
OTHERS_JSON = {"body": {"message": "hello"}, "headers": {"Content-Type": "application/json"}}
ROWS: list[tuple[dict[str, Any], type]] = [
    *(
        ({"status": status, **form}, Misconfigured)
        for status in (200, 201, 202, 206)
        for form in (HTML, PLAIN, OTHERS_JSON)
    ),
    *(({"status": status, **HTML}, Misconfigured) for status in (401, 403)),
    *(({"status": status}, Misconfigured) for status in (302, 402, 404, 405, 410)),
    *(({"status": status, **HTML}, Undetermined) for status in (400, 413)),
    *(({"status": status}, Unauthorised) for status in (401, 403)),
    *(({"status": status, **HTML}, Retry) for status in (408, 429, 500, 502, 503, 504)),
]


@pytest.mark.parametrize(
    ("fault", "expected"), ROWS, ids=[f"{f['status']} {k.__name__} {n}" for n, (f, k) in enumerate(ROWS)]
)
def test_each_row_that_vendors_share_means_the_same_at_both_over_http(
    mixpanel: MixpanelEmulator, mparticle: MParticleEmulator, fault: dict[str, Any], expected: type
) -> None:
    for emulator, name in ((mixpanel, "mixpanel"), (mparticle, "mparticle")):
        destination = to_mixpanel(mixpanel) if name == "mixpanel" else to_mparticle(mparticle)
        scope = destination.scopes[0]
        for _ in ("a request", "a probe"):
            emulator.fail(**fault)
        assert isinstance(deliver(destination, scope, [b"{}"]), expected)
        probe = Probe(destination, scope, "nonce", NOON_MS)
        assert probe.request is not None
        probe.answered(sent(probe.request))
        assert outcome_of(probe.status) is (Outcome.BAD if expected is Unauthorised else Outcome.SILENT)
