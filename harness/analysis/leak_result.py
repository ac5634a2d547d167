"""The result of a run of cycles: what does not come back, of which sort it is, which code is to blame. From the record alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from harness.analysis.facts import Facts
from harness.analysis.leak import Judged, judge
from harness.analysis.leak_points import (
    QUANTITIES,
    Quantity,
    grown,
    judged_points,
    objects_of,
    trimmed,
    values,
)
from harness.analysis.leak_sites import sites
from harness.core.errors import ExitCode
from harness.core.units import format_value
from harness.record.leak import Leak, LeakFinding, LeakSeries, LeakVerdict, Trim
from harness.record.models import Verdict
from harness.record.reader import RunRecord

DECIDING = ("heap", "tasks", "threads", "fds", "series")
"""What may not grow, whatever else does. Without a heap reading anonymous memory takes its place."""
_EXPLAINS = 0.5
"""Share of a growth that a cause must account for to be named as it."""
_EXITS: Mapping[LeakVerdict, ExitCode] = {
    "clear": ExitCode.PASSED,
    "leak": ExitCode.FAILED,
    "inconclusive": ExitCode.INVALID,
    "invalid": ExitCode.INVALID,
    "interrupted": ExitCode.INTERRUPTED,
}


def result(
    record: RunRecord,
    verdict: Verdict,
    *,
    bounds: Mapping[str, float] | None = None,
    warm_up: int | None = None,
    notes: Sequence[str] = (),
) -> Leak:
    """Judge a run. `bounds` replace those of QUANTITIES: bytes for each object, numbers for each cycle."""
    facts = Facts(record)
    points = judged_points(facts)
    cycles = max(0, len(points) - 1)
    objects = objects_of(facts, points)
    skipped = min(max(2, cycles // 4) if warm_up is None else warm_up, cycles)
    series = [_series(facts, each, points, objects, skipped, (bounds or {}).get(each.name)) for each in QUANTITIES]
    series = _deciding(series)
    trim = trimmed(facts, points)
    findings = list(_findings(series, trim, skipped))
    named, why = sites(facts, skipped)
    reasons = [*_reasons(facts, verdict)]
    decided = _verdict(verdict, findings, series, cycles, reasons)
    code = _EXITS.get(decided, ExitCode(verdict.exit_code) if verdict.exit_code else ExitCode.INVALID)
    return Leak(
        run_id=record.run.run_id,
        scenario=record.run.scenario.name,
        verdict=decided,
        exit_code=int(code),
        headline=_headline(decided, findings, series, cycles, objects, reasons),
        cycles=cycles,
        objects=objects,
        warm_up=skipped,
        findings=findings,
        series=series,
        sites=named,
        sites_reason=why,
        trim=trim,
        reasons=reasons,
        notes=list(notes),
    )


def _series(
    facts: Facts, quantity: Quantity, points: Sequence[object], objects: int, warm_up: int, bound: float | None
) -> LeakSeries:
    at = [point for point in judged_points(facts) if point in points]
    found = values(facts, quantity, at)
    each = quantity.bound if bound is None else bound
    limit = each * max(1, objects) if quantity.unit == "B" else each
    judged = judge(found, limit, warm_up)
    told = [value for value in found if value is not None]
    per_object = judged.whole.slope / objects if judged.whole is not None and objects else None
    noise = judged.threshold
    return LeakSeries(
        name=quantity.name,
        title=quantity.title,
        unit=quantity.unit,
        decides=False,
        points=found,
        behaviour=judged.behaviour,
        sentence=_sentence(quantity, judged, limit, objects),
        bound=limit,
        slope=None if judged.whole is None else judged.whole.slope,
        low=None if judged.whole is None else _finite(judged.whole.low),
        high=None if judged.whole is None else _finite(judged.whole.high),
        per_object=per_object,
        p=None if judged.whole is None else judged.whole.p,
        threshold=None if noise is None else limit + noise,
        rose=told[-1] - told[0] if len(told) > 1 else None,
        names=grown(facts, quantity, at, warm_up) if judged.behaviour in ("grows", "unclear") else {},
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _deciding(series: Sequence[LeakSeries]) -> list[LeakSeries]:
    heap_known = any(each.name == "heap" and each.behaviour != "unknown" for each in series)
    names = DECIDING if heap_known else ("anon", *DECIDING)
    return [each.model_copy(update={"decides": each.name in names and each.behaviour != "unknown"}) for each in series]


def _sentence(quantity: Quantity, judged: Judged, limit: float, objects: int) -> str:
    """What became of one quantity, in words."""
    if judged.whole is None:
        return judged.why
    whole = judged.whole
    if judged.behaviour == "steady":
        below = f"certainly below {_text(quantity.unit, limit)} per cycle"
        return f"comes back: {_rate(quantity.unit, whole.slope, objects)}, {below}"
    if judged.behaviour == "filled":
        return "rose, and has stopped: in the last half it certainly grows by less than " + _text(quantity.unit, limit)
    reach = "" if not math.isfinite(whole.low) else f", at least {_text(quantity.unit, whole.low)}"
    if judged.behaviour == "grows":
        return f"grows by {_rate(quantity.unit, whole.slope, objects)}{reach}"
    return (
        f"{judged.why}: {_rate(quantity.unit, whole.slope, objects)}; more cycles, or more objects in each, would tell"
    )


def _rate(unit: str, slope: float, objects: int) -> str:
    per_object = f" ({_text(unit, slope / objects)} for each of {objects:,} objects)" if objects else ""
    return f"{_text(unit, slope)} per cycle{per_object}"


def _text(unit: str, value: float) -> str:
    return format_value(value, "bytes") if unit == "B" else f"{value:.3g}"


def _findings(series: Sequence[LeakSeries], trim: Trim | None, warm_up: int) -> Iterator[LeakFinding]:
    by_name = {each.name: each for each in series}
    for each in series:
        if each.decides and each.behaviour == "grows":
            names = ", ".join(f"{name} +{rise:,.0f}" for name, rise in each.names.items())
            yield LeakFinding(
                sort="leak",
                series=each.name,
                sentence=f"{each.title} {each.sentence}" + (f": {names}" if names else ""),
            )
        elif each.decides and each.behaviour == "filled":
            yield LeakFinding(
                sort="cache", series=each.name, sentence=f"{each.title} {each.sentence}: a cache that found its size"
            )
        elif each.decides and each.behaviour == "unclear":
            yield LeakFinding(sort="unclear", series=each.name, sentence=f"{each.title}: {each.sentence}")
    heap, anon = by_name["heap"], by_name["anon"]
    if not anon.decides and anon.behaviour == "grows" and heap.behaviour in ("steady", "filled"):
        yield _beside_heap(anon, by_name["free"], trim, warm_up)
    cgroup = by_name["cgroup"]
    if cgroup.behaviour == "grows" and anon.behaviour != "grows":
        yield _of_cgroup(cgroup, by_name["file"])


def _rise(series: LeakSeries, warm_up: int) -> float:
    """From after the warm-up to the last point."""
    told = [value for value in series.points[1 + warm_up :] if value is not None]
    return told[-1] - told[0] if len(told) > 1 else 0.0


def _beside_heap(anon: LeakSeries, free: LeakSeries, trim: Trim | None, warm_up: int) -> LeakFinding:
    """Anonymous memory grows and the live heap does not: holes between live objects, or memory that no heap knows of."""
    rise = _rise(anon, warm_up)
    given = (
        None if trim is None or trim.rss_before is None or trim.rss_after is None else trim.rss_before - trim.rss_after
    )
    back = "" if given is None else f"; malloc_trim gave {format_value(max(0.0, given), 'bytes')} of it back"
    held = _rise(free, warm_up)
    if max(held, given or 0.0) >= _EXPLAINS * rise:
        sentence = (
            f"{anon.title} {anon.sentence}, the live heap does not: {format_value(held, 'bytes')} of the rise are free memory "
            f"that the allocators hold{back}"
        )
        return LeakFinding(sort="fragmentation", series="anon", sentence=sentence)
    sentence = (
        f"{anon.title} {anon.sentence}, but neither the live heap nor the allocators' free memory does{back}: "
        "it was mapped beside them"
    )
    return LeakFinding(sort="outside_heap", series="anon", sentence=sentence)


def _of_cgroup(cgroup: LeakSeries, file: LeakSeries) -> LeakFinding:
    if file.behaviour == "grows" and (file.slope or 0.0) >= _EXPLAINS * (cgroup.slope or 0.0):
        sentence = f"{cgroup.title} {cgroup.sentence}: it is page cache, which the kernel takes back before it kills"
        return LeakFinding(sort="page_cache", series="cgroup", sentence=sentence)
    sentence = f"{cgroup.title} {cgroup.sentence}, and neither anonymous memory nor page cache does: kernel memory"
    return LeakFinding(sort="kernel", series="cgroup", sentence=sentence)


def _reasons(facts: Facts, verdict: Verdict) -> Iterator[str]:
    yield from verdict.reasons
    if facts.cut_short:
        yield facts.cut_short
    restless = [p.name for p in facts.run.phases if p.action == "settle" and p.settled is False]
    if restless:
        yield f"not at rest when it was measured: {', '.join(restless[:3])}"
    if facts.restarts:
        yield "the subject was started again: what it held before is gone"


def _verdict(
    verdict: Verdict, findings: Sequence[LeakFinding], series: Sequence[LeakSeries], cycles: int, reasons: list[str]
) -> LeakVerdict:
    if verdict.verdict in ("interrupted", "error"):
        return "interrupted" if verdict.verdict == "interrupted" else "error"
    leaks = any(each.sort in ("leak", "outside_heap") for each in findings)
    if verdict.verdict == "failed":  # killed or crashed half-way: a leak that was seen by then is one
        return "leak" if leaks else "invalid"
    if verdict.verdict == "invalid":
        return "invalid"
    if leaks:
        return "leak"
    if not any(each.decides and each.name in ("heap", "anon") for each in series):
        reasons.append("no memory of the subject was measured" if cycles else "no cycle was completed")
        return "invalid"
    return "inconclusive" if any(each.sort == "unclear" for each in findings) else "clear"


def _headline(
    verdict: LeakVerdict,
    findings: Sequence[LeakFinding],
    series: Sequence[LeakSeries],
    cycles: int,
    objects: int,
    reasons: Sequence[str],
) -> str:
    over = f"over {cycles} cycles of {objects:,} objects"
    if verdict in ("leak", "inconclusive"):
        wanted = ("leak", "outside_heap") if verdict == "leak" else ("unclear",)
        first = next((each.sentence for each in findings if each.sort in wanted), "")
        return f"{first}, {over}"
    if verdict == "clear":
        heap = next(
            each
            for each in series
            if each.name == ("heap" if any(s.name == "heap" and s.decides for s in series) else "anon")
        )
        found = "" if heap.threshold is None or not objects else (
            f"; a leak of {format_value(heap.threshold / objects, 'bytes')} for each object would have been found"
        )  # fmt: skip
        return f"everything comes back {over}{found}"
    return reasons[0] if reasons else f"the run was {verdict}"
