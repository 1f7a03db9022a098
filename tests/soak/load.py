"""A steady load by every way in: Currents topics, files in a bucket, Braze over HTTP, webhooks of other vendors."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from confluent_kafka import Producer

from streams.events.encodings import encode_single_object
from streams.events.samples import sample_record
from streams.events.schemas import shipped
from tests.chaos.scene import Scene
from tests.cli.files import opens, write_avro
from tests.inlets.stage import key
from tests.receiver import inlets as http
from tests.receiver.scene import COHORTS, DATA, Given, ReceiverProcess, cohort

EVENT_TYPES = ("users.messages.email.Open", "users.messages.pushnotification.Open", "users.canvas.Entry")
USERS = 5_000
REFUSED_SHARE = 0.002
"""Events from the future, which Mixpanel refuses by name: some letters, and no flood."""
AHEAD_SECONDS = 10 * 365 * 86_400
PARTITIONS = 3
FILE_EVENTS, FILE_SECONDS = 300, 60.0
REQUEST_EVENTS, REQUEST_SECONDS = 20, 5.0
MEMBERS = 5
FLUSH_SECONDS_MAX = 120.0


class Load:
    """What vendors and Braze do. `written` counts what they were promised, by way."""

    def __init__(self, scene: Scene, bucket: Path, folder: Path, seed: int) -> None:
        self.written: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        """Requests that were not answered 2xx: their sender tries again."""
        self._random = Random(seed)
        self._scene = scene
        self._bucket = bucket
        self._folder = folder
        self._schemas = {event_type: shipped().by_event_type(event_type) for event_type in EVENT_TYPES}
        for event_type in EVENT_TYPES:
            scene.administration.create_topic(scene.source_prefix + event_type, PARTITIONS, 1, {})
        self._producer = Producer({"bootstrap.servers": scene.bootstrap_servers, "enable.idempotence": True})
        self._number = 0

    def events(self, many: int) -> None:
        """Onto the Currents topics, as Braze's connector to Kafka would."""
        for _ in range(many):
            event_type = self._random.choice(EVENT_TYPES)
            schema = self._schemas[event_type]
            assert schema is not None
            record = sample_record(event_type, self._random, int(time.time()))
            user = f"user-{self._random.randrange(USERS)}"
            record |= {"id": self._next("event"), "external_user_id": user}
            if self._random.random() < REFUSED_SHARE:
                record["time"] += AHEAD_SECONDS
            topic = self._scene.source_prefix + event_type
            self._producer.produce(topic, encode_single_object(schema, record), user)
            self.written["currents"] += 1
        self._producer.poll(0)

    def file(self) -> None:
        """Into the bucket, where it appears at once."""
        tag, now = self._next("file"), datetime.now(UTC)
        name = f"{tag}.avro"
        made = write_avro(self._folder / name, opens(FILE_EVENTS, tag, int(now.timestamp()) - FILE_EVENTS))
        path = self._bucket / key(name, moment=now)
        path.parent.mkdir(parents=True, exist_ok=True)
        made.rename(path)
        self.written["currents"] += FILE_EVENTS

    def http_inlet(self, receiver: ReceiverProcess) -> None:
        """As Braze's Custom HTTP connector."""
        events = [http.event(self._next("http"), user=f"user-{self._user()}") for _ in range(REQUEST_EVENTS)]
        self._send("currents", REQUEST_EVENTS, lambda: http.post(receiver, events))

    def webhooks(self, receiver: ReceiverProcess, connector: str) -> None:
        """As Mixpanel's cohorts and mParticle's events."""
        session = self._next("session")
        members = [f"user-{self._user()}" for _ in range(MEMBERS)]
        body = cohort("add_members", members, session)
        self._send("received", 0, lambda: receiver.send(COHORTS, body, connector=connector))
        batch = {
            "user_identities": [{"identity_type": "customer_id", "identity": f"user-{self._user()}"}],
            "mpid": "1",
            "events": [
                {
                    "event_type": "custom_event",
                    "data": {"event_name": "Order Placed", "message_id": self._next("message")},
                }
            ],
            "user_attributes": {"plan": self._random.choice(["free", "team", "company"])},
        }
        self._send("received", 0, lambda: receiver.send(DATA, batch, connector=connector))

    def flush(self) -> None:
        assert self._producer.flush(FLUSH_SECONDS_MAX) == 0, "events were not taken by Kafka"

    def _user(self) -> int:
        return self._random.randrange(USERS)

    def _next(self, what: str) -> str:
        self._number += 1
        return f"{what}-{self._number:09}"

    def _send(self, way: str, many: int, send: Callable[[], Given]) -> None:
        """Until it is answered 2xx, as vendors do; its ids make a repeat harmless."""
        self.written[f"requests {way}"] += 1
        self.written[way] += many
        while True:
            try:
                answer = send()
            except OSError:
                self.refused["no answer"] += 1
            else:
                if 200 <= answer.status < 300:
                    return
                self.refused[str(answer.status)] += 1
            time.sleep(0.5)
