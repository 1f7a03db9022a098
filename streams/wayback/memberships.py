"""From words about users to what must be sent: only differences, and never an older word over a newer one. Pure.

    word --stale?--> memory as it will be --difference--> attributes to send

A word is stale when the user's standing comes from a later place, or when a full copy that began later is complete
(the group's floor). What is the same as what was last sent is unchanged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from streams.wayback.entries import Entry, Firehose, MixpanelCohorts, MParticleAudiences
from streams.wayback.memory import Sent, Standing, UserMemory, hash_of

SINGLE, ARRAY, PER_SEGMENT = "SegmentMembership", "SegmentMembershipArray", "In "
TEXT_CHARACTERS_MAX = 255
"""Of `SegmentMembership`: Braze cuts longer texts, in the middle of an id."""
ITEMS_MAX = 500

Skip = Literal["unchanged", "stale"]


@dataclass(frozen=True, slots=True)
class Word:
    """One `add` or `remove` of a user; `again` sends what is unchanged, too.

    An `echo` is no news about who is in: it says once more, perhaps under another name, what was remembered when it was
    derived. So it says nothing of somebody who left since, and outranks no other word.
    """

    group: str
    name: str
    is_member: bool
    place: int
    floor: int = 0
    at_s: int = 0
    again: bool = False
    echo: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """What must be sent of one user. `cut` are groups that had no room in `SegmentMembership`."""

    attributes: Mapping[str, Any] = field(default_factory=dict)
    cut: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Heard:
    """The memory after a word, and why nothing is sent, if so.

    An unchanged word is remembered, too: its place outranks older words that come late.
    """

    memory: UserMemory
    skip: Skip | None = None


def heard(memory: UserMemory, word: Word) -> Heard:
    """What a word about a membership does to what is remembered of its user."""
    before = memory.groups.get(word.group)
    if word.echo:
        if before is None or not before.is_member:
            return Heard(memory, "stale")
        word = replace(word, place=before.place, floor=0)
    if word.place < word.floor and before is not None and not before.is_sure and before.place < word.floor:
        # The copy had the user: else it derived a word, which is later. What it found is not sure to be in Braze.
        word = replace(word, is_member=True, place=word.floor)
    if word.place < word.floor or (before is not None and word.place < before.place):
        return Heard(memory, "stale")
    is_same = before is not None and before.is_sure and before.is_member == word.is_member and before.name == word.name
    joined = before.joined if before is not None and before.is_member and word.is_member else word.place
    standing = Standing(word.is_member, word.name, word.place, joined, word.at_s)
    return Heard(memory.with_standing(word.group, standing), "unchanged" if is_same and not word.again else None)


def difference(
    before: UserMemory,
    after: UserMemory,
    entries: Mapping[str, Entry],
    heard_groups: Iterable[str],
    *,
    again: Collection[str] = (),
) -> Difference:
    """The attributes of memberships that differ between the two memories; of groups in `again` also those that do not.

    Leaving a group that nobody remembers is sent too: the vendor's own integration may have let the user in. So is what
    two of the groups say about a value that they share, though it stays what it was: a process that died may have sent
    the word of one of them alone.
    """
    groups = sorted(set(heard_groups))
    said = [
        group
        for group in groups
        if group in again or (group not in before.groups and not after.groups[group].is_member)
    ]
    found: dict[str, Any] = {}
    for attribute in sorted(_list_attributes(entries, groups)):
        change = _list_change(attribute, before, after, entries, said, groups)
        if change:
            found[attribute] = change
    cut: tuple[str, ...] = ()
    if any("single" in _shapes(entries, group) for group in groups):
        text, cut = _single(after, entries)
        if text != _single(before, entries)[0] or _is_said("single", entries, said):
            found[SINGLE] = text
    if any("array" in _shapes(entries, group) for group in groups):
        ids = _array(after, entries)
        if ids != _array(before, entries) or _is_said("array", entries, said):
            found[ARRAY] = ids
    if any("per_segment" in _shapes(entries, group) for group in groups):
        found |= _per_segment(before, after, entries, said, groups)
    return Difference(found, cut)


def doubted(before: UserMemory, after: UserMemory, words: Collection[str], groups: Collection[str]) -> UserMemory:
    """What is remembered of a user if it is unknown whether a request with these words was taken, and it never goes
    again. The user counts as a member meanwhile, so that a full copy without the user says so."""
    unknown = {word: replace(before.attributes[word], hash="") for word in words if word in before.attributes}
    memory = before.with_attributes(unknown)
    for group in groups:
        known = before.groups.get(group) or replace(after.groups[group], place=0)
        memory = memory.with_standing(group, replace(known, is_member=True, is_sure=False))
    return memory


@dataclass(frozen=True, slots=True)
class AttributeWords:
    """Attributes of one record after they were compared with what was last sent."""

    changed: Mapping[str, Any]
    memory: UserMemory
    stale: tuple[str, ...] = ()


def heard_attributes(
    memory: UserMemory, changes: Mapping[str, Any], place: int, *, again: bool = False
) -> AttributeWords:
    """Attribute by attribute: an older word than the one that was sent is stale, the same value is unchanged.

    An unchanged value is remembered with its place, so that an older word that comes late stays stale.
    """
    changed: dict[str, Any] = {}
    sent: dict[str, Sent] = {}
    stale = []
    for name, value in changes.items():
        before = memory.attributes.get(name)
        if before is not None and place < before.place:
            stale.append(name)
            continue
        sent[name] = Sent(hash_of(value), place)
        if before is None or before.hash != sent[name].hash or again:
            changed[name] = value
    return AttributeWords(changed, memory.with_attributes(sent) if sent else memory, tuple(stale))


def _list_attributes(entries: Mapping[str, Entry], groups: Iterable[str]) -> set[str]:
    """Attributes that list one of the groups."""
    found = (entries.get(name) for name in {group.partition("/")[0] for group in groups})
    return {entry.attribute for entry in found if isinstance(entry, MixpanelCohorts) and entry.write_as != "cohort_api"}


def _list_change(
    attribute: str,
    before: UserMemory,
    after: UserMemory,
    entries: Mapping[str, Entry],
    said: Sequence[str],
    groups: Sequence[str],
) -> dict[str, list[str]]:
    """Values to add and to remove. A value that two cohorts share goes when the last of them is left."""
    had, has = _values(attribute, before, entries), _values(attribute, after, entries)
    added, removed = has - had, had - has
    for group in said:
        value = _value(attribute, group, after.groups[group], entries)
        if value is not None:
            added |= {value} & has
            removed |= {value} - has
    shared = _shared(before, after, groups, lambda group, standing: _value(attribute, group, standing, entries))
    added |= shared & has
    removed |= shared - has
    change = {"add": sorted(added), "remove": sorted(removed)}
    return {kind: values for kind, values in change.items() if values}


def _shared(
    before: UserMemory, after: UserMemory, groups: Sequence[str], value_of: Callable[[str, Standing], str | None]
) -> set[str]:
    """Values that two of the groups had or have."""
    counts: Counter[str] = Counter()
    for group in groups:
        known = before.groups.get(group)
        standings = [after.groups[group], *([known] if known is not None and known.is_member else [])]
        counts.update({value for each in standings if (value := value_of(group, each)) is not None})
    return {value for value, count in counts.items() if count > 1}


def _values(attribute: str, memory: UserMemory, entries: Mapping[str, Entry]) -> set[str]:
    found = {
        _value(attribute, group, standing, entries) for group, standing in memory.groups.items() if standing.is_member
    }
    return {value for value in found if value is not None}


def _value(attribute: str, group: str, standing: Standing, entries: Mapping[str, Entry]) -> str | None:
    """What the attribute lists of this group; None where it is not its attribute."""
    entry = entries.get(group.partition("/")[0])
    if not isinstance(entry, MixpanelCohorts) or entry.write_as == "cohort_api" or entry.attribute != attribute:
        return None
    return (standing.name if entry.value == "name" else _id(group))[:TEXT_CHARACTERS_MAX]


def _shapes(entries: Mapping[str, Entry], group: str) -> frozenset[str]:
    entry = entries.get(group.partition("/")[0])
    return frozenset(entry.shapes) if isinstance(entry, Firehose | MParticleAudiences) else frozenset()


def _joined(memory: UserMemory, entries: Mapping[str, Entry], shape: str) -> list[str]:
    """Groups that the user is in and that are sent so, in order of joining, of all entries together."""
    groups = [
        (standing.joined, group)
        for group, standing in memory.groups.items()
        if standing.is_member and shape in _shapes(entries, group)
    ]
    return [group for _, group in sorted(groups)]


def _single(memory: UserMemory, entries: Mapping[str, Entry]) -> tuple[str | None, tuple[str, ...]]:
    """Ids separated by commas; null when the last group is left. What has no room is cut, whole ids only."""
    text = ""
    cut = []
    for group in _joined(memory, entries, "single"):
        entry = entries[group.partition("/")[0]]
        quoted = (
            f"'{_id(group)}'" if isinstance(entry, Firehose | MParticleAudiences) and entry.quote_ids else _id(group)
        )
        longer = f"{text},{quoted}" if text else quoted
        if len(longer) > TEXT_CHARACTERS_MAX:
            cut.append(group)
        else:
            text = longer
    return text or None, tuple(cut)


def _array(memory: UserMemory, entries: Mapping[str, Entry]) -> list[str]:
    return [_id(group) for group in _joined(memory, entries, "array")][:ITEMS_MAX]


def _is_said(shape: str, entries: Mapping[str, Entry], said: Sequence[str]) -> bool:
    return any(shape in _shapes(entries, group) for group in said)


def _per_segment(
    before: UserMemory, after: UserMemory, entries: Mapping[str, Entry], said: Sequence[str], groups: Sequence[str]
) -> dict[str, bool]:
    """`In <name>`: true, false after leaving; of a group with a new name the old one is false."""
    had = {before.groups[group].name for group in _joined(before, entries, "per_segment")}
    has = {after.groups[group].name for group in _joined(after, entries, "per_segment")}
    names = had ^ has
    for group in said:
        if "per_segment" in _shapes(entries, group):
            names.add(after.groups[group].name)
    mine = [group for group in groups if "per_segment" in _shapes(entries, group)]
    names |= _shared(before, after, mine, lambda _, standing: standing.name)
    return {(PER_SEGMENT + name)[:TEXT_CHARACTERS_MAX]: name in has for name in sorted(names)}


def _id(group: str) -> str:
    return group.partition("/")[2]
