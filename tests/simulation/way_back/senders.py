"""The vendors: each sends one request at a time, and the same one again until it is answered 2xx."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import orjson

from streams.wayback.reception import Reception, receive
from streams.wayback.records import Page, Record
from streams.workers.receiver.requests import NotWritten, ReceivedRequest
from tests.simulation import names as common
from tests.simulation.vendor import require
from tests.simulation.way_back import names
from tests.simulation.way_back.acts import Asked, Batch, Broken, Copied, Moved
from tests.simulation.way_back.processes import ReceiverProcess
from tests.simulation.way_back.truth import event_name

if TYPE_CHECKING:
    from tests.simulation.way_back.world import WayBack

ANSWER_SECONDS_MAX = 10.0
"""Then the sender is told to try again, and what did not begin is taken back."""
AGAIN_SECONDS = 1.0


class Sender:
    """One vendor."""

    def __init__(self, world: WayBack, name: str) -> None:
        self._world = world
        self._name = name
        self.waiting: deque[Asked] = deque()
        self._attempts = 0
        self._request: ReceivedRequest | None = None
        self._receiver: ReceiverProcess | None = None
        self._until = 0.0
        self._again_at = 0.0

    @property
    def is_idle(self) -> bool:
        return not self.waiting

    def step(self) -> None:
        """Look for the answer, or send."""
        now = self._world.clock.monotonic()
        if self._request is not None:
            self._look(self._request, now)
        elif self.waiting and now >= self._again_at:
            self._send(now)

    def _send(self, now: float) -> None:
        receivers = self._world.receivers()
        if not receivers:
            return
        self._attempts += 1
        entry, body = entry_of(self.waiting[0]), orjson.dumps(content_of(self.waiting[0]))
        request = ReceivedRequest(
            common.CONNECTOR,
            entry,
            names.SETTINGS.receive[entry],
            body,
            self._world.clock.epoch_ms(),
            f"{self._name}-{self._attempts}",
        )
        self._receiver = receivers[self._attempts % len(receivers)]
        self._request, self._until = request, now + ANSWER_SECONDS_MAX
        self._receiver.writer.submit(request)

    def _look(self, request: ReceivedRequest, now: float) -> None:
        assert self._receiver is not None
        answer = request.answer
        if answer.done():
            self._request = None
            try:
                reception = answer.result(0)
            except NotWritten:
                self._again_at = now + AGAIN_SECONDS
            else:
                self._answered(request, reception)
        elif self._receiver.life.is_over or now >= self._until:
            answer.cancel()
            self._request, self._again_at = None, now + AGAIN_SECONDS

    def _answered(self, request: ReceivedRequest, reception: Reception) -> None:
        require(200 <= reception.status < 300, f"a good request was answered {reception.status}")
        self._world.checker.require_written(records_of(request))
        self._world.truth.take(self.waiting.popleft())


def vendor_of(asked: Asked) -> str:
    return "mixpanel" if isinstance(asked, Copied | Moved) else "mparticle"


def entry_of(asked: Asked) -> str:
    return asked.group.partition("/")[0] if isinstance(asked, Copied | Moved) else "data"


def content_of(asked: Asked) -> Any:
    """The body, as the vendor writes it."""
    match asked:
        case Batch(user, attributes, events, has_email):
            identities = {"customer_id": names.USERS[user]} | ({"email": names.NO_EMAIL} if has_email else {})
            custom = [
                {"event_name": event_name(number), "source_message_id": event_name(number), "custom_attributes": {}}
                for number in events
            ]
            return {
                "user_identities": identities,
                "user_attributes": {name: value for name, value in attributes if value is not None},
                "deleted_user_attributes": [name for name, value in attributes if value is None],
                "events": [{"event_type": "custom_event", "data": one} for one in custom],
            }
        case Broken(number):
            return [number]
        case Copied(group, session, page, pages, users):
            info = {"page_count": page, "total_pages": pages}
            return _cohort("members", group, session, users, page_info=info)
        case Moved(group, session, change, users):
            return _cohort(change, group, session, users)


def _cohort(action: str, group: str, session: int, users: tuple[int, ...], **more: Any) -> Any:
    parameters = {
        "mixpanel_cohort_id": group.partition("/")[2],
        "mixpanel_cohort_name": names.COHORT_NAMES[group],
        "mixpanel_session_id": f"session-{session}",
        "members": [{"$distinct_id": names.USERS[user]} for user in users],
    }
    return {"action": action, "parameters": parameters | more}


def records_of(request: ReceivedRequest) -> list[tuple[Record, int]]:
    """The records that a request becomes, each with the number of partitions that get it."""
    taken = receive(request.entry_name, request.entry, request.body, request.received_ms, request.id).taken
    assert taken is not None, "a good request"
    return [(one, common.PARTITIONS if isinstance(one, Page) else 1) for one in taken.records]
