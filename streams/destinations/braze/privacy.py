"""Records of the way back as they may leave: whom they are about, and the properties of events and purchases.

Attributes are named as Braze gets them, so the encoder hides them where it knows those names.
"""

from __future__ import annotations

import dataclasses

from streams.destinations.braze.derived import is_derived
from streams.destinations.privacy import USER_FIELD, Privacy, is_hash
from streams.wayback.records import Event, Membership, Purchase, Record


def private(record: Record, privacy: Privacy) -> Record | None:
    """None where its properties are not a JSON object, so that what must not leave cannot be found."""
    if USER_FIELD in privacy.hashed and not _is_hashed(record):
        record = dataclasses.replace(record, external_user_id=privacy.user(record.external_user_id))
    if isinstance(record, Event | Purchase) and privacy.has_keys:
        properties = privacy.customers(record.properties)
        return None if properties is None else dataclasses.replace(record, properties=properties)
    return record


def _is_hashed(record: Record) -> bool:
    """Whether it was made of what is remembered, which holds hashes since they are wanted."""
    return isinstance(record, Membership) and is_derived(record.id) and is_hash(record.external_user_id) is not None
