"""From batches to answers: sends what the lanes say is due, and gives them the answers' verdicts."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import structlog

from streams.delivery.backoff import parse_retry_after
from streams.delivery.batch import Batch
from streams.delivery.contract import (
    Delivered,
    Destination,
    Misconfigured,
    NoResponse,
    Retry,
    Token,
    Unauthorised,
    Verdict,
)
from streams.delivery.gate import CredentialsRefused, Failed, Parking
from streams.delivery.lane import Lane
from streams.delivery.pace import TokenBucket
from streams.delivery.queues import PartitionOrder
from streams.ports.http import Answer
from streams.ports.kafka import Message
from streams.state.worker_records import BackOff, Suspect
from streams.workers.reading.wait_report import epoch_ms
from streams.workers.sink.encoders import EncoderCache
from streams.workers.sink.gates import Gates
from streams.workers.sink.ports import SinkLimits, SinkPorts
from streams.workers.sink.requests import Current, Requests, WholeBatches
from streams.workers.sink.tokens import Tokens, signed

log = structlog.get_logger(__name__)

ANSWER_SECONDS = 0.1
SETTLE_SECONDS_MAX = 12.0
"""When partitions go or the process stops, answers that are under way are awaited for this long: a process that stops
has 25 s for these, a commit, its keeper's last step and leaving the group."""


@dataclass(frozen=True, slots=True)
class _Sent:
    batch: Batch[Message]
    token: Token | None


class Dispatch:
    """One lane for each credential scope, and the requests in flight. `build` makes the destination with its secrets
    as they are now. `requests` says what of a batch goes out."""

    def __init__(
        self,
        connector: str,
        build: Callable[[], Destination],
        limits: SinkLimits,
        ports: SinkPorts,
        *,
        gates: Gates,
        encoders: EncoderCache,
    ) -> None:
        destination = build()
        self.current = Current(destination)
        self.requests: Requests = WholeBatches(self.current, encoders)
        self.rate = limits.records_per_second or destination.limits.records_per_second
        if destination.limits.requests_per_second is not None:
            self.rate = destination.limits.requests_per_second
        self.bucket = TokenBucket(self.rate, ports.clock.monotonic())
        self.lanes = {
            scope: Lane[Message](
                scope,
                destination.limits,
                gate=gates.by_scope[scope],
                give_up_seconds=limits.give_up_seconds,
                bucket=self.bucket,
                queue=None if destination.composer is None else PartitionOrder[Message](),
            )
            for scope in destination.scopes
        }
        self._build = build
        self._transport = ports.transport
        self._clock = ports.clock
        self._meter = ports.meter
        self._gates = gates
        self._encoders = encoders
        self._tokens = Tokens()
        self._in_flight: dict[int, _Sent] = {}
        self._next_ticket = 0
        self._log = log.bind(connector=connector)

    @property
    def destination(self) -> Destination:
        """With its secrets as they are now."""
        return self.current.destination

    @property
    def generation(self) -> int:
        """How often its secrets changed."""
        return self.current.generation

    @property
    def invalid(self) -> dict[str, Parking]:
        """Scopes whose records are parked."""
        return self._gates.invalid

    def encoded(self, records: int, rejected: int) -> None:
        """So many records were read, so many of them rejected by the destination's mapping."""
        self._gates.flood.encoded(records, rejected)

    @property
    def in_flight(self) -> set[Batch[Message]]:
        """Batches that were sent and not answered."""
        return {sent.batch for sent in self._in_flight.values()}

    def back_offs(self) -> dict[str, BackOff]:
        """The back-off of each scope that has one."""
        now, now_ms = self._clock.monotonic(), self._clock.epoch_ms()
        return {
            scope: BackOff(
                status=one.status,
                detail=one.detail,
                since=epoch_ms(one.since, now, now_ms),
                next_try=epoch_ms(one.next_try, now, now_ms),
            )
            for scope, lane in self.lanes.items()
            if (one := lane.gate.back_off()) is not None
        }

    @property
    def commits_next(self) -> bool:
        """Whether `send_due` may commit what is settled, before it sends."""
        return self.requests.commits_next(self._clock.monotonic())

    def send_due(self) -> None:
        """Send every batch that its lane gives."""
        now = self._clock.monotonic()
        sign_in = self.destination.sign_in
        going: dict[Batch[Message], Token | None] = {}
        for scope, lane in self.lanes.items():
            token = None
            if sign_in is not None:
                token = self._tokens.current(scope, now)
                if token is None:
                    self._ask_token(scope, lane, now)
                    continue
            while (batch := self.requests.next(lane, now)) is not None:
                going[batch] = token
        for batch in self.requests.depart(list(going)) if going else ():
            assert batch.request is not None, "a batch without a request"
            self._next_ticket += 1
            self._in_flight[self._next_ticket] = _Sent(batch, going[batch])
            self._transport.submit(self._next_ticket, signed(batch.request, sign_in, going[batch]))
            self._meter.sent(self._next_ticket, batch)

    def take_answers(self, timeout_seconds: float) -> None:
        """Give each answer that came to its lane; waits up to the time-out for the first."""
        for answer in self._transport.answers(timeout_seconds):
            asker = self._tokens.asker(answer.ticket)
            if asker is not None:
                self._take_token(*asker, answer)
                continue
            sent = self._in_flight.pop(answer.ticket)
            lane = self.lanes[sent.batch.scope]
            said, now = self._verdict(answer, sent), self._clock.monotonic()
            self._meter.answered(sent.batch, answer, said)
            verdict = self.requests.judged(lane, sent.batch, said, now)
            if verdict is None:
                continue
            judged = lane.answered(sent.batch, verdict, now, self._clock.epoch_ms() / 1000)
            self.requests.answered(lane, sent.batch, verdict)
            self._gates.judged(judged)  # before the next answer: what that one rejects is kept back
            self._report(lane.scope, verdict)

    def settle(self, batches: Collection[Batch[Message]]) -> None:
        """Wait for the answers to these batches, as long as a graceful stop allows."""
        deadline = self._clock.monotonic() + SETTLE_SECONDS_MAX
        while self._clock.monotonic() < deadline and any(batch in batches for batch in self.in_flight):
            self.take_answers(ANSWER_SECONDS)

    def renew(self) -> None:
        """Read the secrets again: a fix of the credentials is in their files."""
        try:
            destination = self._build()
        except ValueError as error:
            self._log.warning("could not read the secrets again", error=str(error))
            return
        if destination.scopes != self.destination.scopes:
            self._log.warning(
                "new secrets are not used: they put feeds into other scopes; restart the sink to use them",
                scopes=list(self.destination.scopes),
                would_be=list(destination.scopes),
            )
            return
        self.current.destination = destination
        self.current.generation += 1
        self._encoders.use(destination)
        self._tokens.forget()

    def _ask_token(self, scope: str, lane: Lane[Message], now: float) -> None:
        """Before a batch is sent, and at the times when one would be."""
        sign_in = self.destination.sign_in
        if sign_in is None or self._tokens.awaits(scope) or lane.due_in(now) != 0.0:
            return
        self._next_ticket += 1
        self._tokens.asked(self._next_ticket, scope, now)
        self._transport.submit(self._next_ticket, sign_in.ask(scope))

    def _take_token(self, scope: str, asked_at: float, answer: Answer) -> None:
        """Keep the token; where there is none, the scope's gate moves as after a refused request."""
        now, sign_in = self._clock.monotonic(), self.destination.sign_in
        if sign_in is None:
            return
        outcome = answer.outcome
        verdict: Verdict | None
        if isinstance(outcome, NoResponse):
            verdict = _unanswered(outcome)
        else:
            verdict = self._tokens.take(scope, sign_in, outcome, now)
        gate = self.lanes[scope].gate
        match verdict:
            case Retry(detail=detail, status=status, retry_after=header):
                retry_after = parse_retry_after(header, self._clock.epoch_ms() / 1000)
                gate.take(Failed(asked_at, now, status, f"no token: {detail}", 1, retry_after))
            case Unauthorised(status=status, detail=detail):
                gate.take(CredentialsRefused(status, detail))
            case _:
                pass
        if verdict is not None:
            self._report(scope, verdict)

    def _report(self, scope: str, verdict: Verdict) -> None:
        """What the log or the keeper should know of an answer."""
        if isinstance(verdict, Retry):
            self._log.warning("not delivered, will be sent again", scope=scope, detail=verdict.detail)
        elif isinstance(verdict, Unauthorised):
            self._gates.suspect(scope, Suspect(what="credentials", status=verdict.status, detail=verdict.detail))
        elif isinstance(verdict, Misconfigured):
            self._gates.stop(Suspect(what="configuration", detail=verdict.detail))

    def _verdict(self, answer: Answer, sent: _Sent) -> Verdict:
        outcome, batch = answer.outcome, sent.batch
        if isinstance(outcome, NoResponse):
            return _unanswered(outcome)
        assert batch.request is not None, "an answer to a request that was not built"
        verdict = self.destination.interpret(outcome, batch.request, len(batch))
        if self.destination.sign_in is None:
            return verdict
        if isinstance(verdict, Delivered):
            self._tokens.proved(batch.scope, sent.token)
        if isinstance(verdict, Unauthorised):
            return self._tokens.refused(batch.scope, sent.token) or verdict
        return verdict


def _unanswered(outcome: NoResponse) -> Retry | Misconfigured:
    return Misconfigured(outcome.detail) if outcome.is_misconfigured else Retry(outcome.detail)
