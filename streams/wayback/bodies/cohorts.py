"""Mixpanel's cohort webhook: `members` (a full copy, page by page), `add_members`, `remove_members`.

Source: Mixpanel's page on custom webhooks. A call without members is normal: nothing changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.wayback.bodies.taken import BadBody, Taken, text_of
from streams.wayback.entries import MixpanelCohorts
from streams.wayback.records import Change, Membership, Page, Target

CHANGES: Mapping[str, Change] = {"members": "present", "add_members": "add", "remove_members": "remove"}
TARGETS: Mapping[str, tuple[Target, ...]] = {
    "attribute": ("attribute",),
    "cohort_api": ("cohort",),
    "both": ("attribute", "cohort"),
}
DEVICE = "$device:"
"""Begins the id of a user whom Mixpanel knows by a device only."""


def take(entry: MixpanelCohorts, content: object, taken: Taken) -> None:
    """Adds the body's records to `taken`. Raises `BadBody`."""
    if not isinstance(content, dict):
        raise BadBody("the body is not a JSON object")
    action = content.get("action")
    if not isinstance(action, str) or action not in CHANGES:
        raise BadBody(f"action is none of {', '.join(CHANGES)}")
    taken.answer = {"action": action, "status": "success"}
    nested = content.get("parameters")
    parameters: dict[str, Any] = nested if isinstance(nested, dict) else content
    group_id = text_of(parameters.get("mixpanel_cohort_id"))
    if not group_id:
        raise BadBody("mixpanel_cohort_id is missing")
    told_name = text_of(parameters.get("mixpanel_cohort_name"))
    name = told_name or group_id
    session, page, pages = _page(parameters, taken.request)
    members = parameters.get("members", [])
    if not isinstance(members, list):
        raise BadBody("members is not a list")
    if not entry.selects(group_id, name):
        taken.skipped["not_selected"] += max(1, len(members))
        return
    change = CHANGES[action]
    common: dict[str, Any] = {"entry": taken.entry, "time_ms": taken.received_ms, "received_ms": taken.received_ms}
    common |= {"group_id": group_id, "group_name": name, "session": session, "page": page, "request": taken.request}
    for member in members:
        _take_member(entry, member, change, common, taken)
    if change == "present":
        taken.records.append(Page(id=f"{session}/{page}", pages=pages, **common))
    elif told_name and page == 1:  # a difference without members may be all that tells a new name
        taken.records.append(Page(id=f"{session}/{action}", purpose="name", **common))


def _take_member(
    entry: MixpanelCohorts, member: object, change: Change, common: Mapping[str, Any], taken: Taken
) -> None:
    if not isinstance(member, dict):
        taken.malformed("a member is not a JSON object", member)
        return
    user = next((found for key in entry.external_id if (found := text_of(member.get(key)))), None)
    if user is not None and user.startswith(DEVICE):
        user = None
    if not taken.is_usable(user, member):
        return
    assert user is not None
    for target in TARGETS[entry.write_as]:
        record_id = f"{common['session']}/{common['group_id']}/{user}"
        record_id += "/cohort" if target == "cohort" else ""
        taken.records.append(Membership(id=record_id, external_user_id=user, change=change, target=target, **common))


def _page(parameters: Mapping[str, Any], request: str) -> tuple[str, int, int]:
    """The session's name, page and number of pages. A session with another number of pages is another copy."""
    info = parameters.get("page_info")
    if info is None:
        info = {}
    if not isinstance(info, dict):
        raise BadBody("page_info is not a JSON object")
    pages, page = _number(info.get("total_pages", 1)), _number(info.get("page_count", 1))
    if pages is None or page is None or not 1 <= page <= pages:
        raise BadBody(
            "page_info: page_count and total_pages must be numbers from 1, and page_count not larger than total_pages"
        )
    session = text_of(parameters.get("mixpanel_session_id"))
    if not session:
        if pages > 1:
            raise BadBody("mixpanel_session_id is missing, and there are several pages")
        session = request
    project = text_of(parameters.get("mixpanel_project_id")) or ""
    return f"{project}/{session}/{pages}", page, pages


def _number(value: object) -> int | None:
    text = text_of(value)
    return int(text) if text is not None and text.isdecimal() and len(text) < 10 else None
