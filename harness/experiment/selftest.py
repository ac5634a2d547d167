"""`harness gate --self-test`: the gate judges a subject whose regressions are known, with runs as real as any.

Pairs are measured in blocks: the baseline, the same again (A/A), and one run of each injected regression, in an order drawn
by seed. Each condition is paired with the block's baseline, which is thus measured once for all of them.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, Protocol

from harness.core.errors import EnvironmentFault, ExitCode
from harness.experiment import pairs, preflight, specs
from harness.experiment.options import Observer, RunOptions
from harness.experiment.pairs import Measuring
from harness.experiment.specs import Arm
from harness.gate.conditions import (
    BASELINE,
    CONDITIONS,
    LOAD,
    PAIRS_PER_GATE,
    SAME,
    UNTIMED,
    Injected,
    judge_condition,
)
from harness.gate.effects import value_of
from harness.gate.environment import environment
from harness.gate.pairing import Pair, Side
from harness.record.selftest import SelfTest
from harness.scenario.load import ScenarioFile, load
from harness.scenario.resolve import resolve

SCENARIO = "calibrated"
Profile = Literal["quick", "full"]
PAIRS: dict[Profile, int] = {"quick": PAIRS_PER_GATE, "full": 40}
NAMES: dict[Profile, tuple[str, ...]] = {"quick": ("leak",), "full": tuple(item.name for item in CONDITIONS)}
SPARE = 4
"""Blocks that may be measured beyond the plan because a run of another was spoiled by a busy machine."""
_SHARE = 0.05


@dataclass(slots=True)
class Block:
    """One run of every arm, of the same seed."""

    number: int
    seed: int
    order: list[str]
    sides: dict[str, Side]

    def pair(self, condition: str) -> Pair:
        """The block's baseline with one of the conditions."""
        sides = {"baseline": self.sides.get(BASELINE), "candidate": self.sides.get(condition)}
        first = "baseline" if self.order.index(BASELINE) < self.order.index(condition) else "candidate"
        return Pair(
            self.number, self.seed, ("baseline", "candidate") if first == "baseline" else ("candidate", "baseline"),
            {name: side for name, side in sides.items() if side is not None},  # type: ignore[misc] # the two names above
        )  # fmt: skip


class Watcher(Observer, Protocol):
    """Shows a person how the self-test goes."""

    def blocks(self, experiment_id: str, arms: Mapping[str, Arm], blocks: int) -> None:
        """Measuring begins."""

    def run_of_block(self, number: int, arm: str) -> None:
        """One run of a block begins."""

    def block_ended(self, number: int, seconds: float, note: str) -> None:
        """All runs of a block are over."""


def run_self_test(options: RunOptions, profile: Profile, seed: int, watcher: Watcher) -> SelfTest:
    """Measure and judge. Raises EnvironmentFault where the trial run does not work."""
    file = load(SCENARIO)
    options = options_of(options, profile)
    arms = {BASELINE: _arm(file, {}), SAME: _arm(file, {})}
    preflight.check([resolve(file, sets=options.sets)], options, file.path.parent)
    asked: dict[str, object] = {"profile": profile, "sha256": file.sha256}
    measuring = pairs.begin(file, options, arms, kind="self-test", seed=seed, pairs=PAIRS[profile], asked=asked)
    return go_on(measuring, file, options, profile, watcher, [], None)


def options_of(options: RunOptions, profile: Profile) -> RunOptions:
    """Those of the runs: the load of the self-test, faster where no condition is about time."""
    timed = any(item.metric.startswith("latency.") for item in conditions_of(profile))
    return replace(options, profile=None, sets=LOAD | ({} if timed else UNTIMED), report=False)


def conditions_of(profile: Profile) -> list[Injected]:
    """What is injected; the ballast of condition `memory` is not known yet."""
    return [item for item in CONDITIONS if item.name in NAMES[profile]]


def go_on(
    measuring: Measuring, file: ScenarioFile, options: RunOptions, profile: Profile, watcher: Watcher,
    blocks: list[Block], heap: float | None,
) -> SelfTest:  # fmt: skip
    """Measure what is missing and judge the whole. `blocks` are there already, and so is the trial run's `heap`."""
    chosen = conditions_of(profile)
    arms = {BASELINE: _arm(file, {}), SAME: _arm(file, {})}
    try:
        if any(item.name == "memory" for item in chosen):
            if heap is None:
                heap = _trial(measuring, file, options, arms[BASELINE], watcher)
            chosen = _with_ballast(chosen, heap)
        arms |= {item.name: _arm(file, item.options) for item in chosen}
        measuring.facts.arms = {name: arm.facts for name, arm in arms.items()}
        watcher.blocks(measuring.facts.experiment_id, arms, PAIRS[profile])
        _measure(measuring, file, options, arms, PAIRS[profile], blocks, watcher)
    except KeyboardInterrupt:
        measuring.interrupted = True
    result = _result(measuring, profile, PAIRS[profile], chosen, blocks)
    measuring.record.save_self_test(result)
    pairs.end(measuring, result.exit_code, "; ".join(result.reasons) or None)
    return result


def _arm(file: ScenarioFile, injected: Mapping[str, str]) -> Arm:
    spec = "options:" + ",".join(f"{key}={value}" for key, value in injected.items()) if injected else "scenario"
    return specs.parse(spec, file, side="candidate", build=None, subject=None)


def _with_ballast(chosen: list[Injected], heap: float) -> list[Injected]:
    """The memory condition with its ballast: a share of what the subject really holds, which only a run can tell."""
    ballast = {"ballast": f"{round(heap * _SHARE)}B"}
    return [replace(item, options=ballast) if item.name == "memory" else item for item in chosen]


def _trial(measuring: Measuring, file: ScenarioFile, options: RunOptions, arm: Arm, watcher: Watcher) -> float:
    """The settled heap of the baseline, in bytes, from one run that no pair holds."""
    watcher.run_of_block(0, "trial")
    side = pairs.measure_run(measuring, 0, 1, "trial", file, options, arm, watcher)
    heap = value_of(side, "memory.heap.settled")
    if heap is None:
        why = "; ".join(side.verdict.reasons) or "it has no settled heap"
        raise EnvironmentFault(f"the trial run is {side.verdict.verdict}: {why}", place=str(side.record.path))
    return heap


def _measure(
    measuring: Measuring, file: ScenarioFile, options: RunOptions, arms: Mapping[str, Arm], planned: int,
    blocks: list[Block], watcher: Watcher,
) -> None:  # fmt: skip
    drawn = random.Random(measuring.facts.seed)  # noqa: S311 # an order, no secret
    if _enough(blocks, planned):
        return  # it was interrupted after its last block
    for number in range(1, planned + SPARE + 1):
        order = list(arms)
        drawn.shuffle(order)
        block = Block(number, drawn.randrange(1, 2**31), order, {})
        if number <= len(blocks):
            continue  # measured before an interruption
        blocks.append(block)
        started = time.monotonic()
        for name in order:
            watcher.run_of_block(number, name)
            block.sides[name] = pairs.measure_run(
                measuring, number, block.seed, name, file, options, arms[name], watcher
            )
            if measuring.interrupted:
                return
        bad = [f"{name}: {side.verdict.verdict}" for name, side in block.sides.items() if not side.sound]
        watcher.block_ended(number, time.monotonic() - started, ", ".join(bad) or "all valid")
        if _enough(blocks, planned):
            return


def _enough(blocks: Sequence[Block], planned: int) -> bool:
    return sum(all(side.sound for side in each.sides.values()) for each in blocks) >= planned


def _result(
    measuring: Measuring, profile: Profile, planned: int, chosen: list[Injected], blocks: list[Block]
) -> SelfTest:
    complete = [block for block in blocks if {BASELINE, SAME, *(item.name for item in chosen)} <= block.sides.keys()]
    seed = measuring.facts.seed or 0
    same = [block.pair(SAME) for block in complete]
    conditions = [judge_condition(SAME, "the same subject twice (A/A)", {}, same, chosen, seed=seed)]
    for item in chosen:
        measured = [block.pair(item.name) for block in complete]
        conditions.append(judge_condition(item.name, item.words, item.options, measured, [item], seed=seed))
    runs = [side.record.run for block in blocks for side in block.sides.values()]
    seconds = [(run.ended_at - run.started_at).total_seconds() for run in runs if run.ended_at is not None]
    ok = all(condition.ok for condition in conditions) and not measuring.interrupted
    reasons = [f"{condition.name}: {condition.sentence}" for condition in conditions if not condition.ok]
    if measuring.interrupted:
        reasons.insert(0, f"interrupted in block {len(blocks)} of {planned}")
    failed = ExitCode.INTERRUPTED if measuring.interrupted else ExitCode.FAILED
    return SelfTest(
        experiment_id=measuring.facts.experiment_id, profile=profile, started_at=measuring.facts.started_at,
        ended_at=datetime.now(UTC), pairs_per_gate=PAIRS_PER_GATE, pairs_planned=planned, runs=len(runs),
        seconds_per_run=sum(seconds) / len(seconds) if seconds else None,
        machine=environment(runs, [], on_purpose=True).machine, conditions=conditions,
        interrupted=measuring.interrupted, ok=ok, exit_code=ExitCode.PASSED if ok else failed, reasons=reasons,
    )  # fmt: skip
