"""Alerts of a real keeper, as those who are told get them over HTTP and by mail: what they say, and whom they name."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator
from streams.workers.keeper.alert_texts import HEADS
from tests.adapters.mail import mail_server
from tests.adapters.test_notify import Hook
from tests.chaos.scene import Scene
from tests.pipeline.line import ANALYTICS, mixpanel_connector, running
from tests.pipeline.test_answers import OPEN, event

CONTACT = "data-desk+braze@example.org"
NIGHT = "night@example.org"


pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]


@contextmanager
def listening() -> Iterator[Hook]:
    """A receiver of notifications."""
    with Hook() as hook:
        thread = threading.Thread(target=hook.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield hook
        finally:
            hook.shutdown()
            thread.join()


def told(hook: Hook, title: str) -> str:
    """The whole text of the alert with this title; empty before it came."""
    return next((text for text in (body["text"] for body in hook.bodies) if text.startswith(title)), "")


def test_the_contact_stands_in_the_log_in_the_webhook_and_in_the_mail_of_each_alert(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    with listening() as hook, mail_server() as server:
        smtp = {"host": "localhost", "port": server.port}
        keys = {"contact": CONTACT, "notify": {"webhook": hook.url(), "email": NIGHT, "smtp": smtp}}
        with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel, **keys)}) as line:
            sink = line.processes[ANALYTICS]

            def told(kind: str) -> bool:
                lines = [json.loads(one) for one in sink.log.read_text().splitlines() if '"alert"' in one]
                return any(one["event"] == "alert" and one["alert"] == kind for one in lines)

            mixpanel.revoke()
            line.write(OPEN, event("event-1"))
            line.flush()
            line.scene.wait_until(lambda: told("invalid"), "people to be told that credentials are INVALID")
            mixpanel.restore()
            line.scene.wait_until(lambda: told("recovered"), "people to be told that they are VALID again")
            lines = [json.loads(one) for one in sink.log.read_text().splitlines() if '"alert"' in one]
    logged = {one["alert"]: one for one in lines if one["event"] == "alert"}
    assert {kind: one.get("contact") for kind, one in logged.items()} == {"invalid": CONTACT, "recovered": CONTACT}
    # An alert whose answer was late is sent again, with the same text.
    for texts in ({body["text"] for body in hook.bodies}, {text_of(mail) for mail in server.mails}):
        assert [f"\nContact: {CONTACT}\n" in text for text in texts] == [True, True]
    assert {mail["To"] for mail in server.mails} == {NIGHT}, "the contact is named, though another is told"


def test_letters_that_were_purged_by_their_deadline_and_credentials_that_are_good_again_are_told(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    with listening() as hook:
        connector = mixpanel_connector(mixpanel, grace="4s", notify={"webhook": hook.url()})
        with running(kafka, tmp_path, {ANALYTICS: connector}) as line:
            scene = line.scene
            mixpanel.revoke()
            line.write(OPEN, event("event-1"))
            line.flush()
            title = f"streams: {ANALYTICS}: 1 dead letters were purged"
            scene.wait_until(lambda: bool(told(hook, title)), "people to be told of the purge")
            assert scene.account(ANALYTICS).purged == 1
            mixpanel.restore()
            again = f"streams: {ANALYTICS}/default: {HEADS['recovered']}"
            scene.wait_until(lambda: bool(told(hook, again)), "people to be told that they are VALID again")
            scene.wait_until(lambda: {"purged", "recovered"} <= alerted(scene), "the audit to say who was told")
    text = told(hook, title)
    assert "They cannot come back. The receipts are on the audit topic." in text
    assert "/purging.md" in text


def test_records_that_retention_deleted_before_they_were_delivered_are_told(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    with listening() as hook:
        connector = mixpanel_connector(mixpanel, notify={"webhook": hook.url()})
        with running(kafka, tmp_path, {ANALYTICS: connector}) as line:
            scene, sink = line.scene, line.processes[ANALYTICS]
            line.write(OPEN, event("event-0"))
            line.settle()
            sink.kill()
            for number in range(1, 6):
                line.write(OPEN, event(f"event-{number}"))
            line.flush()
            scene.wait_until(lambda: scene.account(ANALYTICS).routed == 6, "everything to be routed")
            delete_all(scene, scene.settings.topics.connector(ANALYTICS))
            sink.start()
            title = f"streams: {ANALYTICS}: 5 records were lost"
            scene.wait_until(lambda: bool(told(hook, title)), "people to be told of the loss")
            scene.wait_until(lambda: "lost" in alerted(scene), "the audit to say who was told")
            account = scene.account(ANALYTICS)
    assert (account.delivered, account.lost, account.waiting) == (1, 5, 0)
    text = told(hook, title)
    assert "retention deleted 5 records of its topic before they were delivered" in text
    assert "/lost-records.md" in text


def alerted(scene: Scene) -> set[str]:
    """The kinds of alerts that the audit has."""
    lines = [json.loads(one.value or b"") for one in scene.read(scene.settings.topics.audit)]
    return {line["alert"] for line in lines if line["what"] == "alerted"}


def delete_all(scene: Scene, topic: str) -> None:
    """Everything that a topic holds now, as retention does."""
    settings: dict[str, Any] = {"bootstrap.servers": scene.bootstrap_servers}
    consumer = Consumer({**settings, "group.id": "reader"})
    try:
        places = [TopicPartition(topic, number) for _, number in scene.administration.partitions(topic)]
        ends = [consumer.get_watermark_offsets(place, timeout=60)[1] for place in places]
    finally:
        consumer.close()
    wanted = [TopicPartition(topic, place.partition, end) for place, end in zip(places, ends, strict=True) if end]
    client = AdminClient(settings)
    for future in client.delete_records(wanted).values():
        future.result(60)


def text_of(mail: EmailMessage) -> str:
    return str(mail.get_content()).replace("\r\n", "\n")
