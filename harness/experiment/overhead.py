"""`harness overhead`: what looking costs. The same work is done with and without each collector, interleaved, in pairs.

In each round every arm runs once, in an order drawn by the seed, and an arm is paired with the round's run of the arm that it is
compared with. Two arms are compared with themselves: their differences are what this machine's noise makes of nothing.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.analysis.overhead import Helping, Reading, costs, goals
from harness.collectors.host import read_cpu
from harness.core.errors import RunFault
from harness.core.handles import Progress
from harness.experiment import machine
from harness.experiment.overhead_arms import OverheadArm, scenario, small
from harness.process import PIPE, last_words, spawn
from harness.record.overhead import Overhead
from harness.record.reader import RunRecord

_RUN_S = 240.0
_EVENTS = (
    "SELECT coalesce(sum(most), 0) FROM "
    "(SELECT max(value) AS most FROM samples WHERE metric = 'watch.events' AND t_ns <= ? GROUP BY labels)"
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured: `repos` GitRepos of `bundles` Bundles each are the work."""

    arms: Sequence[OverheadArm]
    pairs: int
    seed: int = 1
    repos: int = 40
    bundles: int = 10

    @property
    def work(self) -> str:
        """In words."""
        return (
            f"{self.repos} GitRepos of {self.bundles} Bundles after {small(self.repos)} of them, half of which are deployed to "
            "one Cluster by the reference controller fleet, on an embedded control plane"
        )


@dataclass(slots=True)
class _Found:
    rounds: list[dict[str, Reading]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    runs: int = 0


async def measure(plan: Plan, progress: Progress, stop: asyncio.Event) -> Overhead:
    """Run it all, or until `stop` is set: what was measured by then counts. A run that fails does not count, and is told.

    A round of which no run counts is the last one.
    """
    started = datetime.now(UTC)
    order = random.Random(f"{plan.seed}/overhead")  # noqa: S311 # an order of runs, no secret
    found = _Found()
    with tempfile.TemporaryDirectory(prefix="harness-overhead-") as place:
        for number in range(1, plan.pairs + 1):
            if stop.is_set():
                break
            arms = list(plan.arms)
            order.shuffle(arms)
            readings: dict[str, Reading] = {}
            for place_in_round, arm in enumerate(arms, 1):
                progress.step(f"round {number} of {plan.pairs}, run {place_in_round} of {len(arms)}: {arm.words}")
                try:
                    readings[arm.name] = await _unless(stop, _run(plan, arm, Path(place)))
                    found.runs += 1
                except _Stopped:
                    found.problems.append(f"stopped in round {number}: what was measured by then counts")
                    break
                except RunFault as error:
                    found.problems.append(f"round {number}, {error}")
                    progress.step(f"it does not count: {error}")
            found.rounds.append(readings)
            if not readings:
                found.problems.append(f"nothing was measured in round {number}: the others would be no better")
                break
    shares = [reading.others for readings in found.rounds for reading in readings.values()]
    measured = costs(plan.arms, found.rounds)
    return Overhead(
        started_at=started,
        machine=machine.describe(),
        work=plan.work,
        seed=plan.seed,
        pairs=plan.pairs,
        runs=found.runs,
        problems=found.problems,
        busy=sum(shares) / len(shares) if shares else None,
        costs=measured,
        goals=goals(measured),
    )


class _Stopped(Exception):
    """The user has had enough."""


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, Reading]) -> Reading:
    task, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            raise _Stopped
        return task.result()
    finally:
        for each in (task, stopped):
            each.cancel()
        await asyncio.gather(task, stopped, return_exceptions=True)


async def _run(plan: Plan, arm: OverheadArm, place: Path) -> Reading:
    """One run. Raises RunFault where it did not do the work, or a collector that it is about did not work."""
    file = place / f"{arm.name}.yaml"
    file.write_text(scenario(arm, plan.repos, plan.bundles))
    command = [sys.executable, "-P", "-m", "harness.experiment.overhead_child", str(file), str(place / "runs")]
    command += [",".join(arm.collectors), arm.memray, arm.pyroscope]
    log = place / f"{arm.name}.log"
    began = asyncio.get_running_loop().time()
    before = read_cpu()
    child = await spawn(command, name="overhead-run", env=dict(os.environ), stdout=PIPE, stderr=log)
    assert child.stdout is not None
    try:
        async with asyncio.timeout(_RUN_S):
            printed = (await child.stdout.read()).decode().strip()
            ended = await child.wait()
    except TimeoutError:
        raise RunFault(f"was not over after {_RUN_S:.0f} s", place=arm.name) from None
    finally:
        await child.stop(5.0)
    if not printed:
        raise RunFault(f"gave no record ({ended}): {last_words(log)}", place=arm.name)
    seconds = asyncio.get_running_loop().time() - began
    after = read_cpu()
    busy = (after[0] - before[0] + after[1] - before[1] - (ended.cpu_s or 0.0)) / (seconds * (os.cpu_count() or 1))
    return await asyncio.to_thread(_read, RunRecord(Path(printed)), arm, min(1.0, max(0.0, busy)))


def _read(record: RunRecord, arm: OverheadArm, others: float) -> Reading:
    failed = [item for item in record.run.collectors if item.state == "failed"]
    if failed:
        raise RunFault(f"collector {failed[0].name}: {failed[0].reason}", place=arm.name)
    outcome = record.run.outcome
    event = next(record.events("meter"), None)
    if event is None:
        message = outcome.message if outcome is not None and outcome.message else "the work was not measured"
        raise RunFault(message, place=arm.name)
    first, main = (_helping(record, each, watched="latency" in arm.collectors) for each in event["helpings"])
    last = event["helpings"][-1]
    return Reading(
        idle_cores=event["idle_cpu_s"] / event["idle_s"],
        small=first,
        large=main,
        work_s=last["work_s"],
        subject_cpu_s=last["subject_cpu_s"],
        subject_idle_cores=event["idle_subject_cpu_s"] / event["idle_s"],
        subject_rss_bytes=event["subject_rss_bytes"],
        harness_peak_bytes=event["harness_peak_bytes"],
        objects=event["objects"],
        others=others,
    )


def _helping(record: RunRecord, said: Mapping[str, float], *, watched: bool) -> Helping:
    counts = (
        [float(record.sql(_EVENTS, [said[moment]])[0][0]) for moment in ("from_ns", "until_ns")] if watched else None
    )
    return Helping(said["seconds"], said["cpu_s"], None if counts is None else counts[1] - counts[0])
