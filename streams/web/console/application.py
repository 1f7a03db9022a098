"""From a request to an answer: guard, session, route, page. Errors become words; nothing secret is logged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson
import structlog
from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from streams.web.connections import Connection
from streams.web.console.desk import Asked, Desk, Download, Page, SeeOther, Shown
from streams.web.console.failures import Failure, PageError, told_failures, words_of
from streams.web.console.guard import HEADERS, Guard
from streams.web.console.html import STATIC_TYPES, render, static
from streams.web.console.live import Live
from streams.web.console.routes import Found, Routes
from streams.web.console.sessions import COOKIE, SESSION_SECONDS, Sessions, User

log = structlog.get_logger(__name__)

FORM_BYTES_MAX = 64_000
YEAR_SECONDS = 31_536_000
AGAIN_SECONDS = 5
"""Without JavaScript, a page that cannot be shown now is asked for again."""
SIGN_IN = "/sign-in"
SIGN_OUT = "/sign-out"
LIVE = "/live"


class ConsoleApplication:
    """Answers requests; one loop uses it."""

    def __init__(self, desk: Desk, routes: Routes, sessions: Sessions, live: Live) -> None:
        self._desk = desk
        self._routes = routes
        self._sessions = sessions
        self._guard = Guard(desk.settings.console)
        self._live = live
        self.refused: Counter[str] = Counter()
        """Attempts that were refused, by why."""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Raises nothing but what ends the connection."""
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.header_came()
        try:
            return await self._answered(request, connection)
        finally:
            connection.answered()

    async def _answered(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        user: User | None = None
        try:
            self._check(request, connection)
            if request.path.startswith("/static/"):
                return self._static(request.path)
            cookie = request.cookies.get(COOKIE)
            if request.path == SIGN_IN and self._sessions.has_sign_in:
                return await self._sign_in(request)
            user = self._sessions.user(cookie, request.headers.get(hdrs.AUTHORIZATION, ""), request.headers)
            if user is None:
                return self._not_signed_in(request)
            if request.path == LIVE and request.method == "GET":
                self._desk.watch.asked()
                return await self._live.stream(request, HEADERS)
            return await self._page(request, user)
        except told_failures() as error:
            failure = words_of(error)
            self._note_refusal(request, user, failure)
            return self._failed(request, user, failure)
        except (web.RequestPayloadError, HttpProcessingError):
            return self._failed(request, user, Failure(400, "Broken request", "the body does not match its header", ""))
        except ConnectionError:
            raise
        except Exception:  # one page must not end the console
            log.exception("a page failed", path=request.path)
            fault = Failure(500, "A fault of the console", "this page failed; the console's log says where", "")
            return self._failed(request, user, fault)

    def _check(self, request: web.BaseRequest, connection: Connection) -> None:
        """Raises `PageError` for what no page may be asked for."""
        if connection.is_surplus:
            raise PageError(503, "Too busy", "too many connections are open", "close some pages, and try again")
        self._guard.check_host(request.host)
        if request.method not in ("GET", "HEAD", "POST"):
            raise PageError(405, "Method not allowed", "open pages with GET, send orders with POST")
        if request.method == "POST":
            self._guard.check_origin(request.host, request.headers.get(hdrs.ORIGIN))

    async def _page(self, request: web.BaseRequest, user: User) -> web.StreamResponse:
        if request.method == "POST" and request.path == SIGN_OUT:
            self._check_form(user, await _form_of(request))
            return self._sign_out(request)
        found = self._routes.find(request.method, request.path)
        if found is None:
            if methods := self._routes.methods(request.path):
                raise PageError(405, "Method not allowed", f"this address takes {' and '.join(methods)}")
            raise PageError(404, "No such page", f"there is nothing at {request.path[:200]}", "start at the overview")
        form: Mapping[str, str] = {}
        if request.method == "POST":
            form = await _form_of(request)
            self._check_order(found, user, form)
        query = {name: request.query.getall(name) for name in request.query}
        self._desk.watch.asked()
        asked = Asked(request.path, found.names, query, form, user, found.is_json)
        return self._shown(await found.route.handler(self._desk, asked), asked)

    def _check_form(self, user: User, form: Mapping[str, str]) -> None:
        """Raises `PageError` for a form that is not from a page of this user."""
        if not self._sessions.is_own_form(user, form.get("csrf", "")):
            fix = "go back, load the page again, and send it once more"
            raise PageError(403, "The form is out of date", "the form is not from a page of this sign-in", fix)

    def _check_order(self, found: Found, user: User, form: Mapping[str, str]) -> None:
        """Raises `PageError` for a form that is not from a page of this user, or that may not be sent here."""
        self._check_form(user, form)
        if found.route.rule == "writes" and not self._desk.writes:
            fix = "use the command line, or set console.write: true"
            raise PageError(403, "Read only", "this console accepts no orders (console.write is false)", fix)
        if found.route.rule == "reveals" and not self._desk.reveals:
            fix = "use streams dlq show --show-payload, or set console.reveal: true"
            raise PageError(
                403, "Personal data is hidden", "this console shows no personal data (console.reveal is false)", fix
            )

    async def _sign_in(self, request: web.BaseRequest) -> web.StreamResponse:
        following = _local(request.query.get("next", "/"))
        if request.method != "POST":
            return self._html(Page("sign_in.html", "Sign in", {}, {"following": following, "failure": None}), None)
        form = await _form_of(request)
        session = self._sessions.sign_in(form.get("token", ""))
        if session is None:
            self.refused["sign-in"] += 1
            log.warning("a sign-in is refused", remote=request.remote)
            failure = Failure(401, "Not signed in", "nobody has this token", "")
            page = Page("sign_in.html", "Sign in", {}, {"following": following, "failure": failure}, 401)
            return self._html(page, None)
        response = _see(_local(form.get("next", following)))
        response.set_cookie(
            COOKIE,
            session,
            max_age=SESSION_SECONDS,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=self._desk.settings.console.is_secure,
        )
        return response

    def _sign_out(self, request: web.BaseRequest) -> web.StreamResponse:
        self._sessions.sign_out(request.cookies.get(COOKIE))
        response = _see(SIGN_IN if self._sessions.has_sign_in else "/")
        response.del_cookie(COOKIE, path="/")
        return response

    def _not_signed_in(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "GET" and not request.path.endswith(".json") and request.path != LIVE:
            return _see(f"{SIGN_IN}?next={quote(request.path_qs, safe='')}" if request.path != "/" else SIGN_IN)
        failure = Failure(401, "Not signed in", "sign in first, or send a token as Authorization: Bearer", "")
        self._note_refusal(request, None, failure)
        response = self._failed(request, None, failure)
        response.headers[hdrs.WWW_AUTHENTICATE] = 'Bearer realm="streams"'
        return response

    def _shown(self, shown: Shown, asked: Asked) -> web.StreamResponse:
        match shown:
            case SeeOther(location):
                return _see(location)
            case Download(name, content_type, body):
                headers = {**HEADERS, "Content-Type": content_type}
                headers["Content-Disposition"] = f'attachment; filename="{name}"'
                return web.Response(body=body, headers=headers)
            case Page():
                return _json(shown.status, shown.content) if asked.is_json else self._html(shown, asked)

    def _html(self, page: Page, asked: Asked | None) -> web.StreamResponse:
        snapshot = self._desk.watch.snapshot
        console = self._desk.settings.console
        values = {
            "page": page,
            "user": None if asked is None else asked.user,
            "path": "" if asked is None else asked.path,
            "snapshot": snapshot,
            "now_ms": self._desk.clock.epoch_ms(),
            "writes": console.write,
            "reveals": console.reveal,
            "settings": self._desk.settings,
            **page.content,
            **page.also,
        }
        body = render(page.template, values).encode()
        return web.Response(
            status=page.status, body=body, headers={**HEADERS, "Content-Type": "text/html; charset=utf-8"}
        )

    def _failed(self, request: web.BaseRequest, user: User | None, failure: Failure) -> web.Response:
        if request.path.endswith(".json"):
            content = {"error": failure.what, "fix": failure.fix or None}
            response = _json(failure.status, content)
        else:
            asked = None if user is None else Asked(request.path, {}, {}, {}, user)
            again = AGAIN_SECONDS if failure.status == 503 and request.method == "GET" else None
            page = Page("failure.html", failure.title, {}, {"failure": failure}, failure.status, again)
            made = self._html(page, asked)
            assert isinstance(made, web.Response)
            response = made
        if request.method == "POST" and request.can_read_body:
            response.force_close()
        return response

    def _static(self, path: str) -> web.StreamResponse:
        name = path.rpartition("/")[2]
        try:
            body = static(name)
        except KeyError:
            raise PageError(404, "No such file", f"there is no file {name[:100]}") from None
        keep = {"Content-Type": STATIC_TYPES[name], "Cache-Control": f"private, max-age={YEAR_SECONDS}, immutable"}
        return web.Response(body=body, headers={**HEADERS, **keep})

    def _note_refusal(self, request: web.BaseRequest, user: User | None, failure: Failure) -> None:
        """Counted and logged, without what was sent."""
        if failure.status not in (401, 403, 421, 429):
            return
        self.refused[failure.title] += 1
        who = "nobody" if user is None else user.name
        log.warning("a request is refused", why=failure.title, who=who, method=request.method, path=request.path[:200])


async def _form_of(request: web.BaseRequest) -> Mapping[str, str]:
    if request.content_type != "application/x-www-form-urlencoded":
        raise PageError(415, "Not a form", "an order must be sent as a form (application/x-www-form-urlencoded)")
    if (request.content_length or 0) > FORM_BYTES_MAX:
        raise PageError(413, "Too long", f"a form may have {FORM_BYTES_MAX:,} bytes")
    try:
        posted = await request.post()
    except web.HTTPRequestEntityTooLarge:
        raise PageError(413, "Too long", f"a form may have {FORM_BYTES_MAX:,} bytes") from None
    except (UnicodeDecodeError, LookupError):
        raise PageError(400, "Not a form", "the form is not UTF-8") from None
    return {name: value for name, value in posted.items() if isinstance(value, str)}


def _local(address: str) -> str:
    """An address of ours; the overview for any other."""
    is_ours = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    return address if is_ours else "/"


def _see(location: str) -> web.Response:
    return web.Response(status=303, headers={**HEADERS, "Location": location})


def _json(status: int, content: Mapping[str, Any]) -> web.Response:
    body = orjson.dumps({"v": 1, **content})
    return web.Response(status=status, body=body, headers={**HEADERS, "Content-Type": "application/json"})
