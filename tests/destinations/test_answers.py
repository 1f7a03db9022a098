"""The rows that all vendors share, without a vendor's own: what a foreign 2xx is, though the vendor would take any."""

from __future__ import annotations

import pytest

from streams.delivery.contract import Delivered, Misconfigured, Request, Response, Verdict
from streams.destinations.answers import Answers

HTML = "a proxy answered in Acme's place"
TYPE = "with a content type that is not Acme's"


def judged(status: int, content_type: str, body: bytes) -> Verdict:
    """Of a vendor that looks at no body."""
    answers = Answers("Acme", lambda _response, _request, _records: Delivered(), accepts=frozenset({200, 202}))
    response = Response(status, {"content-type": content_type} if content_type else {}, body)
    return answers.verdict(response, Request("POST", "http://acme.test", {}, b""), 1)


@pytest.mark.parametrize("status", [200, 202])
@pytest.mark.parametrize(
    ("content_type", "body", "detail"),
    [
        ("text/html; charset=utf-8", b"<html>welcome</html>", HTML),
        ("text/html", b"", HTML),
        ("Text/HTML", b"welcome", HTML),
        ("application/xhtml+xml", b"welcome", HTML),
        ("", b" <!DOCTYPE html>", HTML),
        ("application/octet-stream", b"<html>", HTML),
        ("application/json", b"<html>", HTML),
        ("text/plain", b"<html>", HTML),
        ("text/plain", b"OK", TYPE),
        ("application/xml", b"ok", TYPE),
        ("image/gif", b"GIF89a", TYPE),
    ],
)
def test_a_2xx_that_is_not_the_vendors_is_a_proxys(status: int, content_type: str, body: bytes, detail: str) -> None:
    verdict = judged(status, content_type, body)
    assert isinstance(verdict, Misconfigured)
    assert detail in verdict.detail
    assert verdict.is_in_doubt, "the vendor may have processed the request"


@pytest.mark.parametrize("status", [201, 204, 206])
def test_a_2xx_that_the_vendor_never_answers_is_not_the_vendors(status: int) -> None:
    verdict = judged(status, "", b"")
    assert isinstance(verdict, Misconfigured)
    assert "Acme answers 200 or 202" in verdict.detail
    assert verdict.is_in_doubt


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json; charset=utf-8", b"{}"),
        ("", b"welcome"),
        ("application/octet-stream", b"1"),
        ("text/plain", b""),
        ("", b""),
    ],
)
def test_any_other_2xx_is_the_vendors_to_judge(content_type: str, body: bytes) -> None:
    assert judged(202, content_type, body) == Delivered()
