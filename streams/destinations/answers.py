"""What an answer means: the rows that all vendors share, in one place. A vendor adds only its own.

| answer | verdict |
|---|---|
| a status that the vendor accepts with, in its own form | the vendor's `accepted` |
| any 2xx, 401 or 403 with HTML, any other 2xx | misconfigured: a proxy answered, or the address is wrong |
| a 2xx with a body of a type that is not the vendor's | misconfigured |
| 400 | the vendor's `refused`; without one undetermined: halve until the culprit stands alone |
| 413 | undetermined |
| 401, 403 | unauthorised |
| 408, 429, 5xx | retry |
| any other | misconfigured |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from streams.delivery.contract import (
    Misconfigured,
    Request,
    Response,
    Retry,
    Unauthorised,
    Undetermined,
    Verdict,
)

Judge = Callable[[Response, Request, int], Verdict]
"""The verdict on an answer to a request with so many records."""

UNTYPED = frozenset({"", "application/octet-stream"})
"""Content types that say nothing of the body."""


def is_html(response: Response) -> bool:
    """Whether a proxy or gateway answered in the destination's place."""
    return "html" in media_type(response) or response.body.lstrip()[:1] == b"<"


def media_type(response: Response) -> str:
    """The content type without its parameters, in lower case."""
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


def _no_words(_response: Response) -> str:
    return ""


def _retry_after(response: Response) -> str | None:
    return response.headers.get("retry-after")


@dataclass(frozen=True, slots=True)
class Answers:
    """One vendor's answers. `words` are the vendor's own, masked; empty where the answer has none."""

    vendor: str
    accepted: Judge
    accepts: frozenset[int] = frozenset(range(200, 300))
    refused: Judge | None = None
    words: Callable[[Response], str] = _no_words
    retry_words: Callable[[Response], str] = _no_words
    """More about a 408, 429 or 5xx than its status."""
    retry_after: Callable[[Response], str | None] = _retry_after
    media_types: frozenset[str] = frozenset({"application/json"})
    """What a 2xx with a body may be."""

    def verdict(self, response: Response, request: Request, records: int) -> Verdict:
        """What the answer to a request with `records` events means."""
        status = response.status
        if 200 <= status < 300:
            return self._foreign(response) or self.accepted(response, request, records)
        if status == 400 and self.refused is not None:
            return self.refused(response, request, records)
        if status in (400, 413):
            return Undetermined(self._detail(response), status)
        if status in (401, 403):
            return self._html(response) or Unauthorised(status, self._detail(response))
        if status in (408, 429) or status >= 500:
            return Retry(
                self.retry_words(response) or f"status {status}",
                self.retry_after(response),
                is_throttling=status == 429,
                is_server_error=status >= 500,
                status=status,
            )
        return Misconfigured(f"status {status}: {self.words(response) or 'no text'}")

    def _foreign(self, response: Response) -> Misconfigured | None:
        """Why a 2xx is not the vendor's; None: it is."""
        status = response.status
        if status not in self.accepts:
            expected = " or ".join(map(str, sorted(self.accepts)))
            detail = f"status {status}, and {self.vendor} answers {expected}: is this {self.vendor}?"
            return Misconfigured(detail, is_in_doubt=True)
        if (found := self._html(response)) is not None:
            return replace(found, is_in_doubt=True)
        if response.body.strip() and media_type(response) not in self.media_types | UNTYPED:
            detail = f"status {status} with a content type that is not {self.vendor}'s: did a proxy answer?"
            return Misconfigured(detail, is_in_doubt=True)
        return None

    def _html(self, response: Response) -> Misconfigured | None:
        if not is_html(response):
            return None
        return Misconfigured(f"status {response.status} with HTML: a proxy answered in {self.vendor}'s place")

    def _detail(self, response: Response) -> str:
        return self.words(response) or f"status {response.status}"
