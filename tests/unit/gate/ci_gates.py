"""Results of gates for tests of what CI systems are told. Nothing here was measured."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from harness.record.gate import Blamed, Findings, Gate, GateEnvironment, Primary
from harness.record.models import ExperimentArm

HEAP, LATENCY = "memory.heap.settled", "latency.flip.p99"
STARTED = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
HOSTILE = "a\x00b\x1b[31m <b>&'\"]]>\n::error::x|y`%0A\ud800"


def primary(metric: str, verdict: str, effect: float = 0.05) -> Primary:
    """One line of a gate."""
    return Primary(
        metric=metric, unit="B", direction="lower", scale="relative", baseline=100.0, candidate=105.0, effect=effect,
        low=effect - 0.01, high=effect + 0.01, threshold=0.03, threshold_text="3%", verdict=verdict,  # type: ignore[arg-type]
        sentence=f"{metric} is {verdict}",
    )  # fmt: skip


def gate(verdict: str = "regress", lines: list[Primary] | None = None, **facts: Any) -> Gate:
    """A gate over smoke; exit codes are those of its verdict."""
    arms = [ExperimentArm(spec=word, kind="options", words=word) for word in ("old", "new")]
    code = {"pass": 0, "improve": 0, "regress": 1, "inconclusive": 3}[verdict]
    given: dict[str, Any] = {
        "experiment_id": "20261122-030000-xxxxx", "scenario": "smoke", "started_at": STARTED,
        "ended_at": STARTED + timedelta(minutes=9), "baseline": arms[0], "candidate": arms[1], "verdict": verdict,
        "advisory": False, "exit_code": code, "reasons": [f"it is {verdict}"], "alpha": 0.01, "pairs_planned": 12,
        "pairs_valid": 12, "primary": lines or [primary(HEAP, verdict)], "pairs": [],
        "findings": Findings(baseline=0, candidate=0, both=0),
        "environment": GateEnvironment(fingerprints=["m1"], machine="m1", versions={}, cluster="embedded"),
        "blame": [
            Blamed(
                rank=1, kind="task", name=HOSTILE, unit="count", baseline=1, candidate=9, growth=8, pairs_grown=12, pairs=12,
                sentence=f"{HOSTILE} grew",
            )
        ],
    }  # fmt: skip
    return Gate(**(given | facts))
