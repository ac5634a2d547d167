"""The runs of an experiment as pairs: which of them say something, and if not, why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.analysis.trust import TOO_BUSY
from harness.record.gate import ArmName, GatePair
from harness.record.models import Result, Verdict
from harness.record.reader import RunRecord

ARMS: tuple[ArmName, ArmName] = ("baseline", "candidate")
PROFILED: Mapping[ArmName, str] = {"baseline": "baseline-memray", "candidate": "candidate-memray"}
"""What the arms are called in pairs that were measured under memray, for blame alone."""
_SOUND = ("passed", "failed")
"""Verdicts of runs that are measurements: one that failed found something, and did not fall short."""


@dataclass(frozen=True, slots=True)
class Side:
    """One run of a pair, judged."""

    record: RunRecord
    verdict: Verdict

    @property
    def sound(self) -> bool:
        """Whether its figures may be compared."""
        return self.verdict.verdict in _SOUND

    @property
    def results(self) -> Mapping[str, Result]:
        """By metric."""
        return self.verdict.results


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs of the same load, one after the other. One side is missing while the second run is yet to come."""

    number: int
    seed: int
    order: Sequence[ArmName]
    sides: Mapping[ArmName, Side] = field(default_factory=dict)

    @property
    def valid(self) -> bool:
        """Whether both runs are sound measurements."""
        return len(self.sides) == len(ARMS) and all(side.sound for side in self.sides.values())

    @property
    def spoiled_by_machine(self) -> bool:
        """Whether it is not valid for no other reason than that the machine was too busy: it may be measured again.

        Any other reason may be the subject's own doing (lost work makes a run `invalid`), and measuring until it does
        not happen would hide it.
        """
        bad = [side.verdict for side in self.sides.values() if not side.sound]
        return bool(bad) and all(
            verdict.verdict == "invalid" and all(reason.startswith(TOO_BUSY) for reason in verdict.reasons)
            for verdict in bad
        )

    def reasons(self) -> list[str]:
        """Why it is not valid, each beginning with the arm; empty where it is."""
        found = []
        for arm in ARMS:
            side = self.sides.get(arm)
            if side is None:
                found.append(f"{arm}: not measured")
            elif not side.sound:
                why = "; ".join(side.verdict.reasons[:2]) or "no reason was given"
                found.append(f"{arm}: {side.verdict.verdict}: {why}")
        return found

    def facts(self) -> GatePair:
        """As the gate's result tells it."""
        return GatePair(
            pair=self.number,
            seed=self.seed,
            order=list(self.order),
            runs={arm: side.record.run.run_id for arm, side in self.sides.items()},
            valid=self.valid,
            reasons=self.reasons(),
            machine=self.spoiled_by_machine,
        )
