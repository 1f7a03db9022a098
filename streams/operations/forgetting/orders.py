"""Orders every connector's keeper to forget users, and waits for the jobs that it makes of the order."""

from __future__ import annotations

from collections.abc import Mapping

from streams.operations.errors import BadRequest
from streams.operations.forgetting.plan import ForgetPlan
from streams.operations.installation import Installation
from streams.operations.keeper_orders import carried_out


def order_forget(installation: Installation, plan: ForgetPlan, *, who: str, reason: str) -> Mapping[str, str]:
    """One job per connector, by connector: watch each with `streams.operations.dead_letters.jobs.follow`.

    An order that reaches only some keepers may be given again: what is forgotten already stays so. Raises `BadRequest`
    without a reason, `OrderRefused`, and what `Keepers.ask` does.
    """
    if not reason.strip():
        raise BadRequest("forgetting deletes for good: give the reason; it is written to the receipts", field="reason")
    jobs = {}
    for part in plan.parts:
        arguments = {
            "users": list(plan.hashes[part.connector]),
            "salt": plan.salt,
            "until": plan.until_ms,
            "planned": sum(part.letters.values()),
        }
        answer = carried_out(installation, part.connector, "forget", arguments, who=who, reason=reason)
        jobs[part.connector] = str(answer.content.get("job", ""))
    return jobs
