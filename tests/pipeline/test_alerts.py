"""Whom an alert names: the people who own the connector, wherever the alert goes."""

from __future__ import annotations

import json
import threading
from email.message import EmailMessage
from pathlib import Path

import pytest

from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator
from tests.adapters.mail import mail_server
from tests.adapters.test_notify import Hook
from tests.pipeline.line import ANALYTICS, mixpanel_connector, running
from tests.pipeline.test_answers import OPEN, event

CONTACT = "data-desk+braze@example.org"
NIGHT = "night@example.org"


@pytest.mark.kafka
@pytest.mark.timeout(240)
def test_the_contact_stands_in_the_log_in_the_webhook_and_in_the_mail_of_each_alert(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    with Hook() as hook, mail_server() as server:
        thread = threading.Thread(target=hook.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
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
        finally:
            hook.shutdown()
            thread.join()
    logged = {one["alert"]: one for one in lines if one["event"] == "alert"}
    assert {kind: one.get("contact") for kind, one in logged.items()} == {"invalid": CONTACT, "recovered": CONTACT}
    # An alert whose answer was late is sent again, with the same text.
    for texts in ({body["text"] for body in hook.bodies}, {text_of(mail) for mail in server.mails}):
        assert [f"\nContact: {CONTACT}\n" in text for text in texts] == [True, True]
    assert {mail["To"] for mail in server.mails} == {NIGHT}, "the contact is named, though another is told"


def text_of(mail: EmailMessage) -> str:
    return str(mail.get_content()).replace("\r\n", "\n")
