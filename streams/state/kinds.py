"""Which record stands under which key of the topic `streams.state`, who writes it, and how it is read.

A key is the kind, the connector, and what the second column says, with slashes between them.

| kind | and | record | written by | says |
|---|---|---|---|---|
| `keeper` |  | `LeaseHolder` | keeper | who keeps, since when; its epoch rises with each lease |
| `connector` |  | `ConnectorState` | keeper | RUNNING or SUSPENDED, and the suspensions that stop the purge clock |
| `scope` | scope | `ScopeState` | keeper | VALID or INVALID, evidence, extensions, alerts that were sent |
| `cursor` | letters, partition | `Cursor` | keeper | every dead letter before this offset is settled |
| `settled` | letters, partition, block | `SettledBlock` | keeper | settled letters after the cursor, a bit an offset |
| `told` |  | `Told` | keeper | purged and lost records, and how many of them were in alerts |
| `topic` | letters | `KnownTopic` | keeper | which topic of that name the cursors and settled letters belong to |
| `totals` |  | `Totals` | keeper | what left the dead-letter topics, and how |
| `copy` | topic | `Copy` | keeper | what the group committed: Kafka forgets a group without members after 7 days |
| `retired` | topic | `Retired` | keeper | of `source`: counts of connectors that left the configuration |
| `deletion` |  | `Deletion` | keeper | that bytes of settled letters could not be deleted yet |
| `job` | id | `Job` | keeper | a replay or purge that a person ordered |
| `imported` | id | `Imported` | `dlq import` | letters that came back from a file |
| `last` | topic, partition | `LastCommit` | routers, sinks | what was committed last for a topic that was deleted |
| `began` | topic, partition | `Began` | routers (`source`) | with which counts a topic that was made again was begun |
| `suspect` | scope, instance | `Suspect` | sinks | a destination's refusal that the keeper must check |
| `dropped` | partition | `Dropped` | sinks | names of fields that were dropped or cut, and how often |
| `withheld` | partition | `Withheld` | sinks | the newest order to forget users that the partition's sink obeys |
| `waits` | instance | `Waits` | sinks, routers (`source`) | what this process waits for: schemas, a destination |
| `request` | id | `Request` | command line | what a person asks the keeper to do |
| `answer` | id | `Answer` | keeper | what became of it |

`letters` is the end of a dead-letter topic's name: `rejected` or `credentials.<scope>`. Beside the settled letters of
`rejected`, those of `purged` say which of the same offsets a person purged. A record without a value removes its key.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from streams.state.records import (
    Answer,
    ConnectorState,
    Copy,
    Cursor,
    Deletion,
    Imported,
    Job,
    KnownTopic,
    LeaseHolder,
    Record,
    Request,
    Retired,
    ScopeState,
    SettledBlock,
    StateError,
    StateTooNew,
    Told,
    Totals,
)
from streams.state.worker_records import Began, Dropped, LastCommit, Suspect, Waits, Withheld

KEEPER_KINDS = (
    *("keeper", "connector", "scope", "cursor", "settled"),
    *("topic", "totals", "told", "copy", "retired", "deletion", "job", "answer"),
)
"""Kinds that only a connector's keeper writes."""

KINDS: Mapping[str, type[Record]] = {
    model.kind: model
    for model in (
        LeaseHolder,
        ConnectorState,
        ScopeState,
        Cursor,
        SettledBlock,
        KnownTopic,
        Totals,
        Told,
        Copy,
        LastCommit,
        Began,
        Retired,
        Deletion,
        Imported,
        Suspect,
        Dropped,
        Withheld,
        Waits,
        Request,
        Answer,
        Job,
    )
}


def parse(record_key: str, value: bytes) -> Record | None:
    """The record of a key; None if the key is not of a connector (an ingest's). Raises `StateError`."""
    model = KINDS.get(record_key.partition("/")[0])
    if model is None:
        return None
    try:
        return model.model_validate_json(value)
    except ValidationError as error:
        places = {".".join(map(str, problem["loc"])) or "value" for problem in error.errors()}
        if "v" in places:
            said = "was written by a newer version of streams: upgrade this process"
            raise StateTooNew(f"{record_key} {said}") from None
        said = "another program wrote it; to remove it, write a record with this key and no value to the topic"
        raise StateError(f"{record_key} is not understood at {', '.join(sorted(places))}: {said}") from None
