"""What every destination must do, as checks that its own tests run: they tell you when you are done.

    from streams.testing.conformance import CHECKS

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_it_conforms(check): check(MY_KIND)

Each raises `AssertionError` with a sentence. `kind.example` gives the settings; its secrets must show nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from random import Random
from typing import Any

import orjson
from pydantic import BaseModel

from streams.delivery.composer import NOTHING, Item
from streams.delivery.contract import (
    Delivered,
    Destination,
    Encoder,
    Misconfigured,
    Refused,
    Rejected,
    Remark,
    Request,
    Response,
    Retry,
    Skipped,
    Token,
    Unauthorised,
    Undetermined,
    Verdict,
)
from streams.destinations.kind import DestinationKind
from streams.events.encodings import encode_single_object
from streams.events.samples import sample_record
from streams.events.schema import WriterSchema
from streams.events.schemas import shipped
from streams.values import Secret

HEADER_BYTES = 10
NOW_SECONDS = 1_790_000_000
DETAIL_BYTES_MAX = 600
HTML = Response(200, {"content-type": "text/html; charset=utf-8"}, b"<html>welcome</html>")
BODIES = (b"", b"{}", b"[]", b"null", b'{"errors":7}', b'{"errors":["x"]}', b"\xff", b'{"a":', b"ok")
ANSWER_HEADERS: tuple[dict[str, str], ...] = ({"content-type": "application/json"}, {})
"""Without a content type a 2xx reaches what reads the body, whatever media types the destination takes."""

Check = Callable[[DestinationKind], None]


def builds_from_its_example(kind: DestinationKind) -> None:
    """Its members are what they must be; its example makes a destination with scopes and sound limits."""
    problem = kind.problem()
    assert not problem, problem
    destination = _built(kind)
    assert destination.scopes, "a destination has at least one credential scope"
    assert len(set(destination.scopes)) == len(destination.scopes), "each scope is named once"
    limits = destination.limits
    assert limits.batch_records_max >= 1, "batch_records_max is at least 1"
    assert 0 < limits.record_bytes_max <= limits.batch_bytes_max, "a record of the greatest size fits into a batch"
    assert limits.requests_in_flight_max >= 1, "requests_in_flight_max is at least 1"
    assert limits.retry_base_seconds > 0, "retry_base_seconds is more than 0"
    assert limits.records_per_second is None or limits.records_per_second > 0, "a rate is more than 0"


def encodes_a_sample_of_every_event_type_the_same_twice(kind: DestinationKind) -> None:
    """Every mapped event type has an encoder whose result is within the limits, and the same for the same bytes."""
    destination = _built(kind)
    for schema in _schemas(kind):
        encoder = _encoder(destination, schema)
        value = _value(kind, schema)
        encoded = encoder(value, HEADER_BYTES)
        assert isinstance(encoded, tuple | Skipped | Remark), (
            f"the sample of {schema.event_type} is rejected: {encoded}"
        )
        if isinstance(encoded, Remark):
            assert destination.composer is not None, f"nobody hears the remark of {schema.event_type}"
        assert encoder(value, HEADER_BYTES) == encoded, f"{schema.event_type} is encoded differently the second time"
        if isinstance(encoded, tuple):
            scope, body, cuts = encoded
            assert scope in destination.scopes, f"{schema.event_type} goes to scope {scope}, which there is not"
            assert 0 < len(body) <= destination.limits.record_bytes_max, f"{schema.event_type} is over the limit"
            assert cuts >= 0, "strings cut are counted from 0"


def has_no_encoder_for_what_it_does_not_map(kind: DestinationKind) -> None:
    """The encoder of an event type that is not mapped is None."""
    destination = _built(kind)
    schema = next(_schemas(kind))
    other = replace(schema, event_type="users.nobody.Maps")
    assert destination.encoder(other) is None, "an event type that is not mapped has an encoder"


def rejects_bytes_that_are_no_event(kind: DestinationKind) -> None:
    """Corrupt bytes are `Rejected("undecodable: ...")`, whatever they are; nothing raises."""
    destination, random = _built(kind), Random(7)  # noqa: S311 - spoils bytes, guards nothing
    for schema in list(_schemas(kind))[:10]:
        encoder, value = _encoder(destination, schema), _value(kind, schema)
        for corrupt in (b"", value[: len(value) // 2], value + b"\x02", value[:HEADER_BYTES] + random.randbytes(64)):
            encoded = encoder(corrupt, min(HEADER_BYTES, len(corrupt)))
            assert isinstance(encoded, Rejected | Remark | tuple), f"corrupt bytes of {schema.event_type} are {encoded}"
            if isinstance(encoded, Rejected):
                assert encoded.detail, "a rejection says why"
        cut = encoder(value[: len(value) // 2], HEADER_BYTES)
        assert isinstance(cut, Rejected), f"half an event of {schema.event_type} is sent"
        assert cut.detail.startswith("undecodable"), f"half an event is rejected as: {cut.detail}"


def builds_the_same_request_twice_and_shows_no_secret(kind: DestinationKind) -> None:
    """The same bodies give the same bytes; secrets are in headers alone, and `repr` hides them."""
    settings = kind.example()
    destination = kind.build(settings)
    for scope, bodies in _bodies(kind, destination).items():
        requests = [destination.request(scope, bodies) for _ in range(2)]
        assert requests[0].body == requests[1].body, "the same bodies give other bytes the second time"
        asked = [*requests, destination.probe(scope, "nonce", NOW_SECONDS * 1_000)]
        if destination.vetting is not None:
            asked.append(destination.vetting.request(scope, bodies[0]))
        for request in asked:
            assert request.url.startswith(("http://", "https://")), f"no address: {request.url}"
            for secret in _secrets(settings):
                assert secret not in repr(request), "the repr of a request shows a secret"
                assert secret not in request.url, "an address holds a secret"


def interprets_the_rows_that_all_share(kind: DestinationKind) -> None:
    """HTML, wrong addresses, refused credentials, throttling and failures mean the same at every destination."""
    destination = _built(kind)
    for request in _requests(kind, destination):
        for status in (200, 201, 202, 204, 401, 403):
            verdict = destination.interpret(Response(status, HTML.headers, HTML.body), request, 1)
            assert isinstance(verdict, Misconfigured), f"status {status} with HTML is {verdict}"
        for status in (301, 302, 402, 404, 405, 407, 410):
            verdict = destination.interpret(Response(status, {}, b""), request, 1)
            assert isinstance(verdict, Misconfigured), f"status {status} is {verdict}"
        for status in (401, 403):
            verdict = destination.interpret(Response(status, {}, b""), request, 1)
            assert isinstance(verdict, Unauthorised), f"status {status} is {verdict}"
            assert verdict.status == status, "a refusal carries its status"
        for status in (408, 429, 500, 502, 503, 504):
            verdict = destination.interpret(Response(status, {"retry-after": "12"}, b"<html>"), request, 1)
            assert isinstance(verdict, Retry), f"status {status} is {verdict}"
            assert (verdict.status, verdict.retry_after) == (status, "12"), "a failure carries status and Retry-After"
            assert verdict.is_throttling == (status == 429), "429 alone is throttling"
            assert verdict.is_server_error == (status >= 500), "5xx alone is a server error"


def gives_a_verdict_on_any_answer_without_a_secret(kind: DestinationKind) -> None:
    """Bodies of any shape give a verdict; details are short, and hold no secret."""
    settings = kind.example()
    destination = kind.build(settings)
    secrets = _secrets(settings)
    telling = [orjson.dumps({key: " ".join(secrets)}) for key in ("error", "message", "detail")]
    lines = [" ".join(secrets).encode(), b"line\n" * 4, b"x" * 2_000]
    for request in _requests(kind, destination):
        for status, headers in product((200, 202, 207, 400, 401, 404, 413, 422, 429, 503), ANSWER_HEADERS):
            for body in (*BODIES, *telling, *lines):
                verdict = destination.interpret(Response(status, headers, body), request, 3)
                for detail in _details(verdict):
                    assert all(secret not in detail for secret in secrets), f"the detail of a {status} shows a secret"
                    assert len(detail.encode()) <= DETAIL_BYTES_MAX, f"the detail of a {status} is long"
                if isinstance(verdict, Refused):
                    assert all(0 <= place < 3 for place in verdict.details), (
                        "a refusal names a record that was not sent"
                    )
                if isinstance(verdict, Delivered):
                    assert 200 <= status < 300, f"status {status} delivers"
        for status in (400, 413):
            verdict = destination.interpret(Response(status, {}, b""), request, 3)
            assert isinstance(verdict, Undetermined), f"status {status} without a word is {verdict}"


def gives_the_same_probe_for_the_same_nonce(kind: DestinationKind) -> None:
    """A probe is random only by its nonce: the same scope, nonce and time give the same request."""
    destination = _built(kind)
    for scope in destination.scopes:
        first, same = (destination.probe(scope, "one", NOW_SECONDS * 1_000) for _ in range(2))
        assert first.body == same.body, "a probe has randomness of its own"


def marks_a_copy_so_that_it_is_told_apart(kind: DestinationKind) -> None:
    """Where copies are swallowed, `again` gives an event of its own for each job."""
    destination = _built(kind)
    again = destination.again
    if again is None:
        return
    for bodies in _bodies(kind, destination).values():
        copies = {again(bodies[0], job) for job in ("job-1", "job-2")}
        assert len(copies | {bodies[0]}) == 3, "copies of two jobs are not told apart"
        assert again(bodies[0], "job-1") in copies, "a copy is encoded differently the second time"


def composes_the_same_twice_and_accounts_for_every_item(kind: DestinationKind) -> None:
    """Where requests depend on memory, items and memory decide them, and every item is in the request or skipped."""
    destination = _built(kind)
    composer = destination.composer
    if composer is None:
        return
    assert composer.in_doubt in ("resend", "park"), "in_doubt is resend or park"
    for scope, bodies in _bodies(kind, destination).items():
        items = [Item(body, position, position) for position, body in enumerate(bodies)]
        first, second = (composer.compose(scope, items, NOTHING, NOW_SECONDS) for _ in range(2))
        assert 1 <= first.taken <= len(items), "a composer takes at least one item, and none that there is not"
        assert first.request is not None, "what was never sent is not sent"
        assert second.request is not None, "the same items and memory give no request the second time"
        assert first.request.body == second.request.body, "the same items and memory give other bytes the second time"
        laid_out = {position for positions in first.request.layout.values() for position in positions}
        assert laid_out <= set(range(first.taken)), "the layout names items that were not taken"
        assert set(first.skipped) <= set(range(first.taken)) - laid_out, "an item is skipped and sent, or not taken"
        assert set(first.tally) <= set(composer.tallies), "a tally has a name that `tallies` does not list"
    assert composer.reread_from(NOTHING) is None, "a memory of nothing has no open copies"
    assert not composer.open_copies(NOTHING), "a memory of nothing has no open copies"
    assert composer.expired(NOTHING, NOW_SECONDS) is None, "a memory of nothing has nothing to forget"


def signs_in_and_signs_without_touching_the_body(kind: DestinationKind) -> None:
    """Where a token is wanted, its answers mean what all answers mean, and signing keeps the body."""
    destination = _built(kind)
    sign_in = destination.sign_in
    if sign_in is None:
        return
    assert isinstance(sign_in.read(Response(401, {}, b"")), Unauthorised), "401 for a token is not a refusal"
    assert isinstance(sign_in.read(Response(503, {}, b"")), Retry), "503 for a token is not tried again"
    assert isinstance(sign_in.read(HTML), Misconfigured), "HTML in place of a token is taken"
    for request in _requests(kind, destination):
        signed = sign_in.sign(request, Token("a-token-of-the-check", 60.0))
        assert signed.body == request.body, "signing changes the body"
        assert signed.headers != request.headers, "signing changes nothing"
        assert "a-token-of-the-check" not in repr(signed), "the repr of a signed request shows the token"


CHECKS: tuple[Check, ...] = (
    builds_from_its_example,
    encodes_a_sample_of_every_event_type_the_same_twice,
    has_no_encoder_for_what_it_does_not_map,
    rejects_bytes_that_are_no_event,
    builds_the_same_request_twice_and_shows_no_secret,
    interprets_the_rows_that_all_share,
    gives_a_verdict_on_any_answer_without_a_secret,
    gives_the_same_probe_for_the_same_nonce,
    marks_a_copy_so_that_it_is_told_apart,
    composes_the_same_twice_and_accounts_for_every_item,
    signs_in_and_signs_without_touching_the_body,
)


def _built(kind: DestinationKind) -> Destination:
    return kind.build(kind.example())


def _schemas(kind: DestinationKind) -> Iterator[WriterSchema]:
    for event_type in sorted({*kind.event_types, *kind.received}):
        schema = shipped().by_event_type(event_type)
        assert schema is not None, f"{event_type} is not an event type of the catalogue"
        yield schema


def _value(kind: DestinationKind, schema: WriterSchema) -> bytes:
    random = Random(3)  # noqa: S311 - a sample guards nothing
    record = kind.received.get(schema.event_type)
    return encode_single_object(schema, record or sample_record(schema.event_type, random, NOW_SECONDS))


def _encoder(destination: Destination, schema: WriterSchema) -> Encoder:
    encoder = destination.encoder(schema)
    assert encoder is not None, f"{schema.event_type} is mapped, and has no encoder"
    return encoder


def _bodies(kind: DestinationKind, destination: Destination) -> dict[str, list[bytes]]:
    """A few encoded events of each scope that samples reach."""
    bodies: dict[str, list[bytes]] = {}
    for schema in _schemas(kind):
        encoded = _encoder(destination, schema)(_value(kind, schema), HEADER_BYTES)
        if isinstance(encoded, tuple) and len(bodies.setdefault(encoded[0], [])) < 3:
            bodies[encoded[0]].append(encoded[1])
    assert bodies, "no sample is sent"
    return bodies


def _requests(kind: DestinationKind, destination: Destination) -> Iterator[Request]:
    for scope, bodies in _bodies(kind, destination).items():
        yield destination.request(scope, bodies)


def _details(verdict: Verdict) -> list[str]:
    """Every text that a verdict would put into a dead letter or a log line."""
    if isinstance(verdict, Refused):
        return list(verdict.details.values())
    return [] if isinstance(verdict, Delivered) else [verdict.detail]


def _secrets(settings: BaseModel) -> list[str]:
    found: list[str] = []

    def walk(item: Any) -> None:
        if isinstance(item, Secret):
            found.append(item.reveal())
        elif isinstance(item, BaseModel):
            for name in type(item).model_fields:
                walk(getattr(item, name))
        elif isinstance(item, dict):
            for value in item.values():
                walk(value)

    walk(settings)
    return [secret for secret in found if len(secret) >= 8]
