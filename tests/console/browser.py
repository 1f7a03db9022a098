"""A real Chromium for tests of pages: Debian's, with a new profile and nothing that it would ask of the network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.waiting import PATIENCE_SECONDS

WAIT_MS = round(PATIENCE_SECONDS * 1000)
SERIOUS = ("serious", "critical")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Skips the test where there is none, unless `REQUIRE_BROWSER` says that there must be."""
    path = shutil.which("chromium")
    if path is None:
        missing = "there is no chromium on the path: `sh tools/chromium.sh` installs Debian's"
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS, timeout=WAIT_MS)
        expect.set_options(timeout=WAIT_MS)
        try:
            yield browser
        finally:
            browser.close()


def opened(browser: Browser, **options: Any) -> BrowserContext:
    """A new profile whose pages are waited for as long as a busy machine needs."""
    context = browser.new_context(**options)
    context.set_default_timeout(WAIT_MS)
    return context


def faults_of_access(page: Page) -> list[tuple[str, str, str]]:
    """What axe calls serious or worse on the page as it stands: where, which rule, the first place.

    The page's context must have `bypass_csp`: Chromium lets axe in only past the page's own policy.
    """
    violations = Axe().run(page).response["violations"]
    path = urlsplit(page.url).path
    return [(path, one["id"], one["nodes"][0]["html"]) for one in violations if one["impact"] in SERIOUS]


def width_of(page: Page) -> int:
    """How wide the page's content is, in pixels."""
    return int(page.evaluate("document.documentElement.scrollWidth"))
