"""What a scraper sees of an exposition."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from tests.waiting import LOOK_SECONDS, PATIENCE_SECONDS


class Scrape:
    """The samples of one text exposition, by name and labels."""

    def __init__(self, exposition: bytes) -> None:
        self.text = exposition.decode()
        self.samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        self.kinds: dict[str, str] = {}
        for family in text_string_to_metric_families(self.text):
            self.kinds[family.name] = family.type
            for sample in family.samples:
                self.samples[sample.name, frozenset(sample.labels.items())] = sample.value

    def value(self, name: str, **labels: str) -> float | None:
        """None where there is no such series."""
        return self.samples.get((name, frozenset(labels.items())))

    def all(self, name: str, **labels: str) -> Mapping[frozenset[tuple[str, str]], float]:
        """Every series with this name and at least these labels."""
        wanted = set(labels.items())
        return {found: value for (one, found), value in self.samples.items() if one == name and wanted <= found}


def get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body; 0 and nothing where nobody listens.

    A connection that was cut off says nothing, so another one is made: the server of such pages cuts each one off after
    5 s, and on a busy machine this may be before the answer.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except (OSError, http.client.HTTPException) as error:
            is_refused = isinstance(getattr(error, "reason", error), ConnectionRefusedError)
            if is_refused or time.monotonic() >= deadline:
                return 0, b""
        time.sleep(LOOK_SECONDS)
