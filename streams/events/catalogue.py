"""The event types of Currents: their names, groups and channels, and how a selection names them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Literal

from streams.events.schema import NAMESPACE

Group = Literal["customer_behavior", "message_engagement"]


class SelectionError(ValueError):
    """A pattern selects nothing. The message names it and lists the groups and event types."""


@dataclass(frozen=True, slots=True)
class EventType:
    """One kind of Currents event. `name` is the record's full name after `dataexport.S3.inner.`.

    `group` is its heading in Braze's pages for partners, None if it is not there; `channel` is the third segment of
    `users.messages.*`. Braze no longer writes `retired` types, but old exports contain them.
    """

    name: str
    group: Group | None
    channel: str | None
    retired: bool


_CUSTOMER_BEHAVIOR = {
    "users.behaviors": "CustomEvent InstallAttribution Location Purchase Uninstall",
    "users.behaviors.app": "FirstSession SessionEnd SessionStart",
    "users.behaviors.liveactivity": "PushToStartTokenChange UpdateTokenChange",
    "users.behaviors.pushnotification": "TokenStateChange",
}
_MESSAGE_ENGAGEMENT = {
    "users.behaviors.subscription": "GlobalStateChange",
    "users.behaviors.subscriptiongroup": "StateChange",
    "users.campaigns": "Conversion EnrollInControl",
    "users.canvas": "Conversion Entry",
    "users.canvas.costep": "Send",
    "users.canvas.exit": "MatchedAudience PerformedEvent",
    "users.canvas.experimentstep": "Conversion SplitEntry",
    "users.canvasstep": "Progression",
    "users.messages.banner": "Abort Click Dismiss Impression",
    "users.messages.contentcard": "Abort Click Dismiss Impression Send",
    "users.messages.email": ("Abort Bounce Click Deferral Delivery MarkAsSpam Open Retry Send SoftBounce Unsubscribe"),
    "users.messages.featureflag": "Impression",
    "users.messages.inappmessage": "Abort Click Impression",
    "users.messages.line": "Abort Click InboundReceive Retry Send",
    "users.messages.liveactivity": "Outcome Send",
    "users.messages.pushnotification": "Abort Bounce IosForeground Open Retry Send",
    "users.messages.rcs": "Abort Click Delivery InboundReceive Read Rejection Send",
    "users.messages.sms": (
        "Abort CarrierSend Delivery DeliveryFailure InboundReceive Rejection Retry Send ShortLinkClick"
    ),
    "users.messages.webhook": "Abort Failure Retry Send",
    "users.messages.whatsapp": "Abort Click Delivery Failure InboundReceive Read Retry Send",
}
_STORAGE_ONLY = {
    "agentconsole": "AgentExecuted ToolInvocation",
    "users": "RandomBucketNumberUpdate UserDeleteRequest UserOrphan",
    "users.profile": "Update",
}
_RETIRED = {
    "users.behaviors.app": "NewsFeedImpression",
    "users.campaigns": "Abort",
    "users.canvas": "Abort",
    "users.messages.newsfeedcard": "Abort Click Impression",
}


def event_types(table: Mapping[str, str], group: Group | None, *, retired: bool = False) -> Iterable[EventType]:
    """The event types that a table of families names."""
    for family, names in table.items():
        for name in names.split():
            full = f"{family}.{name}"
            yield EventType(full, group, channel(full), retired)


def channel(name: str) -> str | None:
    """The messaging channel of an event type: `email` for `users.messages.email.Open`, None outside of messages."""
    match name.split("."):
        case ["users", "messages", segment, _, *_]:
            return segment
        case _:
            return None


CATALOGUE: Mapping[str, EventType] = MappingProxyType(
    {
        event_type.name: event_type
        for event_type in (
            *event_types(_CUSTOMER_BEHAVIOR, "customer_behavior"),
            *event_types(_MESSAGE_ENGAGEMENT, "message_engagement"),
            *event_types(_STORAGE_ONLY, None),
            *event_types(_RETIRED, "message_engagement", retired=True),
        )
    }
)
"""Every event type of Currents v10 (94) and the retired ones that are still read (6), by name."""


def canonical_name(text: str) -> str:
    """The event type that a text names: as a record's full name, in any case, or in snake case.

    `users_campaigns_abort` is `users.campaigns.Abort`. A name that the catalogue does not have stays as it is, without
    `dataexport.S3.inner.`: an unknown event type is not an error.
    """
    name = text.strip().removeprefix(NAMESPACE)
    return name if name in CATALOGUE else _ALIASES.get(name.lower(), name)


def groups(names: Iterable[str]) -> dict[str, frozenset[str]]:
    """The groups that a selection may name and which of `names` are in each; empty groups are left out."""
    members: defaultdict[str, set[str]] = defaultdict(set)
    for name in names:
        known = CATALOGUE.get(name)
        members["all"].add(name)
        if known is not None and known.group is not None:
            members[known.group].add(name)
        if name.startswith("users.campaigns."):
            members["campaign"].add(name)
        if name.startswith(("users.canvas.", "users.canvasstep.")):
            members["canvas"].add(name)
        if segment := channel(name):
            members[segment].add(name)
    return {group: frozenset(members[group]) for group in sorted(members)}


def select(patterns: Iterable[str], mapped: Collection[str]) -> frozenset[str]:
    """The event types among `mapped` (those that a destination has a mapping for) that the patterns select.

    A pattern is a group, an event type in any spelling that `canonical_name` knows, or a glob over full names
    (`users.messages.email.*`). Raises `SelectionError` for the first pattern that selects nothing.
    """
    by_group = groups(mapped)
    selected: set[str] = set()
    for pattern in patterns:
        selected |= _selected(pattern.strip(), frozenset(mapped), by_group)
    return frozenset(selected)


def _selected(pattern: str, mapped: frozenset[str], by_group: Mapping[str, frozenset[str]]) -> frozenset[str]:
    if pattern in by_group:
        return by_group[pattern]
    if re.search(r"[*?\[]", pattern):
        found = frozenset(name for name in mapped if fnmatchcase(name, pattern))
        if not found:
            raise SelectionError(f"the glob {pattern!r} matches no event type. {_what_there_is(mapped, by_group)}")
        return found
    name = canonical_name(pattern)
    if name in mapped:
        return frozenset((name,))
    if name in CATALOGUE:
        problem = f"this destination has no mapping for event type {name!r}"
    elif pattern in groups(CATALOGUE):
        problem = f"this destination has no mapping for any event type of group {pattern!r}"
    else:
        problem = f"there is no event type or group {pattern!r}"
    return _refuse(problem, pattern, mapped, by_group)


def _refuse(
    problem: str, pattern: str, mapped: frozenset[str], by_group: Mapping[str, frozenset[str]]
) -> frozenset[str]:
    spellings = {name.lower(): name for name in (*mapped, *by_group)}
    nearest = get_close_matches(canonical_name(pattern).lower(), sorted(spellings), n=1)
    hint = f". Did you mean {spellings[nearest[0]]!r}?" if nearest else "."
    raise SelectionError(f"{problem}{hint} {_what_there_is(mapped, by_group)}")


def _what_there_is(mapped: frozenset[str], by_group: Mapping[str, frozenset[str]]) -> str:
    families: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(mapped):
        family, _, last = name.rpartition(".")
        families[family].append(last)
    types = ", ".join(
        f"{family}.{names[0]}" if len(names) == 1 else f"{family}.{{{','.join(names)}}}"
        for family, names in families.items()
    )
    return f"Groups: {', '.join(by_group) or 'none'}. Event types: {types or 'none'}"


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace(".", "_").lower()


_ALIASES: Mapping[str, str] = MappingProxyType(
    {alias: name for name in CATALOGUE for alias in (name.lower(), name.lower().replace(".", "_"), _snake_case(name))}
)
"""Other spellings of the catalogue's names, in lower case."""
