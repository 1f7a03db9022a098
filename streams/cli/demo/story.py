"""The story of dead credentials in under a minute: keys die, records are parked, some are purged, keys are fixed,
and all the rest goes out by itself."""

from __future__ import annotations

import time
from typing import Any

from streams.adapters.kafka.journal import StateJournal
from streams.cli.demo.acts import Story
from streams.cli.demo.stage import MIXPANEL
from streams.delivery.account import Account
from streams.state.audit import ReceiptLine, parse_line
from streams.state.credentials import Rules, deadline_ms
from streams.state.moments import iso
from streams.state.records import ScopeState

GRACE_SECONDS = 12.0
"""Instead of 48 hours; probes and the clocks' margin shrink with it."""
HEALTHY_SECONDS = 3.0
AFTER_RECEIPT_SECONDS = 3.0
SCOPE = "default"


class CredentialsStory(Story):
    """`run` plays it, `result` is its account."""

    def _play(self) -> None:
        self._until(lambda accounts: accounts[MIXPANEL].delivered > 0, "events are delivered")
        self._for(HEALTHY_SECONDS)
        self._mixpanel.revoke()
        self._tell("the key dies: Mixpanel answers 401 from now on")
        self._until(lambda _: self._scope().state == "INVALID", "a probe confirms it")
        evidence = self._scope().evidence
        assert evidence is not None
        self._tell(f"INVALID, a probe confirms ({evidence.status} {evidence.detail}); records are parked")
        self._until(lambda accounts: accounts[MIXPANEL].purged > 0, "the grace runs out")
        receipt = self._receipts()[0]
        since = f"INVALID since {iso(receipt.invalid_since)}"
        self._tell(f"purged what was past its deadline, with a receipt: {receipt.letters:,} letters, {since}")
        self._for(AFTER_RECEIPT_SECONDS)
        self._mixpanel.restore()
        self._tell("the key is fixed; nobody types anything")
        self._until(lambda _: self._scope().state == "VALID", "a probe finds out")
        self._tell("VALID; parked records go out again, in order, beside live ones")
        self._sends = iter(())
        self._until(self._is_all_out, "everything is out")

    def _is_all_out(self, accounts: dict[str, Account]) -> bool:
        return self._is_settled() and accounts[MIXPANEL].parked.get("credentials", 0) == 0

    def _configuration(self, bootstrap_servers: str) -> dict[str, Any]:
        content = super()._configuration(bootstrap_servers)
        content["connectors"][MIXPANEL]["grace"] = f"{GRACE_SECONDS:.0f}s"
        content["connectors"][MIXPANEL]["redrive_rate"] = 5_000
        return content

    def _further_problems(self, accounts: dict[str, Account]) -> list[str]:
        """Purged is what receipts say, and nothing else is missing at the destination."""
        said = sum(receipt.letters for receipt in self._receipts())
        totals = accounts[MIXPANEL]
        problems = []
        if not totals.purged or totals.purged != said:
            problems.append(f"{totals.purged:,} letters were purged, the receipts say {said:,}")
        if totals.parked.get("credentials", 0):
            problems.append(f"{totals.parked['credentials']:,} letters are still parked, but the key works")
        return problems

    def _status(self, accounts: dict[str, Account]) -> str:
        totals = accounts[MIXPANEL]
        text = f"  delivered {totals.delivered:,}, parked {totals.parked.get('credentials', 0):,}"
        scope = self._scope()
        if scope.state == "VALID":
            return f"{text}, waiting {totals.waiting:,}"
        now = time.time_ns() // 1_000_000
        state = self._account_reader.state_views()[MIXPANEL].state
        left = (deadline_ms(0, scope, state, Rules(GRACE_SECONDS), now) - now) / 1000
        return f"{text}; the first is purged in {left:.0f} s" if left > 0 else f"{text}; past the first deadline"

    def _scope(self) -> ScopeState:
        return self._account_reader.state_views()[MIXPANEL].scope(SCOPE)

    def _receipts(self) -> list[ReceiptLine]:
        """Receipts of purges, from the audit topic."""
        config = self._settings.kafka.client_config("streams-demo")
        receipts = []
        for partition in self._administration.partitions(self._settings.topics.audit):
            journal = StateJournal(config, partition[0], "streams-demo-audit", partition=partition[1])
            for record in journal.read_to_end():
                line = parse_line(record.value)
                if isinstance(line, ReceiptLine) and line.what == "purged":
                    receipts.append(line)
            journal.close()
        return receipts
