"""What was received stands in the connector's account, and the account is what the topics hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.cli.assembly.installation import connected
from streams.operations.accounts import Accounts
from streams.operations.verification import verify
from streams.testing.brokers import Broker
from tests.receiver.scene import COHORTS, CONNECTOR, DATA, cohort, receiving

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(360)]


def test_what_two_receivers_wrote_waits_in_the_account_and_on_the_topic(kafka: Broker, tmp_path: Path) -> None:
    with receiving(kafka.bootstrap_servers, tmp_path) as scene, connected(scene.settings, "streams-test") as here:
        with Accounts(here) as accounts:
            nothing = accounts.of([CONNECTOR])[CONNECTOR]
        assert (nothing.routed, nothing.received, nothing.waiting) == (0, 0, 0)
        first, second = scene.start("pod-0"), scene.start("pod-1")
        assert first.send(COHORTS, cohort("members", ["ada", "bob"])).status == 200
        assert second.send(COHORTS, cohort(users=["carol"])).status == 200
        assert second.send(DATA, [{"user_identities": []}]).status == 202
        written = len(scene.records())
        assert scene.counts().received == written  # from here on the rows are readable for everybody
        with Accounts(here) as accounts:
            account = accounts.of([CONNECTOR])[CONNECTOR]
            assert accounts.received([CONNECTOR])[CONNECTOR].skipped == {"no_external_user_id": 1}
        assert (account.routed, account.received, account.derived, account.waiting) == (written, written, 0, written)
        assert account.to_json()["received"] == written
        found = verify(here, CONNECTOR)
        assert found.problems == ()
        assert found.waiting == written
