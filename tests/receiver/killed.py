"""`streams` with a commit that ends the process as SIGKILL does: `before` or `after` it, at the n-th from its start."""

from __future__ import annotations

import os
import signal
from typing import Any

from streams.adapters.kafka.transactions import TransactionalProducer
from streams.cli.main import run

commit = TransactionalProducer.commit
side, _, number = os.environ["KILLED"].partition(" ")
left = int(number)


def killed(self: TransactionalProducer, *arguments: Any) -> None:
    global left
    left -= 1
    if left == 0 and side == "before":
        self._producer.flush(60)
        os.kill(os.getpid(), signal.SIGKILL)
    commit(self, *arguments)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


TransactionalProducer.commit = killed  # type: ignore[method-assign,assignment]
run()
