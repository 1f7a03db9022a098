"""One letter: why it was parked, its event with personal data hidden, what would be sent now, and revealing it."""

from __future__ import annotations

from typing import Any

from streams.operations.dead_letters.letter import Letter, Wanted, letter
from streams.operations.dead_letters.reveal import revealed
from streams.operations.dead_letters.topics import dead_letters
from streams.operations.installation import Installation
from streams.web.console.desk import Asked, Desk, Page, SeeOther, Shown
from streams.web.console.failures import PageError
from streams.web.console.html import segment, with_query
from streams.web.console.pages.orders import begun
from streams.web.console.routes import Route
from streams.web.console.works import Work

KIND = "reveal"
SHOWN_MS_MAX = 600_000
"""What was revealed is shown again for ten minutes, to the person who asked for it; then it is forgotten."""


async def show(desk: Desk, asked: Asked) -> Shown:
    name, place, topic = asked.names["name"], *_place(desk, asked, asked.first("topic"))
    work = desk.works.find(asked.first("revealed"))
    whole = None if work is None else _still_shown(desk, asked, work, place)
    found = whole
    if found is None:
        found = await desk.threads.reads.ask(lambda installation: letter(installation, name, Wanted(offset=place)))
    also: dict[str, Any] = {
        "name": name,
        "letter": found,
        "topic": topic,
        "is_whole": whole is not None,
        "reveal": work,
        "address": address(name, topic, asked.names["partition"], asked.names["offset"]),
        "reveal_address": f"{_bare(name, asked)}/reveal",
    }
    # The twin is as the command prints it by default: hidden.
    content = {} if whole is not None else found.to_json()
    return Page("letter.html", f"Letter of {name}", content, also)


async def reveal(desk: Desk, asked: Asked) -> Shown:
    """Show the personal data of the letter, once why was written to the audit."""
    name, place, topic = asked.names["name"], *_place(desk, asked, asked.typed("topic"))
    who, reason = asked.user.name, asked.typed("reason")
    if not reason:
        raise PageError(400, "Say why", "say why you look at it: it is written to the audit", "go back and say why")

    def do(installation: Installation, _work: Work) -> Letter:
        return revealed(installation, name, place, who=who, reason=reason)

    work = await begun(desk, desk.threads.orders, KIND, name, who, do, place=place)
    return SeeOther(with_query(_bare(name, asked), topic=topic, revealed=work.id))


def address(name: str, topic: str, partition: int | str, offset: int | str) -> str:
    return with_query(f"/connectors/{segment(name)}/letters/{partition}/{offset}", topic=topic)


def _bare(name: str, asked: Asked) -> str:
    return f"/connectors/{segment(name)}/letters/{asked.names['partition']}/{asked.names['offset']}"


def _place(desk: Desk, asked: Asked, topic: str) -> tuple[str, str]:
    """The letter's place and its topic; the topic of rejected letters if none is named."""
    dead = dead_letters(desk.settings, asked.names["name"])
    topic = topic or next(iter(dead.topics.values()))
    if topic not in dead.names:
        raise PageError(404, "No such topic", f"{topic[:200]} holds no letters of {dead.name}", ", ".join(dead.names))
    return f"{dead.names[topic]}/{asked.names['partition']}/{asked.names['offset']}", topic


def _still_shown(desk: Desk, asked: Asked, work: Work, place: str) -> Letter | None:
    """What this person revealed a moment ago. Somebody else's, or an old one, is not shown."""
    if work.kind != KIND or work.ended_ms is None or work.result is None:
        return None
    if desk.clock.epoch_ms() - work.ended_ms > SHOWN_MS_MAX:
        work.result = None
        return None
    is_own = work.who == asked.user.name and work.notes["place"] == place
    found: Letter | None = work.result if is_own and desk.reveals else None
    return found


ROUTES = (
    Route("GET", "/connectors/{name}/letters/{partition}/{offset}", show),
    Route("POST", "/connectors/{name}/letters/{partition}/{offset}/reveal", reveal, "reveals"),
)
