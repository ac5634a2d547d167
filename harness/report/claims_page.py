"""The published cases as one self-contained HTML page: a table of claims, and the curves."""

from __future__ import annotations

from pathlib import Path

from harness.record.claims import Claims, Curve
from harness.report import claims_text, html
from harness.report.figures import PALETTE, Chart, Timeline, label, line, nothing, scale_of
from harness.report.results import clean


def write(claims: Claims, path: Path) -> Path:
    """Write the page. Raises EnvironmentFault where it cannot be written."""
    return html.save(path, lambda: render(claims))


def render(claims: Claims) -> str:
    """The page as text."""
    charts = [chart(curve) for curve in claims.curves]
    rows = [
        {"cells": claims_text.row_of(claim), "arms": claims_text.arms_of(claim), "sentence": clean(claim.sentence),
         "why": clean(f"limit {claim.limit}, payload {claim.payload}: {claim.chosen}")}
        for claim in claims.claims
    ]  # fmt: skip
    tables = [(curve.title, claims_text.curve_rows(curve)) for curve in claims.curves]
    return html.assemble(
        "claims.html.j2", Timeline(0.0, [], []), charts, charts=charts, claims=rows, heads=claims_text.HEADS,
        tables=tables, predictions=[f"Row {item.row}: {clean(item.sentence)}." for item in claims.predictions],
        about=clean(f"{claims.command} · {claims.state} · {claims.machine or ''}"),
    )  # fmt: skip


def chart(curve: Curve) -> Chart:
    """One metric over one quantity, a line for each way."""
    values = [p.value for each in curve.lines for p in each.points if p.value is not None]
    if not values:
        return nothing(f"curve-{curve.id}", curve.title, "No point of it has a value.")
    scale, unit = scale_of(max(values), curve.unit)
    traces = []
    for number, each in enumerate(curve.lines):
        points = sorted(each.points, key=lambda point: point.x)
        drawn = [None if p.value is None else p.value / scale for p in points]
        color = PALETTE[number % len(PALETTE)]
        trace = line(each.name, [p.x for p in points], drawn, color, f"%{{x:,}}: %{{y:.4~g}} {unit}")
        traces.append(trace | {"mode": "lines+markers"})
    layout = {
        "xaxis": {"title": {"text": label(curve.x)}, "rangemode": "tozero"},
        "yaxis": {"ticksuffix": f" {unit}" if unit else "", "rangemode": "tozero"},
        "margin": {"l": 76, "r": 14, "t": 24, "b": 44},
    }
    return Chart(f"curve-{curve.id}", curve.title, curve.metric, traces, layout, height=320, wide=True)
