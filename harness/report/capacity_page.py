"""Capacity as one self-contained HTML page: memory against the count, and who died under the real limit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.record.capacity import Boundary, Capacity, MemoryFit
from harness.report import capacity_tables, html, series_page
from harness.report.capacity_tables import NAMES, WHATS
from harness.report.figures import Chart, Trace, byte_scale, label, line, nothing, rounded
from harness.report.results import clean

_COLORS = {"growth_peak": "--c1", "growth_settled": "--c2", "cold_peak": "--c3", "cold_settled": "--c5"}
_OUTCOMES = (("survived", "--c2"), ("killed", "--bad"), ("thrashing", "--c5"))
_CURVE = 120
_BEYOND = 1.05


def write(result: Capacity, path: Path) -> Path:
    """Write the page. Raises EnvironmentFault where it cannot be written."""
    return html.save(path, lambda: render(result))


def render(result: Capacity) -> str:
    """The page as text."""
    profile = f" · profile {result.profile}" if result.profile else ""
    trials = sum(len(item.trials) for item in result.boundaries)
    return series_page.render(
        title=f"Capacity of {result.scenario}{profile}",
        about=f"{result.experiment_id} · {len(result.ladder)} runs of the ladder, {trials} under the limit · {result.machine}",
        answer=result.sentence,
        said=[*result.reasons, *capacity_tables.per_object(result), result.gomemlimit.sentence],
        warnings=result.warnings,
        charts=[memory(result), *(kills(item) for item in result.boundaries)],
        tables=[
            capacity_tables.boundaries(result), capacity_tables.needs(result), capacity_tables.fits(result),
            capacity_tables.runs(result), capacity_tables.trials(result),
        ],
    )  # fmt: skip


def memory(result: Capacity) -> Chart:
    """The four memories against the count, with their lines and the limit."""
    title = "Memory against the number of objects"
    runs = [run for run in result.ladder if run.valid and run.size_factor == 1.0]
    if not runs:
        return nothing("memory", title, "No run of the ladder is a measurement.")
    limit = result.boundaries[0].limit_bytes if result.boundaries else result.limit_bytes
    reach = [float(run.count) for run in runs] + [float(t.count) for b in result.boundaries for t in b.trials]
    end = _BEYOND * max([*reach, float(result.count or 0)])
    highest = max([getattr(run, name) or 0.0 for run in runs for name in NAMES] + [float(limit or 0)])
    scale, unit = byte_scale(highest)
    traces: list[Trace] = []
    for fit in result.fits:
        seen = [(run.count, getattr(run, fit.memory)) for run in runs if getattr(run, fit.memory) is not None]
        if not seen:
            continue
        traces.append(_dots(NAMES[fit.memory], seen, _COLORS[fit.memory], scale, unit))
        traces += _line(fit, end, scale)
    if limit:
        traces.append(line("limit", [0.0, end], [limit / scale] * 2, "--bad", f"%{{y:.1f}} {unit}", dash="dash"))
    layout = {
        "hovermode": "closest", "xaxis": {"title": {"text": f"objects ({label(result.kind)})"}, "range": [0, end]},
        "yaxis": {"ticksuffix": f" {unit}", "rangemode": "tozero"}, "margin": {"l": 76, "r": 14, "t": 24, "b": 44},
    }  # fmt: skip
    caption = "Dots are runs with payloads of the scenario's own size; a line is solid where it was measured and dotted beyond."
    return Chart("memory", title, caption, traces, layout, height=420, wide=True)


def _line(fit: MemoryFit, end: float, scale: float) -> Iterator[Trace]:
    """Solid over the measured range; dotted beyond, and only where the points are known to be straight."""
    if fit.base is None or fit.per_object is None or fit.lowest is None or fit.highest is None:
        return
    base, each = fit.base.value, fit.per_object.value
    spans = [(fit.lowest, fit.highest, "solid")]
    if fit.straight == "straight":
        spans.append((fit.highest, end, "dot"))
    for low, high, dash in spans:
        made = line(
            "", [low, high], [(base + each * x) / scale for x in (low, high)], _COLORS[fit.memory], "", dash=dash
        )
        del made["name"], made["hovertemplate"]
        yield made | {"hoverinfo": "skip"}


def kills(boundary: Boundary) -> Chart:
    """Each run under the real limit, and the probability that one dies."""
    what = WHATS[boundary.what]
    id_, title = f"kills-{boundary.what}", f"Killed under {capacity_tables.size(boundary.limit_bytes)}: {what}"
    if not boundary.trials:
        return nothing(id_, title, f"Nothing was tried: {clean(boundary.reason or boundary.refused or 'no runs')}.")
    traces: list[Trace] = []
    for outcome, color in _OUTCOMES:
        seen = [(t.count, float(outcome != "survived")) for t in boundary.trials if t.outcome == outcome]
        if seen:
            traces.append(_dots(outcome, seen, color, 1.0, ""))
    counts = [float(t.count) for t in boundary.trials]
    marks = [m.value for m in (boundary.half, boundary.kept, boundary.predicted) if m is not None]
    low, high = min([*counts, *marks]) * 0.95, max([*counts, *marks]) * 1.05
    if boundary.half is not None and boundary.width:
        xs = [low + (high - low) * i / _CURVE for i in range(_CURVE + 1)]
        traces.append(
            line("probability of a kill", xs, _logistic(xs, boundary.half.value, boundary.width), "--c1", "%{y:.2f}")
        )
    for name, mark, color in (("half die", boundary.half, "--c1"), ("1 % die", boundary.kept, "--c3"),
                              ("predicted", boundary.predicted, "--fg")):  # fmt: skip
        if mark is not None:
            traces.append(line(name, [mark.value] * 2, [0.0, 1.0], color, "%{x:,.0f}", dash="dash"))
    layout: dict[str, Any] = {
        "hovermode": "closest", "xaxis": {"title": {"text": "objects"}, "range": [low, high]},
        "yaxis": {"range": [-0.06, 1.06], "tickvals": [0, 0.5, 1]}, "margin": {"l": 50, "r": 14, "t": 24, "b": 44},
    }  # fmt: skip
    caption = "A dot is a run: below it survived, above it was killed or hung at the limit."
    return Chart(id_, title, caption, traces, layout, height=320, wide=True)


def _logistic(xs: Sequence[float], middle: float, width: float) -> list[float | None]:
    return [1 / (1 + math.exp(-max(-50.0, min(50.0, (x / middle - 1) / width)))) for x in xs]


def _dots(name: str, seen: Sequence[tuple[float, float]], color: str, scale: float, unit: str) -> Trace:
    return {
        "type": "scatter", "mode": "markers", "name": label(name), "x": [x for x, _ in seen],
        "y": rounded([y / scale for _, y in seen]), "marker": {"color": color, "size": 8},
        "hovertemplate": f"%{{x:,}} objects<br>%{{y:.1f}} {unit}<extra></extra>",
    }  # fmt: skip
