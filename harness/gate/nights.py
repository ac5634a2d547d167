"""The policy for nights without a conclusion: one retry the same night, an alert from the third night in a row on.

A gate that is inconclusive has found nothing and excluded nothing. One night of that is weather; three are a gate that no
longer judges, and nobody would notice: from then on it fails.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis import spending
from harness.core.errors import ExitCode
from harness.record.checks import Checks
from harness.record.gate import Gate
from harness.record.history import RETRIED, Entry

ALERT_AFTER = 3
"""Nights in a row."""


def wants_retry(gate: Gate) -> bool:
    """Whether the same night tries again: not after an interruption, and not where trying again cannot help."""
    if gate.pairs_planned < spending.fewest(len(gate.primary)):
        return False  # so few pairs can decide nothing, however often they are measured
    return gate.verdict == "inconclusive" and not gate.interrupted and not gate.advisory


def inconclusive_nights(gates: Sequence[Entry], gate: Gate) -> int:
    """How many nights in a row, this one included, had no conclusion. `gates` are those of the history, in order.

    A night is one call; its retry belongs to it. Interrupted gates are no nights.
    """
    if gate.verdict != "inconclusive" or gate.interrupted:
        return 0
    count = 1
    for entry in reversed(gates):
        same = (entry.scenario, entry.profile) == (gate.scenario, gate.profile)
        retried = (entry.detail or "").endswith(RETRIED)
        if not same or entry.id == gate.experiment_id or retried or entry.exit_code == ExitCode.INTERRUPTED:
            continue
        if entry.verdict != "inconclusive":
            break
        count += 1
    return count


def apply(checks: Checks, nights: int) -> Checks:
    """The checks of a night with the policy's word: nothing, a warning with exit code 3, or an alert with exit code 1."""
    if nights == 0:
        return checks
    if nights < ALERT_AFTER:
        told = f"night {nights} of {ALERT_AFTER} in a row without a conclusion; then it is an alert"
        return checks.model_copy(update={"warnings": [*checks.warnings, told]})
    alert = (
        f"{nights} nights in a row without a conclusion: the gate no longer judges; see what its reasons have in common"
    )
    return checks.model_copy(update={"alert": alert, "exit_code": int(ExitCode.FAILED)})
