"""Fakes of the workers' ports: a topic in memory, a transport that answers by a function. Typed, shipped, no mock."""

from __future__ import annotations

from streams.testing.ports.groups import FakeGroup
from streams.testing.ports.members import FakeConsumer, FakeTransactions
from streams.testing.ports.notices import FakeNotices
from streams.testing.ports.objects import FakeObjects
from streams.testing.ports.outside import FakeNotifier, FakeTransport, accepted
from streams.testing.ports.readers import FakeJournal, FakeLetters, FakeLetterTopics
from streams.testing.ports.topics import FakeKafka, FakeMessage, Kill, Killed

__all__ = [
    "FakeConsumer",
    "FakeGroup",
    "FakeJournal",
    "FakeKafka",
    "FakeLetterTopics",
    "FakeLetters",
    "FakeMessage",
    "FakeNotices",
    "FakeNotifier",
    "FakeObjects",
    "FakeTransactions",
    "FakeTransport",
    "Kill",
    "Killed",
    "accepted",
]
