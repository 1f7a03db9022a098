"""The receiver's HTTP side: `POST /receive/<connector>/<entry>`, checked, read, and answered after the commit.

What Braze sends to `/currents` has rules of its own: see `web/currents.py`.

Checks come in this order, so that who has no key costs least: address, method, type, key, limits, room. An answer of
503 means that the sender must try again. It is never the answer if a retry cannot help.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from uuid import uuid4

import structlog
from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from streams.config.inlets import PATH as PATH_OF_INLETS
from streams.config.inlets import HttpInlet
from streams.config.receiver import PATH, Entries, Receiver
from streams.ports.clock import Clock
from streams.ports.meters import ReceiverMeter
from streams.wayback.entries import Entry, MixpanelCohorts, MParticleAudiences
from streams.wayback.reception import KeysUnreadable, is_admitted, unauthorised
from streams.web.answers import (
    BODY_SECONDS_MAX,
    TOO_SLOW,
    Answer,
    Backend,
    chunks,
    go_on,
    not_now,
    reception_of,
    refused,
    response_of,
)
from streams.web.bodies import Broken, Budget, Hold, NoRoom, TooLarge, read
from streams.web.connections import Connection
from streams.web.currents import CurrentsRoutes
from streams.workers.receiver.requests import NotWritten, ReceivedRequest

log = structlog.get_logger(__name__)

NOWHERE = "-"
"""Stands in metrics for an address that no entry has: who asks chooses no label."""
GONE = "none"
"""Stands in metrics for the status of a request whose sender went away."""
SAY_SECONDS = 60.0
"""Between two lines about one entry for the same reason."""
AMAZON_KEY_HEADER = "X-Amz-Firehose-Access-Key"
"""Where Amazon's streams put the key of an HTTP endpoint."""
TYPES = frozenset({"application/json", "application/x-ndjson", "application/x-amz-json-1.1"})


class ReceiverRoutes:
    """Answers requests; one loop uses it."""

    def __init__(
        self,
        settings: Receiver,
        entries: Entries,
        backend: Backend,
        clock: Clock,
        meter: ReceiverMeter,
        inlets: Mapping[str, HttpInlet] | None = None,
        prefixes: Mapping[str, str] | None = None,
    ) -> None:
        """`inlets` are HTTP inlets by name, and `prefixes` what their topics' names begin with."""
        self._settings = settings
        self._places = {
            f"{PATH}/{connector}/{name}": (connector, name, entry)
            for connector, those in entries.items()
            for name, entry in those.items()
        }
        self._backend = backend
        self._clock = clock
        self._meter = meter
        self._budget = Budget(settings.memory)
        self._said_at: dict[str, float] = {}
        self._currents = CurrentsRoutes(
            settings, inlets or {}, prefixes or {}, backend, self._budget, clock, meter, self._say_of_inlet
        )
        self.in_hand = 0
        """Requests whose header came and that are not answered yet."""

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Raises nothing but what ends the connection."""
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.header_came()
        if self._currents.serves(request.path):
            inlet = self._currents.inlet_of(request.path)
            name = inlet or NOWHERE
            given = await self._measured(
                connection,
                self._currents.answer(request, connection, inlet),
                measure=partial(self._meter.inlet_answered, name),
                say=partial(self._say_of_inlet, "Braze is told to try again", name),
            )
        else:
            connector, name, entry = self._places.get(request.path, (NOWHERE, NOWHERE, None))
            given = await self._measured(
                connection,
                self._checked(request, connection, connector, name, entry),
                measure=partial(self._meter.answered, connector, name),
                say=partial(self._say, "senders are told to try again", connector, name),
            )
        return response_of(given)

    async def _measured(
        self,
        connection: Connection,
        answering: Awaitable[Answer],
        *,
        measure: Callable[[str, float], None],
        say: Callable[[str], None],
    ) -> Answer:
        """The answer, counted while it is on its way.

        `measure` is told its status and how long it took, also where the sender went away; `say` why it is a 503.
        """
        began = self._clock.monotonic()
        code = GONE
        self._count(1)
        try:
            given = await answering
            code = str(given.status)
            if given.status == 503:
                say(str(given.content["error"]))
        finally:
            self._count(-1)
            measure(code, self._clock.monotonic() - began)
            connection.answered()
        return given

    def _count(self, more: int) -> None:
        self.in_hand += more
        self._meter.in_hand(self.in_hand)

    async def _checked(
        self, request: web.BaseRequest, connection: Connection, connector: str, name: str, entry: Entry | None
    ) -> Answer:
        if entry is None:
            return refused(
                404,
                f"there is no such address; addresses are {PATH}/<connector>/<entry>, with names of the configuration",
            )
        if request.method != hdrs.METH_POST:
            return refused(405, "POST only", Allow=hdrs.METH_POST)
        if problem := _type_problem(request):
            return refused(415, problem)
        try:
            if is_admitted(entry, _authorization(request, entry)) is False:
                return self._not_admitted(connector, name, entry)
            if connection.is_surplus:
                return not_now("too many connections")
            if self._backend.is_stopping():
                return not_now("the receiver is stopping")
            if self._backend.is_away():
                return not_now("Kafka does not answer")
            return await self._taken(request, connector, name, entry)
        except KeysUnreadable:
            return not_now("keys cannot be read now")

    async def _taken(self, request: web.BaseRequest, connector: str, name: str, entry: Entry) -> Answer:
        is_gzip = request.headers.get(hdrs.CONTENT_ENCODING, "").lower() == "gzip"
        try:
            hold = Hold(self._budget, self._settings.body_max, request.content_length, is_gzip)
        except TooLarge:
            return _too_large(self._settings.body_max)
        except NoRoom:
            return not_now("too many bodies at once")
        try:
            await go_on(request)
            async with asyncio.timeout(BODY_SECONDS_MAX):
                body = await read(chunks(request), hold, is_gzip)
            self._meter.read(connector, name, len(body))
            return await self._written(ReceivedRequest(
                connector, name, entry, body, self._clock.epoch_ms(), str(uuid4())
            ))  # fmt: skip
        except TooLarge:
            return _too_large(self._settings.body_max)
        except NoRoom:
            return not_now("too many bodies at once")
        except Broken:
            return refused(400, "the body is not gzip, or not complete")
        except TimeoutError:
            return refused(408, f"the body took longer than {BODY_SECONDS_MAX:.0f} s")
        except (web.RequestPayloadError, HttpProcessingError):
            return refused(400, "the body does not match its header")
        finally:
            hold.release()

    async def _written(self, request: ReceivedRequest) -> Answer:
        """The answer, once the request is in Kafka. Raises `KeysUnreadable`."""
        try:
            reception = await reception_of(self._backend, request, self._settings.answer_within)
        except TimeoutError:
            return not_now(TOO_SLOW)
        except NotWritten as error:
            return not_now(str(error))
        if reception.status == 401:
            return self._not_admitted(request.connector, request.entry_name, request.entry)
        return Answer(reception.status, reception.content)

    def _not_admitted(self, connector: str, name: str, entry: Entry) -> Answer:
        self._meter.not_admitted(connector, name)
        self._say("a request is refused", connector, name, "a wrong or missing key")
        scheme = "Basic" if isinstance(entry, MixpanelCohorts) else "Bearer"
        reception = unauthorised(entry)
        return Answer(reception.status, reception.content, {hdrs.WWW_AUTHENTICATE: f'{scheme} realm="streams"'})

    def _say_of_inlet(self, what: str, inlet: str, why: str) -> None:
        if self._is_new(f"{PATH_OF_INLETS}/{inlet}: {why}"):
            log.warning(what, inlet=inlet, why=why)

    def _say(self, what: str, connector: str, name: str, why: str) -> None:
        if self._is_new(f"{connector}/{name}: {why}"):
            log.warning(what, connector=connector, entry=name, why=why)

    def _is_new(self, sentence: str) -> bool:
        """Once in a while: anyone who knows the address can make it happen as often as they like."""
        now = self._clock.monotonic()
        if now - self._said_at.get(sentence, float("-inf")) < SAY_SECONDS:
            return False
        self._said_at[sentence] = now
        return True


def _authorization(request: web.BaseRequest, entry: Entry) -> str:
    given = request.headers.get(hdrs.AUTHORIZATION, "")
    if not given and isinstance(entry, MParticleAudiences):
        return request.headers.get(AMAZON_KEY_HEADER, "")
    return given


def _type_problem(request: web.BaseRequest) -> str:
    """Why the body cannot be read by what its header says; empty where it can."""
    kind = request.content_type.lower()
    if hdrs.CONTENT_TYPE not in request.headers or not (kind in TYPES or kind.endswith("+json")):
        return "Content-Type must be application/json"
    if (request.charset or "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        return "the body must be UTF-8"
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() not in ("identity", "gzip"):
        return "Content-Encoding must be gzip, or absent"
    return ""


def _too_large(body_max: int) -> Answer:
    return refused(413, f"the body is larger than {body_max} bytes; receiver.body_max sets it")
