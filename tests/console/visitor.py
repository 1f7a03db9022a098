"""A console process for tests, and somebody who asks it over HTTP as a browser without scripts would."""

from __future__ import annotations

import json
import re
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import yaml

from streams.testing.processes import Child
from tests.waiting import wait_until

ANSWER_SECONDS_MAX = 90.0
_ADDRESS = re.compile(r"the console is at (https?://\S+)/")


@dataclass(frozen=True, slots=True)
class Form:
    """A form of a page: where it goes, and the fields that it has already."""

    action: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def content(self) -> dict[str, Any]:
        content = json.loads(self.text)
        assert isinstance(content, dict)
        return content

    @property
    def words(self) -> str:
        """The text that a person reads, with single blanks."""
        return " ".join(_parsed(self.text).words)

    def forms(self) -> list[Form]:
        return _parsed(self.text).forms

    def form(self, action: str) -> Form:
        """The first form that goes to this address."""
        found = [form for form in self.forms() if form.action == action]
        assert found, f"no form goes to {action}; there are {[form.action for form in self.forms()]}"
        return found[0]

    @property
    def links(self) -> list[str]:
        return _parsed(self.text).links


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.links: list[str] = []
        self.forms: list[Form] = []
        self._fields: dict[str, str] | None = None
        self._action = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._fields, self._action = {}, found.get("action", "")
        elif tag in ("input", "button") and self._fields is not None and found.get("name"):
            self._fields[found["name"]] = found.get("value", "")
        elif tag == "a" and "href" in found:
            self.links.append(found["href"])

    def handle_endtag(self, tag: str) -> None:
        if tag == "form" and self._fields is not None:
            self.forms.append(Form(self._action, self._fields))
            self._fields = None

    def handle_data(self, data: str) -> None:
        self.words += data.split()


def _parsed(text: str) -> _Parser:
    parser = _Parser()
    parser.feed(text)
    return parser


class Visitor:
    """Asks one console. Follows nothing by itself; keeps the cookie that it is given."""

    def __init__(self, base: str, tls: ssl.SSLContext | None = None) -> None:
        """`tls` is what an address with https is trusted by."""
        parts = urlsplit(base)
        assert parts.hostname is not None
        assert parts.port is not None
        self.host, self.port = parts.hostname, parts.port
        self.base, self.tls = base, tls
        self.cookie = ""

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers=headers)

    def seen(self, path: str, holds: Callable[[Answer], bool], what: str) -> Answer:
        """The page of which this holds, once there is one: the next page may be another."""
        newest: list[Answer] = []

        def is_there() -> bool:
            newest[:] = [self.get(path)]
            return holds(newest[0])

        try:
            wait_until(is_there, f"{path} to {what}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{newest[0].status}: {newest[0].words}") from error
        return newest[0]

    def reading(self, path: str, words: str) -> Answer:
        """The page that says these words."""
        return self.seen(path, lambda page: words in page.words, f"say {words}")

    def page(self, path: str) -> Answer:
        """The page, once it can be shown: it cannot before the first look is over, nor while Kafka is slow."""
        return self.seen(path, lambda page: page.status != 503, "be shown")

    def form(self, path: str, goes_to: str) -> Form:
        """The form of a page that goes to `goes_to`, once the page has it."""
        page = self.seen(path, lambda page: any(one.action == goes_to for one in page.forms()), f"offer {goes_to}")
        return page.form(goes_to)

    def json(self, path: str) -> dict[str, Any]:
        answer = self.page(path)
        assert answer.status == 200, answer.text
        return answer.content

    def await_twin(self, path: str, printed: Callable[[], Mapping[str, Any]]) -> None:
        """Wait until a page's twin has what a command prints: each of the two looks at a time of its own."""
        command: Mapping[str, Any] = {}

        def are_same(twin: Answer) -> bool:
            nonlocal command
            command = printed()
            return twin.status == 200 and twin.content == command

        try:
            self.seen(path, are_same, "have what the command prints")
        except AssertionError as error:
            raise AssertionError(f"{error}\nthe command: {command}") from error

    def post(self, path: str, fields: Mapping[str, str], origin: str | None = "own", **headers: str) -> Answer:
        """A form, from a page of this console if no other `origin` is given."""
        given = {"Content-Type": "application/x-www-form-urlencoded", **headers}
        if origin is not None:
            given["Origin"] = self.base if origin == "own" else origin
        return self.ask("POST", path, urlencode(fields), given)

    def send(self, page: str, goes_to: str, /, **fields: str) -> Answer:
        """Open a page, fill in the form that goes to `goes_to`, and send it."""
        return self.post(goes_to, {**self.form(page, goes_to).fields, **fields})

    def ask(self, method: str, path: str, body: str | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        connection = self._connection()
        given = dict(headers or {})
        if self.cookie:
            given["Cookie"] = self.cookie
        try:
            connection.request(method, path, body, given)
            response = connection.getresponse()
            text = response.read().decode()
            found = {name.lower(): value for name, value in response.getheaders()}
        finally:
            connection.close()
        if "set-cookie" in found:
            self.cookie = found["set-cookie"].partition(";")[0]
        return Answer(response.status, found, text)

    def _connection(self) -> HTTPConnection:
        if self.tls is None:
            return HTTPConnection(self.host, self.port, timeout=ANSWER_SECONDS_MAX)
        return HTTPSConnection(self.host, self.port, timeout=ANSWER_SECONDS_MAX, context=self.tls)


@contextmanager
def console(
    config: Path, settings: Mapping[str, Any] | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[Visitor]:
    """A console process of this configuration, with a `console` section of its own; it ends with the block."""
    content = yaml.safe_load(config.read_text())
    content["console"] = {"port": 0, **(settings or {})}
    own = config.with_name(f"console-{len(list(config.parent.glob('console-*')))}.yaml")
    own.write_text(yaml.safe_dump(content))
    log = own.with_suffix(".log")
    process = Child([sys.executable, "-m", "streams", "run", "console", "--config", str(own)], log)
    try:
        wait_until(lambda: bool(_ADDRESS.search(log.read_text())) or not process.is_running(), "the console to listen")
        found = _ADDRESS.search(log.read_text())
        assert found is not None, process.last_lines()
        yield Visitor(found[1], tls)
    finally:
        process.stop()
