"""Mixpanel, mParticle and Braze, which send over HTTP to receivers that may be away at any time."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException
from random import Random
from threading import Lock
from typing import Any

from tests.chaos.scene import WorkerProcess
from tests.receiver import inlets as http
from tests.receiver.scene import COHORTS, DATA, Door, Given, cohort, port_of

USERS = 40
MEMBERS, EVENTS, HTTP_EVENTS = 5, 3, 20
"""Of a page of a cohort, of a batch of mParticle's, of a request of Braze's."""
SENDERS = 16
"""Requests that are on their way at once."""
ANSWER_SECONDS_MAX = 7.0
"""A sender does not wait longer; a receiver that is not frozen answers within `receiver.answer_within`."""
AGAIN_SECONDS = 0.3
DELIVERY_SECONDS_MAX = 240.0
NO_ANSWER = "none"
ANSWERS = {"200", "202", "503", NO_ANSWER}
"""Any other one would make a vendor drop what it sent, or stop sending."""

Send = Callable[[Door], Given]


@dataclass(frozen=True, slots=True)
class Order:
    """Requests that a vendor sends one after the other; `events` is how many Currents events each of them holds."""

    requests: Sequence[Send]
    events: int = 0


class Vendors:
    """Sends what seeds say, each request until it is answered 2xx, and remembers what it was promised by that."""

    def __init__(self, connector: str, receivers: Sequence[WorkerProcess]) -> None:
        self.events: set[str] = set()
        """Numbers of mParticle's events."""
        self.attributes: dict[tuple[str, str], str] = {}
        """By user and name: each is sent once."""
        self.members: dict[str, set[str]] = defaultdict(set)
        """Users by cohort's name."""
        self.currents: set[str] = set()
        """Ids of Braze's events."""
        self.answers: Counter[str] = Counter()
        self.repeated = 0
        """Currents events of requests that were sent once more: each may be on its topic once more, too."""
        self._connector = connector
        self._receivers = receivers
        self._number = 0
        self._lock = Lock()
        self._pool = ThreadPoolExecutor(SENDERS, "vendor")
        self._sent: list[Future[None]] = []

    def send(self, requests: int, seed: int) -> None:
        """Returns at once."""
        random = Random(seed)
        for _ in range(requests):
            make = random.choice([*[self._batch, self._difference, self._feed] * 3, self._copy])
            self._sent.append(self._pool.submit(self._deliver, make(random)))

    def finish(self) -> None:
        """Once each request was answered 2xx. Raises what went wrong."""
        for sent in self._sent:
            sent.result()
        self._sent.clear()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _batch(self, random: Random) -> Order:
        """mParticle's: some events of a user, and an attribute."""
        user, name = self._user(random), self._next("attribute")
        numbers = [self._next("event") for _ in range(EVENTS)]
        body = {
            "user_identities": [{"identity_type": "customer_id", "identity": user}],
            "mpid": "1",
            "events": [
                {
                    "event_type": "custom_event",
                    "data": {"event_name": "Order", "message_id": number, "custom_attributes": {"number": number}},
                }
                for number in numbers
            ],
            "user_attributes": {name: name},
        }
        self.events.update(numbers)
        self.attributes[user, name] = name
        return Order([self._webhook(DATA, body)])

    def _difference(self, random: Random) -> Order:
        """Mixpanel's: some users joined a cohort."""
        users = self._users(random)
        self.members["Joined"].update(users)
        body = cohort("add_members", users, self._next("session"))
        return Order([self._webhook(COHORTS, self._of(body, "Joined"))])

    def _copy(self, random: Random) -> Order:
        """Mixpanel's: all users of a cohort, on two pages."""
        name, session = self._next("Copy"), self._next("session")
        pages = []
        for page in (1, 2):
            users = self._users(random)
            self.members[name].update(users)
            pages.append(self._webhook(COHORTS, self._of(cohort("members", users, session, page, 2), name)))
        return Order(pages)

    def _feed(self, random: Random) -> Order:
        """Braze's Custom HTTP connector: Currents events."""
        ids = [self._next("http") for _ in range(HTTP_EVENTS)]
        self.currents.update(ids)
        events = [http.event(one, user=self._user(random)) for one in ids]
        return Order([lambda door: http.post(door, events)], HTTP_EVENTS)

    def _webhook(self, entry: str, body: dict[str, Any]) -> Send:
        return lambda door: door.send(entry, body, connector=self._connector)

    def _of(self, body: dict[str, Any], name: str) -> dict[str, Any]:
        body["parameters"] |= {"mixpanel_cohort_id": name, "mixpanel_cohort_name": name}
        return body

    def _user(self, random: Random) -> str:
        return f"user-{random.randrange(USERS)}"

    def _users(self, random: Random) -> list[str]:
        return [f"user-{number}" for number in random.sample(range(USERS), MEMBERS)]

    def _next(self, what: str) -> str:
        self._number += 1
        return f"{what}-{self._number}"

    def _deliver(self, order: Order) -> None:
        for request in order.requests:
            self._until_taken(request, order.events)

    def _until_taken(self, request: Send, events: int) -> None:
        """As vendors do: what is not answered, or answered 503, is sent again. By chance to another receiver."""
        deadline, tries = time.monotonic() + DELIVERY_SECONDS_MAX, 0
        chance = Random()  # which receiver it is depends on which ones listen, too
        while True:
            if (port := port_of(chance.choice(self._receivers), "receiving")) is not None:
                tries += 1
                answer = self._answer(Door(port, ANSWER_SECONDS_MAX), request)
                with self._lock:
                    self.answers[answer] += 1
                    self.repeated += events * (tries > 1)
                if answer.startswith("2"):
                    return
            assert time.monotonic() < deadline, f"not answered 2xx for {DELIVERY_SECONDS_MAX:.0f} s: {self.answers}"
            time.sleep(AGAIN_SECONDS)

    def _answer(self, door: Door, request: Send) -> str:
        try:
            return str(request(door).status)
        except (OSError, HTTPException):
            return NO_ANSWER
