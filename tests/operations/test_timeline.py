"""States over time, from lines of the audit."""

from __future__ import annotations

from streams.operations.timeline import CONNECTOR, Span, timelines
from streams.state.audit import Answered, CredentialsChanged, Line, Stopped
from streams.state.records import Evidence

REFUSED = Evidence(status=401, detail="", at=0)


def credentials(at: int, state: str, scope: str = "default") -> Line:
    line = CredentialsChanged(what=f"credentials {state}", scope=scope, evidence=REFUSED, invalid_since=at)
    return line.stamped(at, "keeper", "growth")


def answered(at: int, what: str, outcome: str = "done") -> Line:
    return Answered(what=what, outcome=outcome).stamped(at, "ada", "growth")


def test_without_lines_the_state_of_now_is_that_of_always() -> None:
    assert timelines([], {"default": "VALID"}, 0, 100) == {"default": (Span("VALID", 0, 100),)}


def test_spans_follow_each_other_and_the_first_is_what_the_first_line_ended() -> None:
    lines = [credentials(60, "VALID"), credentials(20, "INVALID"), credentials(10, "INVALID", "another")]
    found = timelines(lines, {"default": "VALID"}, 0, 100)
    assert found["default"] == (Span("VALID", 0, 20), Span("INVALID", 20, 60), Span("VALID", 60, 100))


def test_a_refused_order_and_a_second_suspension_change_nothing() -> None:
    lines = [
        Stopped(by="flood").stamped(10, "keeper", "growth"),
        answered(20, "suspend"),
        answered(30, "resume", "refused"),
        answered(40, "resume"),
    ]
    spans = timelines(lines, {CONNECTOR: "RUNNING"}, 0, 50)[CONNECTOR]
    assert spans == (Span("RUNNING", 0, 10), Span("SUSPENDED", 10, 40), Span("RUNNING", 40, 50))


def test_a_change_before_the_window_sets_how_it_begins() -> None:
    spans = timelines([credentials(5, "INVALID")], {"default": "INVALID"}, 10, 50)["default"]
    assert spans == (Span("INVALID", 10, 50),)
