"""`harness claims`: measures the published cases, off and on interleaved, and keeps after each run how it stands.

What is interrupted is taken up again by the same command, days later if need be, as long as claims, scenarios and
controllers are the same: pairs that are complete and points of curves that are there are not measured again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal, Protocol

from harness.core.errors import EnvironmentFault, ExitCode, UsageError
from harness.experiment import claims_kept, pairs, preflight, specs
from harness.experiment.gating import Watcher as PairWatcher
from harness.experiment.options import RunOptions
from harness.experiment.pairs import Measuring
from harness.experiment.resume import taken_up
from harness.experiment.specs import Arm
from harness.gate import published
from harness.gate.claims import incomplete, judge
from harness.gate.effects import value_of
from harness.gate.environment import environment
from harness.gate.pairing import ARMS, Pair, Side
from harness.gate.published import CURVES, Case, CurveSpec
from harness.record.claims import Claims, Curve, CurveLine, CurvePoint, Profile
from harness.record.experiments import ExperimentRecord
from harness.record.gate import ArmName
from harness.record.models import Run
from harness.scenario.load import load
from harness.scenario.resolve import resolve
from harness.toolchain import native

SEED = 20261122
HEADLINE_PAIRS, SWITCH_PAIRS = 8, 3
SPARE = 2
"""Pairs measured again where the machine was too busy; other reasons may be the subject's own."""
_SIDES: dict[ArmName, Literal["off", "on"]] = {"baseline": "off", "candidate": "on"}


class Watcher(PairWatcher, Protocol):
    """Shows a person how it goes."""

    def case_started(self, case: Case, number: int, of: int) -> None:
        """The pairs of a case are measured next."""

    def point_started(self, curve: CurveSpec, line: str, x: int) -> None:
        """One run of a curve begins."""


class _TimeOverError(Exception):
    """The time that was given is over; what is not measured yet is for another day."""


def run_claims(
    wanted: Sequence[int], profile: Profile, options: RunOptions, watcher: Watcher, *, fresh: bool,
    budget_s: float = math.inf,
) -> Claims:  # fmt: skip
    """Measure what is missing and judge; after `budget_s` no pair and no point is begun any more.

    Raises UsageError for a row that there is none of.
    """
    until = time.monotonic() + budget_s
    known = published.rows()
    for row in wanted:
        if row not in known:
            raise UsageError(f"there is no row {row}", remedy=f"the rows are {', '.join(map(str, known))}")
    chosen = sorted(set(wanted)) or known
    quick = profile == "quick"
    cases, curves = _planned(chosen, quick=quick)
    options = replace(options, report=False)
    for case in cases:
        _check(case, options, quick=quick)
    document = claims_kept.begin(options, profile, chosen, cases, curves, fresh=fresh)
    facts: list[Run] = []
    try:
        for number, case in enumerate(cases, 1):
            watcher.case_started(case, number, len(cases))
            if _case(case, document, options, watcher, facts, quick=quick, until=until):
                raise KeyboardInterrupt
        for spec in curves:
            _curve(spec, document, options, watcher, until)
        stopped = False
    except (KeyboardInterrupt, _TimeOverError) as error:
        stopped = isinstance(error, KeyboardInterrupt)
    lacking = claims_kept.unmeasured(document, document.rows, *_planned(document.rows, quick=quick))
    document.state = "interrupted" if stopped or lacking else "complete"
    document.ended_at = datetime.now(UTC)
    if facts:
        document.machine = environment(facts, [], on_purpose=True).machine
    told = {claim.row for claim in document.claims}
    complete = not stopped and told >= set(chosen)
    document.exit_code = ExitCode.PASSED if complete else ExitCode.INTERRUPTED
    claims_kept.save(document, options)
    return document


def _planned(rows: list[int], *, quick: bool) -> tuple[list[Case], list[CurveSpec]]:
    """The cases and curves of these rows."""
    curves = [] if quick else [curve for curve in CURVES if curve.row in rows]
    return published.chosen(rows, headlines_only=quick), curves


def _check(case: Case, options: RunOptions, *, quick: bool) -> None:
    """Values and scenario fit together: a mistake in the last case costs no time."""
    file = load(case.scenario)
    for name in ARMS:
        resolved = resolve(file, profile=None, sets=case.sets(_SIDES[name], quick=quick))
        pairs.check_fixed_work(resolved, file.name)
        preflight.check([resolved], options, file.path.parent)


def _case(
    case: Case, document: Claims, options: RunOptions, watcher: Watcher, facts: list[Run], *, quick: bool, until: float
) -> bool:
    """Measure the missing pairs of a case and judge its claims; whether it was interrupted."""
    planned = 1 if quick else HEADLINE_PAIRS if case.headline else SWITCH_PAIRS
    arms = {name: _arm(case, name, quick=quick) for name in ARMS}
    missing = late = None
    measuring = _measuring(case, document, options, arms, planned)
    watcher.plan(measuring.facts.experiment_id, arms, planned, [])
    try:
        _pairs(case, measuring, options, arms, watcher, planned, until)
    except _TimeOverError:
        late = f"{len(measuring.pairs)} of {planned} pair{'s' * (planned > 1)} measured when the time was over"
    except EnvironmentFault as error:
        if case.subject not in native.NAMES:
            raise
        missing = str(error)  # no Go or Rust on this machine: the rows of other subjects can still be told
    except KeyboardInterrupt:
        measuring.interrupted = True
    pairs.end(measuring, ExitCode.INTERRUPTED if measuring.interrupted else ExitCode.PASSED)
    facts += [side.record.run for pair in measuring.pairs for side in pair.sides.values()]
    if not measuring.interrupted:
        experiment_id = measuring.facts.experiment_id
        document.claims = [claim for claim in document.claims if not claim.id.startswith(f"{case.id}/")] + [
            judge(
                case,
                stated,
                measuring.pairs,
                planned=planned,
                quick=quick,
                experiment_id=experiment_id,
                missing=missing,
                late=late,
            )
            for stated in case.stated
        ]
        document.claims.sort(key=lambda claim: claim.row)
    claims_kept.save(document, options)
    return measuring.interrupted


def _pairs(
    case: Case, measuring: Measuring, options: RunOptions, arms: dict[ArmName, Arm], watcher: Watcher, planned: int,
    until: float,
) -> None:  # fmt: skip
    file = load(case.scenario)
    for item in pairs.schedule(SEED + case.row):
        spoiled = sum(pair.spoiled_by_machine for pair in measuring.pairs)
        if len(measuring.pairs) >= planned + min(spoiled, SPARE):
            return
        if item.number <= len(measuring.pairs):
            continue  # measured before an interruption
        started = time.monotonic()
        if started >= until:
            if len(measuring.pairs) >= planned:
                return  # only spoiled ones would be measured again
            raise _TimeOverError
        pair = pairs.measure_pair(measuring, item, file, options, arms, watcher, watcher.pair_started)
        if measuring.interrupted:
            return
        watcher.pair_ended(pair, time.monotonic() - started, _note(pair, case))


def _note(pair: Pair, case: Case) -> str:
    """The first claim's values, off and on."""
    metric = case.stated[0].metric
    lacking = [why for side in pair.sides.values() if (why := incomplete(side, case))]
    found = [value_of(side, metric) for side in (pair.sides.get(name) for name in ARMS) if side is not None]
    return f"{metric} {' -> '.join('–' if value is None else f'{value:.4g}' for value in found)}" + (
        f"; incomplete: {lacking[0]}" if lacking else ""
    )


def _arm(case: Case, name: ArmName, *, quick: bool) -> Arm:
    text = ",".join(f"{key}={value}" for key, value in case.sets(_SIDES[name], quick=quick).items())
    return specs.parse(f"set:{text}", load(case.scenario), side=name, build=None, subject=None)


def _measuring(case: Case, document: Claims, options: RunOptions, arms: dict[ArmName, Arm], planned: int) -> Measuring:
    """The experiment of a case: the one that was begun, without a pair that was cut short, or a new one."""
    known = document.experiments.get(case.id)
    if known is not None and (found := ExperimentRecord.find(known, options.out)) is not None:
        return taken_up(found)
    measuring = pairs.begin(load(case.scenario), options, arms, kind="claims", seed=SEED + case.row, pairs=planned)
    document.experiments[case.id] = measuring.facts.experiment_id
    claims_kept.save(document, options)
    return measuring


def _curve(spec: CurveSpec, document: Claims, options: RunOptions, watcher: Watcher, until: float) -> None:
    """One run for each point that is missing."""
    file = load(spec.scenario)
    curve = next((item for item in document.curves if item.id == spec.id), None)
    if curve is None:
        unit = published.unit_of(spec.metric)
        curve = Curve(id=spec.id, row=spec.row, title=spec.title, x=spec.x, metric=spec.metric, unit=unit,
                      lines=[CurveLine(name=name) for name in spec.lines])  # fmt: skip
        document.curves.append(curve)
    arms = {name: specs.parse("scenario", file, side="candidate", build=None, subject=None) for name in spec.lines}
    measuring: Measuring | None = None
    for line in curve.lines:
        done = {point.x for point in line.points}
        for x in spec.points:
            if x in done:
                continue
            if time.monotonic() >= until:
                if measuring is not None:
                    pairs.end(measuring, ExitCode.PASSED)
                raise _TimeOverError
            if measuring is None:
                measuring = pairs.begin(file, options, arms, kind="claims", seed=SEED, pairs=0)
            watcher.point_started(spec, line.name, x)
            arm = replace(arms[line.name], sets=spec.sets(line.name, x))
            side = pairs.measure_run(measuring, 0, SEED, line.name, file, options, arm, watcher)
            if measuring.interrupted:
                pairs.end(measuring, ExitCode.INTERRUPTED)
                raise KeyboardInterrupt
            line.points.append(_point(spec, x, side))
            claims_kept.save(document, options)
    if measuring is not None:
        pairs.end(measuring, ExitCode.PASSED)


def _point(spec: CurveSpec, x: int, side: Side) -> CurvePoint:
    result = side.results.get(spec.metric)
    value = result.value if result is not None and side.sound else None
    why = None
    if value is None:
        told = result.reason if result is not None and side.sound else None
        why = told or "; ".join(side.verdict.reasons[:2]) or side.verdict.verdict
    peak = side.results.get("memory.cgroup.peak") if value is not None and spec.metric.startswith("memory.") else None
    return CurvePoint(
        x=float(x), value=value, run_id=side.verdict.run_id, reason=why, peak=None if peak is None else peak.value
    )
