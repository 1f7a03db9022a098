"""Known errors as words for a page: what failed, the fix, and the HTTP status."""

from __future__ import annotations

from dataclasses import dataclass

from streams.config import ConfigurationError
from streams.delivery.metadata import MetadataError
from streams.operations.errors import BadRequest, NothingMatched, OperationError, OrderRefused, PlanStale
from streams.ports.errors import (
    AccessDenied,
    ClientFatal,
    KafkaRefusal,
    KafkaUnreachable,
    NoKeeperAnswers,
    SchemasUnavailable,
    TopicMissing,
)
from streams.state.records import StateError


@dataclass(frozen=True, slots=True)
class Failure:
    """`title` in three words, `what` in the words of what failed, `fix` what a person can do."""

    status: int
    title: str
    what: str
    fix: str


class PageError(Exception):
    """A page cannot be shown, for a reason of its own."""

    def __init__(self, status: int, title: str, what: str, fix: str = "") -> None:
        super().__init__(what)
        self.failure = Failure(status, title, what, fix)


def told_failures() -> tuple[type[Exception], ...]:
    """What a page tells in words. Anything else is a fault of the program."""
    return (
        PageError,
        OperationError,
        KafkaUnreachable,
        KafkaRefusal,
        AccessDenied,
        ClientFatal,
        SchemasUnavailable,
        MetadataError,
        StateError,
        ConfigurationError,
    )


def words_of(error: Exception) -> Failure:
    """The words for an error of `told_failures`."""
    what = str(error)
    match error:
        case PageError():
            return error.failure
        case NoKeeperAnswers():
            fix = "start the process that the message names; the keeper runs inside it"
            return Failure(503, "No keeper answers", what, fix)
        case TopicMissing():
            return Failure(503, "A topic is missing", what, "make the topics: streams topics apply")
        case KafkaUnreachable():
            fix = "look whether the brokers run and this machine reaches them: streams doctor"
            return Failure(503, "Kafka does not answer", what, fix)
        case AccessDenied():
            fix = "give the console's user the rights of the role operator: streams topics acls"
            return Failure(503, "A permission is missing", what, fix)
        case KafkaRefusal() | ClientFatal():
            return Failure(503, "Kafka refuses", what, "look what is missing: streams doctor")
        case SchemasUnavailable():
            what = f"the schema registry does not answer: {what}"
            return Failure(503, "The registry does not answer", what, "nothing was done; try again when it answers")
        case BadRequest():
            fields = ", ".join(error.fields)
            return Failure(400, "The request is wrong", f"{fields}: {what}" if fields else what, "")
        case PlanStale():
            return Failure(409, "The plan is stale", what, "make a new plan and look at it again")
        case NothingMatched():
            return Failure(404, "Nothing matches", what, "")
        case OrderRefused():
            return Failure(409, "The keeper refuses", what, "")
        case StateError():
            return Failure(503, "The state is not understood", what, "")
        case MetadataError():
            fix = "another program commits for a group of ours: choose another kafka.topic_prefix"
            return Failure(503, "Counts are not understood", what, fix)
        case ConfigurationError():
            return Failure(503, "The configuration is refused", what, "streams config check")
        case _:
            return Failure(409, "It was not done", what, "")
