"""A night: one gate after another, each a `harness gate` of its own, within a time that all of them share.

A gate that is not over at its share of what is left is interrupted: then this machine cannot do it in time, which is told and
never counts as good. Its second try, where it came to no conclusion, begins only if it can be over by then.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from harness.core import paths
from harness.core.errors import ExitCode, HarnessError
from harness.experiment import last_good
from harness.gate.night_report import Judged, to_gate
from harness.process import PIPE, STDOUT, spawn
from harness.process.child import Child
from harness.record.checks import Checks
from harness.record.experiments import ExperimentRecord
from harness.record.history import Entry, History
from harness.record.night import Night, NightGate
from harness.record.reader import parse_model

_ENDING_S = 120.0
"""What an interrupted gate gets to take its run down."""
_LEAST_S = 30.0
"""With less left no gate is begun: not one pair could be measured."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of a night."""

    tree: Path
    scenarios: Sequence[str]
    profile: str
    baseline: str
    fallback: str
    out: Path
    history: Path
    budget_s: float
    options: Sequence[str] = ()
    """Further options of every `harness gate`."""
    cluster: str = "embedded"
    again: bool = False
    """Measure also what an earlier night found good."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Names of the scenarios by what was asked for, where that is a file."""
    program: Sequence[str] = (sys.executable, "-P", "-m", "harness.cli.main")
    """What is called with `gate …`."""


@dataclass(slots=True)
class Result:
    """What came of it: the document, and the checks of all gates."""

    night: Night
    judged: list[Judged] = field(default_factory=list)
    interrupted: bool = False


async def run(plan: Plan, say: Callable[[str], None], stop: asyncio.Event) -> Result:
    """Measure every gate in turn, until `stop` is set. Raises UsageError before the first for what cannot work."""
    started, began = datetime.now(UTC), time.monotonic()
    head = last_good.resolved(plan.tree, "HEAD")
    warnings = []
    if last_good.changed(plan.tree):
        warnings.append(f"the working tree has changes that no commit holds; what is judged is {head[:10]}")
    gates: list[Entry] = History(plan.history).entries(kind="gate")
    chosen = {
        name: last_good.choose(
            plan.baseline,
            plan.fallback,
            head,
            gates,
            plan.names.get(name, name),
            plan.profile,
            plan.tree,
            again=plan.again,
        )
        for name in plan.scenarios
    }
    judged: list[Judged] = []
    for number, name in enumerate(plan.scenarios):
        left = plan.budget_s - (time.monotonic() - began)
        share = left / (len(plan.scenarios) - number)
        judged.append(await _gate(plan, name, head, chosen[name], share, say, stop))
        if stop.is_set():
            break
    found = [to_gate(each) for each in judged]
    long = [each for each in found if (each.longest_run_s or 0) > LONGEST_ARM_S]
    warnings += [
        f"{each.scenario}: a run took {each.longest_run_s:.0f} s, and an arm is to take {LONGEST_ARM_S} s at most"
        for each in long
    ]
    night = Night(
        started_at=started, ended_at=datetime.now(UTC), candidate=head, profile=plan.profile, cluster=plan.cluster,
        budget_s=plan.budget_s, gates=found, warnings=warnings, exit_code=_worst(found, interrupted=stop.is_set()),
    )  # fmt: skip
    return Result(night, judged, stop.is_set())


LONGEST_ARM_S = 90
_ORDER = (
    ExitCode.PASSED, ExitCode.INVALID, ExitCode.USAGE, ExitCode.ENVIRONMENT, ExitCode.BUG, ExitCode.FAILED,
    ExitCode.INTERRUPTED,
)  # fmt: skip
"""A regression comes before what broke down beside it: it is what somebody must look at."""


def _worst(gates: Sequence[NightGate], *, interrupted: bool) -> int:
    if interrupted:
        return int(ExitCode.INTERRUPTED)
    codes = [ExitCode(gate.exit_code) if gate.exit_code in list(ExitCode) else ExitCode.BUG for gate in gates]
    return int(max(codes, key=_ORDER.index, default=ExitCode.PASSED))


async def _gate(
    plan: Plan, name: str, head: str, choice: last_good.Choice, share: float, say: Callable[[str], None], stop: asyncio.Event
) -> Judged:  # fmt: skip
    scenario = plan.names.get(name, name)
    nothing = Judged(scenario, choice.commit, choice.why, exit_code=int(ExitCode.PASSED))
    if choice.commit is None:
        say(f"{scenario}: not measured: {choice.why}")
        return nothing.replaced(skipped=True, message=choice.why)
    if choice.commit == head:
        why = f"{head[:10]} would be held against itself"
        return nothing.replaced(message=why, exit_code=int(ExitCode.USAGE))
    if share < _LEAST_S:
        return nothing.replaced(message="no time was left for it", exit_code=int(ExitCode.ENVIRONMENT))
    say(f"{scenario}: {choice.commit[:10]} ({choice.why}) against {head[:10]}, {share / 60:.1f} minutes at most")
    checks = plan.out / f"gate-{scenario}.json"
    checks.unlink(missing_ok=True)
    command = [
        *(*plan.program, "gate", name, "--profile", plan.profile, "--nightly"),
        *("--baseline", f"git:{choice.commit}", "--candidate", f"git:{head}", "--retry-within", f"{share:.0f}s"),
        *("--out", str(plan.out / "runs"), "--history", str(plan.history), "--checks", str(checks), *plan.options),
    ]
    log = plan.out / f"gate-{scenario}.log"
    log.unlink(missing_ok=True)
    began = time.monotonic()
    code, late = await _measured(command, log, share, stop)
    seconds = time.monotonic() - began
    found = nothing.replaced(exit_code=code, seconds=seconds)
    if checks.is_file():
        found = _with_checks(found, plan, checks)
    if late:
        message = f"it was not over after its share of the time, {share / 60:.1f} minutes"
        return found.replaced(message=message, exit_code=int(ExitCode.ENVIRONMENT), late=True)
    if found.checks is None:
        return found.replaced(message=_last_line(log))
    return found


def _with_checks(found: Judged, plan: Plan, checks: Path) -> Judged:
    try:
        told = parse_model(checks, Checks)
        experiment = ExperimentRecord.open(told.suites[0].id, plan.out / "runs")
        longest = max(
            (
                (run.run.ended_at - run.run.started_at).total_seconds()
                for run in experiment.runs()
                if run.run.ended_at is not None
            ),
            default=None,
        )
    except (HarnessError, IndexError) as error:
        return found.replaced(message=f"its result cannot be read: {error}", exit_code=int(ExitCode.BUG))
    return found.replaced(checks=told, longest_run_s=longest)


async def _measured(command: Sequence[str], log: Path, share: float, stop: asyncio.Event) -> tuple[int, bool]:
    """The exit code of a gate, and whether its time was up; what it prints goes to `log` and to stderr."""
    child = await spawn(command, name="gate", env=dict(os.environ), stdout=PIPE, stderr=STDOUT, kill_grace_s=10.0)
    told = asyncio.create_task(_relay(child, log))
    waiting = asyncio.create_task(child.wait())
    stopped = asyncio.create_task(stop.wait())
    late = False
    try:
        await asyncio.wait({waiting, stopped}, timeout=share, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            late = not stop.is_set()
            child.send_signal(signal.SIGINT)
            await asyncio.wait({waiting}, timeout=_ENDING_S)
        ended = waiting.result() if waiting.done() else await child.end()
    finally:
        stopped.cancel()
        await child.stop(5.0)
        waiting.cancel()
        await asyncio.wait({told}, timeout=5.0)
        told.cancel()
        await asyncio.gather(told, waiting, stopped, return_exceptions=True)
    return ended.code, late


async def _relay(child: Child, log: Path) -> None:
    assert child.stdout is not None
    while line := await child.stdout.readline():
        sys.stderr.buffer.write(line)
        sys.stderr.flush()
        await asyncio.to_thread(_append, log, line)


def _append(log: Path, line: bytes) -> None:
    with log.open("ab") as file:
        file.write(line)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.is_file() else []
    return lines[-1].removeprefix("harness: ") if lines else "it gave no result"


def default_out() -> Path:
    """Where a night leaves what it made: beside the runs."""
    return paths.runs_dir().parent / "nightly"
