"""The console as a user who lacks one right in Kafka, seen in a real Chromium."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from confluent_kafka import Producer
from playwright.sync_api import expect

from streams.testing.brokers import ApacheKafka
from tests.console.browser import chromium, opened
from tests.console.visitor import console
from tests.security.authority import Authority, needs_openssl
from tests.security.guarded import GuardedScene

pytestmark = [pytest.mark.apache, needs_openssl]

CONNECTOR = {"destination": "mixpanel", "project_token": "0" * 32}


def test_a_right_that_is_missing_is_named_on_the_page_that_needs_it_and_other_pages_work(
    guarded: ApacheKafka, certificates: Authority, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        browser = stack.enter_context(chromium())
        scene = GuardedScene(guarded, certificates, tmp_path, {"growth": CONNECTOR})
        stack.callback(scene.end)
        audit = scene.settings.topics.audit
        producer = Producer({"bootstrap.servers": guarded.bootstrap_servers})
        producer.produce(audit, b"{}")  # of an empty topic nothing is read, so nothing is refused
        assert producer.flush(60) == 0
        operator = scene.as_role("operator", without=("Read", audit))
        visitor = stack.enter_context(console(scene.config_of(operator)))
        page = opened(browser).new_page()
        page.goto(f"{visitor.base}/audit")
        told = page.locator("#lines .failure")
        expect(told).to_contain_text(f"Kafka does not allow Read on topic {audit}")
        expect(told).to_contain_text("What to do: give the console's user the rights of the role operator")
        assert "Traceback" not in page.content()
        page.goto(f"{visitor.base}/")
        expect(page.get_by_role("link", name="growth", exact=True).first).to_be_visible()
        expect(page.locator("#banner")).to_be_empty()
