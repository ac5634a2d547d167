"""From the runs of `harness capacity` to its answers: fits, the boundary, what a count needs, and a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from harness.analysis import capacity_words, killrate, regression
from harness.analysis.regression import Estimate, Fit, Observation
from harness.core.units import format_value
from harness.record.capacity import Boundary, Capacity, GoLimit, Interval, LadderRun, MemoryFit, Need, Trial

What = Literal["growth", "cold"]
WHATS: tuple[What, ...] = ("growth", "cold")
_MIB = 2**20
_SAFE = 0.98
"""Two-sided confidence of the bound of what a count needs: 1 of 100 runs is above it."""
_GO_MARGIN = 0.05
"""Share of the limit that GOMEMLIMIT leaves free beside what it does not know of: the collector overshoots a little."""
_Memory = Literal["growth_peak", "growth_settled", "cold_peak", "cold_settled"]
MEMORIES: tuple[_Memory, ...] = ("growth_peak", "growth_settled", "cold_peak", "cold_settled")


@dataclass(slots=True)
class Measured:
    """What there is, and what was asked."""

    experiment_id: str
    scenario: str
    profile: str | None
    parameter: str
    kind: str
    started_at: datetime
    limit: int | None
    count: int | None
    loose_limit: int
    machine: str = ""
    go: bool = False
    trial_limit: int | None = None
    """The real limit of the trials: that asked for, else what the count needs."""
    ladder: list[LadderRun] = field(default_factory=list)
    trials: dict[What, list[Trial]] = field(default_factory=lambda: {"growth": [], "cold": []})
    untried: dict[What, str] = field(default_factory=dict)
    """Why there are no trials."""
    interrupted: bool = False


def as_trials(trials: Sequence[Trial]) -> list[killrate.Trial]:
    """Those that say something. One that thrashes does no work any more: it has died, too."""
    return [killrate.Trial(t.count, t.outcome != "survived") for t in trials if t.outcome != "invalid"]


def fit_of(ladder: Sequence[LadderRun], memory: _Memory) -> Fit | str:
    """The line of one of the four memories; a sentence where there is none."""
    runs = [run for run in ladder if run.valid and getattr(run, memory) is not None]
    own = [run.bytes_per_object or 0.0 for run in runs if run.size_factor == 1.0]
    if not own:
        return "no run measured it"
    observations = [
        Observation(run.count, run.count * (run.bytes_per_object or 0.0), getattr(run, memory)) for run in runs
    ]
    return regression.fit(observations, sum(own) / len(own))


def conclude(measured: Measured, ended_at: datetime) -> Capacity:
    """All answers that the runs allow."""
    fits = {memory: fit_of(measured.ladder, memory) for memory in MEMORIES}
    settled = fits["growth_settled"]
    size = settled.size if isinstance(settled, Fit) else None
    per_object = settled.each() if isinstance(settled, Fit) else None
    per_byte = settled.per_byte() if isinstance(settled, Fit) else None
    boundaries = [b for what in WHATS if (b := _boundary(measured, what, fits[peak_of(what)])) is not None]
    needs = [] if measured.count is None else [need(what, measured.count, fits[peak_of(what)]) for what in WHATS]
    result = Capacity(
        experiment_id=measured.experiment_id, scenario=measured.scenario, profile=measured.profile,
        parameter=measured.parameter, kind=measured.kind, started_at=measured.started_at, ended_at=ended_at,
        machine=measured.machine, limit_bytes=measured.limit, count=measured.count, loose_limit_bytes=measured.loose_limit,
        ladder=measured.ladder, fits=[_facts(memory, found, measured.ladder) for memory, found in fits.items()],
        bytes_per_object=size, per_object=_interval(per_object),
        amplification=_interval(per_object, size) if size else None, payload_amplification=_interval(per_byte),
        boundaries=boundaries, needs=needs, gomemlimit=_gomemlimit(measured, boundaries, needs), sentence="",
        interrupted=measured.interrupted, exit_code=0,
    )  # fmt: skip
    result.sentence = capacity_words.sentence(result)
    capacity_words.judge(result)
    return result


def need(what: What, count: int, found: Fit | str) -> Need:
    """What limit a count needs, by the fit of its peak."""
    why = found if isinstance(found, str) else found.refusal(count)
    if why is not None or isinstance(found, str):
        return Need(what=what, count=count, refused=why)
    bound = found.predict(count, confidence=_SAFE).high
    return Need(
        what=what, count=count, peak=_interval(found.predict(count)), limit_bytes=math.ceil(bound / _MIB) * _MIB
    )


def predicted(found: Fit | str, limit: float) -> Estimate | str:
    """The count at which the fitted peak reaches a limit; a sentence where that cannot be said."""
    if isinstance(found, str):
        return found
    at = found.count_at(limit)
    if at is None:
        return f"by the fit memory does not rise to {format_value(limit, 'bytes')}"
    return found.refusal(at.value) or at


def noise_of(found: Fit | str, limit: float) -> float | None:
    """How much the count at which a run dies varies by the scatter of the peaks, as a share of it."""
    at = None if isinstance(found, str) else found.count_at(limit)
    if at is None or isinstance(found, str) or at.value <= 0 or found.residual_sd == 0:
        return None
    return max(found.residual_sd / found.each().value / at.value, 0.002)


def guess(ladder: Sequence[LadderRun], found: Fit | str, memory: _Memory, limit: float) -> float | None:
    """Where to begin to look for the boundary: by the line, also where it is not to be trusted; None where it never rises."""
    if not isinstance(found, str):
        at = found.count_at(limit)
        return None if at is None else at.value
    runs = sorted((run.count, getattr(run, memory)) for run in ladder if run.valid and getattr(run, memory))
    idle = next((run.idle for run in ladder if run.idle), None)
    if not runs or idle is None or runs[-1][1] <= idle or limit <= idle:
        return None
    return float(runs[-1][0] * (limit - idle) / (runs[-1][1] - idle))


def peak_of(what: What) -> _Memory:
    """The memory that the limit meets."""
    return "growth_peak" if what == "growth" else "cold_peak"


def _boundary(measured: Measured, what: What, found: Fit | str) -> Boundary | None:
    limit = measured.trial_limit or measured.limit
    if limit is None:
        return None
    trials = measured.trials[what]
    said = predicted(found, limit)
    outcomes = [trial.outcome for trial in trials]
    made = Boundary(
        what=what, limit_bytes=limit, predicted=None if isinstance(said, str) else _interval(said),
        refused=said if isinstance(said, str) else None, trials=trials, survived=outcomes.count("survived"),
        killed=outcomes.count("killed"), thrashing=outcomes.count("thrashing"), invalid=outcomes.count("invalid"),
    )  # fmt: skip
    rate = killrate.fit(as_trials(trials), noise_of(found, limit))
    if isinstance(rate, str):
        made.reason = measured.untried.get(what, rate)
        return made
    made.half, made.kept = _interval(rate.middle), _interval(rate.rare)
    made.width, made.overlap = rate.width, rate.overlap
    if not isinstance(said, str):
        made.error = (said.value - rate.middle.value) / rate.middle.value
        made.within_goal = abs(made.error) <= capacity_words.GOAL
    return made


def _facts(memory: _Memory, found: Fit | str, ladder: Sequence[LadderRun]) -> MemoryFit:
    runs = sum(run.valid and getattr(run, memory) is not None for run in ladder)
    if isinstance(found, str):
        return MemoryFit(memory=memory, runs=runs, sentence=found)
    straight = found.straightness
    return MemoryFit(
        memory=memory, runs=runs, base=_interval(found.base()), per_object=_interval(found.each()),
        per_byte=_interval(found.per_byte()), noise=found.residual_sd, lowest=found.lowest, highest=found.highest,
        straight=straight.shape, bend=_interval(straight.bend), p=straight.p, sentence=straight.sentence,
    )  # fmt: skip


def _gomemlimit(measured: Measured, boundaries: Sequence[Boundary], needs: Sequence[Need]) -> GoLimit:
    """Under the limit that was asked about, else under the larger of those to give."""
    limit = measured.limit or max((n.limit_bytes for n in needs if n.limit_bytes is not None), default=None)
    if not measured.go:
        return GoLimit(value=None, limit_bytes=limit, sentence="the subject is no Go program")
    # Below 0 where the runtime has asked the system for more than it has touched.
    outside = max([0.0, *(run.outside_go or 0.0 for run in measured.ladder if run.valid)])
    if limit is None or not any(run.outside_go is not None for run in measured.ladder):
        why = "there is no limit" if limit is None else "its metrics have no go_memstats_sys_bytes"
        return GoLimit(value=None, limit_bytes=limit, sentence=f"GOMEMLIMIT cannot be told: {why}")
    value = math.floor((limit * (1 - _GO_MARGIN) - outside) / _MIB) * _MIB
    if value <= 0:
        words = f"{format_value(outside, 'bytes')} are charged beside Go's runtime: no GOMEMLIMIT fits under the limit"
        return GoLimit(value=None, limit_bytes=limit, sentence=words)
    beside = f"up to {format_value(outside, 'bytes')} are" if outside else "nothing was"
    words = (
        f"GOMEMLIMIT={value // _MIB}MiB under {format_value(limit, 'bytes')}: {beside} charged beside what Go's runtime holds, "
        f"and {_GO_MARGIN:.0%} are left free"
    )
    live = _live_at(measured, boundaries)
    if live is not None and live > value:
        words += f"; but {format_value(live, 'bytes')} are live at the 50 % point: the collector would never rest"
    return GoLimit(value=value, limit_bytes=limit, sentence=words)


def _live_at(measured: Measured, boundaries: Sequence[Boundary]) -> float | None:
    """The live heap at the boundary, or at the count asked about, along the line through the settled live heaps."""
    half = next((b.half or b.predicted for b in boundaries if b.what == "growth"), None)
    count = measured.count if measured.count is not None else half.value if half else None
    runs = [r for r in measured.ladder if r.valid and r.go_live is not None and r.size_factor == 1.0]
    found = regression.fit([Observation(r.count, 0.0, r.go_live or 0.0) for r in runs], 0.0)
    return None if count is None or isinstance(found, str) else found.predict(count).value


def _interval(estimate: Estimate | None, over: float = 1.0) -> Interval | None:
    if estimate is None:
        return None
    ends = (estimate.low / over, estimate.high / over)
    return Interval(
        value=estimate.value / over, low=ends[0] if math.isfinite(ends[0]) else None,
        high=ends[1] if math.isfinite(ends[1]) else None,
    )  # fmt: skip
