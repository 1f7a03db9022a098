"""The side of HTTP inlets: `POST /currents/<name>`, as Braze's Custom HTTP connector sends.

Braze drops events that it gets a 400, 401 or 403 for, and disables a connector at a 404. So events are answered 200
once they are in Kafka, 413 to be split, and 503 in every other case, which Braze tries again for days. What cannot be
read is written to Kafka, too, as a dead letter, and answered 200.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from streams.config.inlets import BODY_BYTES_MAX, PATH, HttpInlet
from streams.config.receiver import Receiver
from streams.events.custom_http.body import only_checks
from streams.ports.clock import Clock
from streams.ports.meters import ReceiverMeter
from streams.values import Secret
from streams.wayback.reception import KeysUnreadable
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
)
from streams.web.bodies import STEP_BYTES, Broken, Budget, Hold, NoRoom, TooLarge, read
from streams.web.connections import Connection
from streams.workers.receiver.requests import CurrentsRequest, NotWritten

RETRY_LATER_SECONDS = 60
"""After what only a person can change: a wrong token, or a wrong name."""
CHECK_BYTES_MAX = 4_096
"""A body that only checks the credentials is empty or nearly so. A larger one without a token is not read at all."""
GZIP = ("gzip", "x-gzip")
NO_ROOM = "too many bodies at once"


class CurrentsRoutes:
    """Answers requests to HTTP inlets; one loop uses it. `say` is told what people should know: what, inlet, why."""

    def __init__(
        self,
        settings: Receiver,
        inlets: Mapping[str, HttpInlet],
        prefixes: Mapping[str, str],
        backend: Backend,
        budget: Budget,
        clock: Clock,
        meter: ReceiverMeter,
        say: Callable[[str, str, str], None],
    ) -> None:
        self._settings = settings
        self._inlets = inlets
        self._prefixes = prefixes
        self._backend = backend
        self._budget = budget
        self._clock = clock
        self._meter = meter
        self._say = say

    def serves(self, path: str) -> bool:
        """Whether the path is of an inlet, perhaps of one that there is not."""
        return bool(self._inlets) and (path == PATH or path.startswith(f"{PATH}/"))

    def inlet_of(self, path: str) -> str | None:
        """The name of the inlet at this path, if there is one."""
        name = path.removeprefix(f"{PATH}/")
        return name if name in self._inlets else None

    async def answer(self, request: web.BaseRequest, connection: Connection, name: str | None) -> Answer:
        """Raises nothing but what ends the connection."""
        if name is None:
            why = f"there is no inlet of this name; there is {PATH}/<name>, by the names of the configuration"
            return not_now(why, RETRY_LATER_SECONDS)
        if request.method != hdrs.METH_POST:
            return refused(405, "POST only", Allow=hdrs.METH_POST)
        if connection.is_surplus:
            return not_now("too many connections")
        if self._backend.is_stopping():
            return not_now("the receiver is stopping")
        inlet = self._inlets[name]
        try:
            if _is_admitted(inlet.tokens, request.headers.get(hdrs.AUTHORIZATION, "")):
                return await self._taken(request, name)
            return await self._not_admitted(request, name, inlet)
        except KeysUnreadable:
            return not_now("tokens cannot be read now")
        except TooLarge:
            return refused(413, f"the body is larger than {BODY_BYTES_MAX} bytes, or holds too many items")
        except NoRoom:
            return not_now(NO_ROOM)
        except TimeoutError:
            return not_now(f"the body took longer than {BODY_SECONDS_MAX:.0f} s")
        except (web.RequestPayloadError, HttpProcessingError):
            return not_now("the body ended too early")

    async def _taken(self, request: web.BaseRequest, name: str) -> Answer:
        with _Holding(self._budget) as holding:
            async with asyncio.timeout(BODY_SECONDS_MAX):
                await go_on(request)
                body, problem = await _body(request, holding)
            self._meter.inlet_read(name, len(body))
            if len(body) <= CHECK_BYTES_MAX and not problem and only_checks(body):
                return Answer(200, {"written": 0, "parked": 0})
            return await self._written(
                CurrentsRequest(
                    name, self._prefixes[name], body, problem or _type_problem(request), self._clock.epoch_ms()
                )
            )

    async def _written(self, request: CurrentsRequest) -> Answer:
        if self._backend.is_away():
            return not_now("Kafka does not answer")
        try:
            reception = await reception_of(self._backend, request, self._settings.answer_within)
        except TimeoutError:
            return not_now(TOO_SLOW)
        except NotWritten as error:
            return not_now(str(error))
        return Answer(reception.status, reception.content)

    async def _not_admitted(self, request: web.BaseRequest, name: str, inlet: HttpInlet) -> Answer:
        """A check of the credentials is told the truth. Events are kept at Braze until the token is right."""
        self._meter.inlet_not_admitted(name)
        self._say("a request is refused", name, "a wrong or missing token")
        is_check = False
        if (request.content_length or 0) <= CHECK_BYTES_MAX:
            async with asyncio.timeout(BODY_SECONDS_MAX):
                await go_on(request)
                is_check = await _is_check(request)
        if is_check or inlet.unauthorized == 401:
            return refused(401, "wrong or missing token", **{hdrs.WWW_AUTHENTICATE: 'Bearer realm="streams"'})
        return not_now("wrong or missing token", RETRY_LATER_SECONDS)


class _Holding:
    """What one request holds of the budget: its body as it came, and as inflated."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._holds: list[Hold] = []

    def hold(self, size: int, *, is_gzip: bool = False) -> Hold:
        """Raises `TooLarge` and `NoRoom`."""
        self._holds.append(Hold(self._budget, BODY_BYTES_MAX, size, is_gzip))
        return self._holds[-1]

    def __enter__(self) -> _Holding:
        return self

    def __exit__(self, *_: object) -> None:
        for hold in self._holds:
            hold.release()


async def _body(request: web.BaseRequest, holding: _Holding) -> tuple[bytes, str]:
    """The body as inflated; as it came where that cannot be done, and why. Raises `TooLarge` and `NoRoom`."""
    held = holding.hold(request.content_length or 0)
    raw = await read(chunks(request), held, is_gzip=False)
    encoding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower()
    if encoding in ("identity", "") or not raw:
        return raw, ""
    if encoding not in GZIP:
        return raw, "its Content-Encoding is not gzip"
    try:
        body = await read(_steps(raw), holding.hold(len(raw), is_gzip=True), is_gzip=True)
    except Broken:
        return raw, "the body is not gzip, or not complete"
    held.release()
    return body, ""


async def _steps(raw: bytes) -> AsyncIterator[bytes]:
    """Small steps, between which others are served."""
    for start in range(0, len(raw), STEP_BYTES):
        yield raw[start : start + STEP_BYTES]
        await asyncio.sleep(0)


async def _is_check(request: web.BaseRequest) -> bool:
    """Whether a small body has no events; what cannot be read may hold some."""
    budget = Budget(2 * CHECK_BYTES_MAX)
    is_gzip = request.headers.get(hdrs.CONTENT_ENCODING, "").strip().lower() in GZIP
    try:
        body = await read(chunks(request), Hold(budget, CHECK_BYTES_MAX, None, False), is_gzip=False)
        if is_gzip and body:
            body = await read(_steps(body), Hold(budget, CHECK_BYTES_MAX, None, False), is_gzip=True)
    except (TooLarge, NoRoom, Broken):
        return False
    return only_checks(body)


def _type_problem(request: web.BaseRequest) -> str:
    """Why the body is not JSON by what its header says; empty where it may be, or where nothing is said."""
    if hdrs.CONTENT_TYPE not in request.headers:
        return ""
    kind = request.content_type.lower()
    if kind != "application/json" and not kind.endswith("+json"):
        return "its Content-Type is not application/json"
    if (request.charset or "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        return "its charset is not UTF-8"
    return ""


def _is_admitted(tokens: Sequence[Secret], authorization: str) -> bool:
    """Whether the header carries one of the tokens, compared in constant time.

    Raises `KeysUnreadable` where a token that cannot be read now might be the right one.
    """
    scheme, _, token = authorization.partition(" ")
    given = (token.strip() if scheme.lower() == "bearer" else authorization).encode(errors="surrogateescape")
    found = unreadable = 0
    for secret in tokens:
        try:
            found += hmac.compare_digest(given, secret.reveal().encode())
        except ValueError:
            unreadable += 1
    if unreadable and not found:
        raise KeysUnreadable
    return found > 0
