"""An interrupted self-test of the gate taken up again: its complete blocks stay, and so does its trial run."""

from __future__ import annotations

from dataclasses import replace

from harness.core.errors import UsageError
from harness.experiment import preflight, selftest
from harness.experiment.options import RunOptions
from harness.experiment.pairs import Measuring
from harness.experiment.selftest import Block, Profile
from harness.gate.conditions import BASELINE, SAME
from harness.gate.effects import value_of
from harness.gate.pairing import Side
from harness.gate.stored import side_of
from harness.record.experiments import ExperimentRecord
from harness.record.selftest import SelfTest
from harness.scenario.load import load
from harness.scenario.resolve import resolve


def resume_self_test(record: ExperimentRecord, options: RunOptions, watcher: selftest.Watcher) -> SelfTest:
    """Measure the missing blocks and judge the whole.

    Raises UsageError where the experiment is no interrupted self-test, or the scenario was changed since.
    """
    facts = record.experiment
    if facts.kind != "self-test" or facts.asked is None:
        raise UsageError(f"experiment {facts.experiment_id} is no self-test that can be resumed")
    if not record.interrupted:
        still = "is still going on" if facts.state == "running" else "is complete"
        raise UsageError(f"experiment {facts.experiment_id} {still}", remedy="only an interrupted one can be resumed")
    file = load(selftest.SCENARIO)
    if file.sha256 != facts.asked["sha256"]:
        raise UsageError(
            "the scenario was changed since the self-test began", place=str(file.path), remedy="begin a new one"
        )
    profile: Profile = facts.asked["profile"]
    options = replace(selftest.options_of(options, profile), out=record.runs_dir(options.out))
    preflight.check([resolve(file, sets=options.sets)], options, file.path.parent)
    names = [BASELINE, SAME, *(item.name for item in selftest.conditions_of(profile))]
    trial, blocks = _complete(record, names)
    numbers = {block.number for block in blocks} | ({0} if trial is not None else set())
    measuring = Measuring(record, facts, [])
    measuring.take_up([run for run in facts.runs if run.pair in numbers])
    heap = None if trial is None else value_of(trial, "memory.heap.settled")
    return selftest.go_on(measuring, file, options, profile, watcher, blocks, heap)


def _complete(record: ExperimentRecord, names: list[str]) -> tuple[Side | None, list[Block]]:
    """The trial run, and the blocks before the first one that was cut short."""
    trial: Side | None = None
    found: dict[int, Block] = {}
    for item in record.experiment.runs:
        if item.pair is None or item.verdict == "interrupted":
            continue
        side = side_of(record.run(item.run_id))
        if item.pair == 0:
            trial = side
            continue
        block = found.setdefault(item.pair, Block(item.pair, item.seed or 0, [], {}))
        block.order.append(str(item.arm))
        block.sides[str(item.arm)] = side
    blocks: list[Block] = []
    for number in range(1, len(found) + 1):
        if number not in found or set(found[number].sides) != set(names):
            break
        blocks.append(found[number])
    return trial, blocks
