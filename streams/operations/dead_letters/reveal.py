"""Shows one letter with its personal data. Who looked, and why, is in the audit before anything is shown."""

from __future__ import annotations

from streams.config import Settings
from streams.operations.dead_letters.letter import Letter, Wanted, letter
from streams.operations.errors import BadRequest, OperationError
from streams.operations.installation import Installation
from streams.ports.errors import Fenced, RecordsRefused, TransactionAborted
from streams.state.audit import Revealed


def transactional_id(settings: Settings) -> str:
    """With which the line is written. The role operator has access to it."""
    return f"{settings.kafka.topic_prefix}reveal"


def revealed(installation: Installation, name: str, place: str, *, who: str, reason: str) -> Letter:
    """The letter at `letters/partition/offset`, whole.

    Raises `BadRequest` without a reason, `OperationError` where the audit cannot be written, and what `letter` does.
    """
    if not reason.strip():
        raise BadRequest("say why; it is written to the audit topic", field="reason")
    letter(installation, name, Wanted(offset=place))  # only what is there is worth a line
    _write(installation, name, Revealed(place=place, why=reason), who)
    return letter(installation, name, Wanted(offset=place), shows_all=True)


def _write(installation: Installation, name: str, line: Revealed, who: str) -> None:
    settings = installation.settings
    stamped = line.stamped(installation.clock.epoch_ms(), who, name)
    try:
        with installation.open_transactions(transactional_id(settings)) as transactions:
            transactions.begin()
            transactions.write(settings.topics.audit, stamped.to_bytes(), name.encode())
            transactions.commit((), None)
    except (Fenced, TransactionAborted, RecordsRefused) as error:
        raise OperationError(f"nothing is shown: the audit could not be written ({error}); try again") from error
