"""Tokens of a destination that wants one: when a new one is fetched, and what a refusal of one means."""

from __future__ import annotations

from dataclasses import replace

import orjson

from streams.delivery.contract import Misconfigured, Request, Response, Retry, Token, Unauthorised
from streams.testing.ports import FakeTransport, accepted
from streams.workers.sink.tokens import Tokens, signed

SCOPE, OTHER = "default", "other"


class Desk:
    """Gives tokens by number: each is good for `seconds`. A status other than 200 gives none."""

    def __init__(self, seconds: float = 100.0) -> None:
        self.seconds = seconds
        self.status = 200
        self.given = 0

    def __call__(self, request: Request) -> Response:
        if self.status != 200:
            return accepted(self.status)
        self.given += 1
        return accepted(body=orjson.dumps({"token": f"token-{self.given}", "seconds": self.seconds}))


class SignIn:
    """A sign-in as destinations have it."""

    def ask(self, scope: str) -> Request:
        return Request("POST", f"https://desk.test/{scope}", {}, b"")

    def read(self, response: Response) -> Token | Retry | Unauthorised | Misconfigured:
        if response.status == 401:
            return Unauthorised(401, "unknown client")
        if response.status != 200:
            return Retry("the desk is closed", status=response.status)
        body = orjson.loads(response.body)
        return Token(body["token"], body["seconds"])

    def sign(self, request: Request, token: Token) -> Request:
        return replace(request, headers={**request.headers, "Authorization": f"Bearer {token.text}"})


class Signing:
    """Tokens, fetched at a desk through the transport; one ticket for each request."""

    def __init__(self, desk: Desk | None = None) -> None:
        self.desk = desk or Desk()
        self.tokens = Tokens()
        self.sign_in = SignIn()
        self.transport = FakeTransport(self.desk)
        self._ticket = 0

    def ask(self, scope: str, now: float) -> None:
        self._ticket += 1
        self.tokens.asked(self._ticket, scope, now)
        self.transport.submit(self._ticket, self.sign_in.ask(scope))

    def take(self, now: float) -> list[object]:
        """What each answer that came means; None where it brought a token."""
        taken: list[object] = []
        for answer in self.transport.answers(0.0):
            asker = self.tokens.asker(answer.ticket)
            assert asker is not None
            assert isinstance(answer.outcome, Response)
            taken.append(self.tokens.take(asker[0], self.sign_in, answer.outcome, now))
        return taken

    def fetch(self, scope: str = SCOPE, now: float = 0.0) -> Token:
        self.ask(scope, now)
        assert self.take(now) == [None]
        token = self.tokens.current(scope, now)
        assert token is not None
        return token


def test_there_is_no_token_before_one_was_fetched() -> None:
    signing = Signing()
    assert signing.tokens.current(SCOPE, 0.0) is None
    assert signing.fetch().text == "token-1"


def test_a_scope_waits_for_its_token_until_the_answer_came_and_other_scopes_do_not() -> None:
    signing = Signing()
    signing.ask(SCOPE, 3.0)
    assert signing.tokens.awaits(SCOPE)
    assert not signing.tokens.awaits(OTHER)
    assert signing.take(4.0) == [None]
    assert not signing.tokens.awaits(SCOPE)


def test_a_ticket_tells_once_who_asked_and_when() -> None:
    tokens = Tokens()
    tokens.asked(7, SCOPE, 3.0)
    assert tokens.asker(8) is None
    assert tokens.asker(7) == (SCOPE, 3.0)
    assert tokens.asker(7) is None


def test_each_scope_has_a_token_of_its_own() -> None:
    signing = Signing()
    assert (signing.fetch(SCOPE).text, signing.fetch(OTHER).text) == ("token-1", "token-2")
    current = signing.tokens.current(SCOPE, 1.0)
    assert current is not None
    assert current.text == "token-1"


def test_a_new_token_is_due_a_tenth_of_its_life_before_it_expires() -> None:
    signing = Signing(Desk(seconds=100.0))
    signing.fetch(now=1_000.0)
    assert signing.tokens.current(SCOPE, 1_089.9) is not None
    assert signing.tokens.current(SCOPE, 1_090.0) is None


def test_a_token_that_lives_long_is_renewed_one_minute_before_it_expires() -> None:
    signing = Signing(Desk(seconds=3_600.0))
    signing.fetch()
    assert signing.tokens.current(SCOPE, 3_539.9) is not None
    assert signing.tokens.current(SCOPE, 3_540.0) is None


def test_an_answer_without_a_token_keeps_nothing_and_says_what_it_means() -> None:
    signing = Signing()
    signing.desk.status = 401
    signing.ask(SCOPE, 0.0)
    assert signing.take(0.0) == [Unauthorised(401, "unknown client")]
    signing.desk.status = 503
    signing.ask(SCOPE, 1.0)
    assert signing.take(1.0) == [Retry("the desk is closed", status=503)]
    assert signing.tokens.current(SCOPE, 1.0) is None
    assert not signing.tokens.awaits(SCOPE)


def test_a_token_that_was_accepted_before_is_replaced_when_it_is_refused() -> None:
    signing = Signing()
    token = signing.fetch()
    signing.tokens.proved(SCOPE, token)
    refusal = signing.tokens.refused(SCOPE, token)
    assert refusal is not None
    assert refusal.status == 401
    assert signing.tokens.current(SCOPE, 0.0) is None
    assert signing.fetch().text == "token-2"


def test_a_new_token_that_is_refused_at_once_means_that_the_credentials_are_refused() -> None:
    signing = Signing()
    token = signing.fetch()
    assert signing.tokens.refused(SCOPE, token) is None
    assert signing.tokens.current(SCOPE, 0.0) is None


def test_a_refusal_of_an_earlier_token_leaves_the_new_one() -> None:
    signing = Signing()
    earlier = signing.fetch()
    new = signing.fetch()
    assert signing.tokens.refused(SCOPE, earlier) is not None
    assert signing.tokens.current(SCOPE, 0.0) is new


def test_an_earlier_token_that_is_accepted_proves_nothing_of_the_new_one() -> None:
    signing = Signing()
    earlier = signing.fetch()
    new = signing.fetch()
    signing.tokens.proved(SCOPE, earlier)
    assert signing.tokens.refused(SCOPE, new) is None


def test_tokens_of_secrets_that_were_read_again_are_forgotten() -> None:
    signing = Signing()
    token = signing.fetch()
    signing.tokens.proved(SCOPE, token)
    signing.tokens.forget()
    assert signing.tokens.current(SCOPE, 0.0) is None
    assert signing.tokens.refused(SCOPE, token) is not None, "a request of before is sent again"


def test_a_request_leaves_signed_where_there_is_a_token_and_else_as_it_is() -> None:
    request = Request("POST", "https://vendor.test", {"X": "1"}, b"body")
    sent = signed(request, SignIn(), Token("token", 60.0))
    assert (sent.headers, sent.body) == ({"X": "1", "Authorization": "Bearer token"}, b"body")
    assert signed(request, None, None) is request
