"""An outage of all brokers, and what is left of it in a process that lives on."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from streams.adapters.kafka.admin import Administration
from tests.own_broker import own_broker
from tests.topics import make_topics

pytestmark = [pytest.mark.apache, pytest.mark.timeout(600)]


def test_errors_of_an_outage_do_not_stay_in_a_client_that_only_asks_what_a_group_committed() -> None:
    """There is one for each connection that failed, until the client is polled."""
    topic, told = f"outage-{uuid4().hex}", list[object]()
    with own_broker() as broker:
        make_topics(AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0}), NewTopic(topic, 1, 1))
        options: Any = {"bootstrap.servers": broker.bootstrap_servers, "error_cb": told.append}
        administration = Administration(options)
        assert administration.commits("group", [topic]) == {}
        broker.restart()
        assert administration.commits("group", [topic]) == {}
        assert told
        administration.close()
