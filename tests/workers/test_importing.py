"""Exported letters go back onto their topics once, whatever happens in between."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import orjson
import pytest

from streams.ports.errors import TransactionAborted
from streams.state.kinds import parse
from streams.state.letter_file import ExportedLetter
from streams.state.records import Imported
from streams.testing.ports import FakeKafka, FakeTransactions
from streams.workers.letter_import import CHUNK_LETTERS_MAX, Import
from tests.state.letters import NOW_MS, headers_of

STATE_KEY = "imported/growth/0123456789abcdef"
TOPICS = {"rejected": "letters.rejected", "credentials.default": "letters.credentials"}


def exported(number: int, cause: str = "rejected") -> ExportedLetter:
    letters = "credentials.default" if cause == "credentials" else "rejected"
    headers = (*headers_of(cause=cause), ("mine", None), ("mine", b"2"))
    return ExportedLetter(letters, 0, number, 5, b"key-%d" % number, b"value-%d" % number, headers)


def state(kafka: FakeKafka) -> Imported:
    """The newest record of the import, as the state topic holds it."""
    records = [one for one in kafka.read("state") if one.key() == STATE_KEY.encode()]
    if not records:
        return Imported(file="letters.gz")
    record = parse(STATE_KEY, records[-1].value() or b"")
    assert isinstance(record, Imported)
    return record


def imported(kafka: FakeKafka, letters: Iterable[ExportedLetter]) -> int:
    loop = Import(
        FakeTransactions(kafka),
        topics=TOPICS,
        state_topic="state",
        record_key=STATE_KEY,
        before=state(kafka),
        now_ms=lambda: NOW_MS,
    )
    return loop.run(letters)


def test_letters_go_to_the_topics_that_they_came_from_byte_for_byte() -> None:
    kafka = FakeKafka()
    letters = [exported(0), exported(1, "credentials"), exported(2, "gave-up")]
    assert imported(kafka, letters) == 3
    (credentials,) = kafka.read("letters.credentials")
    assert (credentials.key(), credentials.value()) == (b"key-1", b"value-1")
    assert tuple(credentials.headers() or ()) == letters[1].headers
    assert [one.value() for one in kafka.read("letters.rejected")] == [b"value-0", b"value-2"]
    assert state(kafka).letters == {"rejected": 1, "credentials": 1, "gave-up": 1}
    assert state(kafka).done


def test_the_same_file_again_imports_nothing() -> None:
    kafka = FakeKafka()
    letters = [exported(number) for number in range(5)]
    assert [imported(kafka, letters), imported(kafka, letters)] == [5, 0]
    assert len(kafka.read("letters.rejected")) == 5


def test_an_import_that_was_ended_in_between_goes_on_where_it_stopped() -> None:
    kafka = FakeKafka()
    letters = [exported(number) for number in range(2 * CHUNK_LETTERS_MAX + 7)]

    def until_killed() -> Iterator[ExportedLetter]:
        yield from letters[: CHUNK_LETTERS_MAX + 3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imported(kafka, until_killed())
    assert state(kafka).letters == {"rejected": CHUNK_LETTERS_MAX}
    assert not state(kafka).done
    assert imported(kafka, letters) == CHUNK_LETTERS_MAX + 7
    assert [one.value() for one in kafka.read("letters.rejected")] == [letter.value for letter in letters]


def test_what_kafka_refuses_is_not_counted() -> None:
    kafka = FakeKafka()
    kafka.refuse_commits = 1
    with pytest.raises(TransactionAborted):
        imported(kafka, [exported(0)])
    assert kafka.records == {}
    assert imported(kafka, [exported(0)]) == 1


def test_a_record_that_somebody_else_wrote_is_counted_as_of_unknown_cause() -> None:
    kafka = FakeKafka()
    imported(kafka, [ExportedLetter("rejected", 0, 0, 5, None, None, ())])
    assert state(kafka).letters == {"unknown": 1}
    assert orjson.loads(kafka.read("state")[-1].value() or b"")["file"] == "letters.gz"
