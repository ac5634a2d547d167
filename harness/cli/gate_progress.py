"""Live progress of a gate: which pair, which arm, how long it may still take; one line kept per pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.text import Text

from harness.cli.many_runs import ManyRunsObserver
from harness.core.units import format_value
from harness.experiment.pairs import Schedule
from harness.experiment.specs import Arm
from harness.gate.effects import value_of
from harness.gate.pairing import ARMS, Pair
from harness.record.gate import ArmName
from harness.report.results import clean, value_text
from harness.scenario.gating import PrimaryMetric


class GateObserver(ManyRunsObserver):
    """A `Watcher` for people."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._pairs = 0
        self._done: list[float] = []
        self._primary: Sequence[PrimaryMetric] = ()

    # -- Watcher -------------------------------------------------------------------------------------------------------

    def plan(self, experiment_id: str, arms: dict[ArmName, Arm], pairs: int, primary: Sequence[PrimaryMetric]) -> None:
        """See `Watcher`."""
        self._pairs, self._primary = pairs, primary
        self._print(Text.assemble("\n", (f"experiment {experiment_id}", "bold"), f"  {pairs} pairs at most"))
        for name in ARMS:
            self._print(Text(f"  {name:<10} {clean(arms[name].facts.words)}"))
        deciding = ", ".join(f"{item.metric} (too much: {item.text})" for item in primary)
        if deciding:
            self._print(Text(f"  decides    {deciding}"))

    def pair_started(self, item: Schedule, arm: ArmName) -> None:
        """See `Watcher`."""
        nth = "first" if item.order[0] == arm else "second"
        self._where = f"pair {item.number} of {self._pairs} · {arm} ({nth})"
        self._where += self._left()
        self._show(self._where)

    def pair_ended(self, pair: Pair, seconds: float, note: str) -> None:
        """See `Watcher`."""
        self._done.append(seconds)
        if pair.valid:
            told = "  ".join(f"{item.metric} {self._change(pair, item)}" for item in self._primary)
        else:
            told = "not valid: " + "; ".join(pair.reasons())
        order = "baseline first " if pair.order[0] == "baseline" else "candidate first"
        line = f"  pair {pair.number:<3} {order}  {format_value(seconds, 'seconds'):>7}  {clean(told)}  ({note})"
        self._print(Text(line))

    def _change(self, pair: Pair, item: PrimaryMetric) -> str:
        before, after = (value_of(pair.sides[arm], item.metric) for arm in ARMS)
        unit = pair.sides["baseline"].results[item.metric].unit if item.metric in pair.sides["baseline"].results else ""
        return f"{value_text(before, unit)} -> {value_text(after, unit)}"

    # -- Watcher of a self-test ----------------------------------------------------------------------------------------

    def blocks(self, experiment_id: str, arms: Mapping[str, Arm], blocks: int) -> None:
        """See `selftest.Watcher`."""
        self._pairs = blocks
        title = f"  {blocks} blocks of {len(arms)} runs, {blocks * len(arms)} runs"
        self._print(Text.assemble("\n", (f"experiment {experiment_id}", "bold"), title))
        for name, arm in arms.items():
            self._print(Text(f"  {name:<10} {clean(arm.facts.words)}"))

    def run_of_block(self, number: int, arm: str) -> None:
        """See `selftest.Watcher`."""
        self._where = f"block {number} of {self._pairs} · {arm}{self._left()}" if number else f"{arm} run"
        self._show(self._where)

    def block_ended(self, number: int, seconds: float, note: str) -> None:
        """See `selftest.Watcher`."""
        self._done.append(seconds)
        self._print(Text(f"  block {number:<3} {format_value(seconds, 'seconds'):>7}  {clean(note)}{self._left()}"))

    def _left(self) -> str:
        if not self._done:
            return ""
        left = max(0, self._pairs - len(self._done)) * sum(self._done) / len(self._done)
        return f" · about {format_value(left, 'seconds')} left"
