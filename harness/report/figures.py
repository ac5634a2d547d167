"""How charts look and how they stay safe: Plotly figures as plain data, with colours by name.

A colour such as `--c1` is a custom property of the page's style sheet, put in by the page's script, so that one figure
fits a light and a dark screen. Plotly reads a little HTML in its labels: every text that comes from a run goes through
`label` first.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.core.units import format_value
from harness.record.models import LOAD_ACTIONS
from harness.report.data import Mark, Span
from harness.report.results import clean

Trace = dict[str, Any]
PALETTE = ("--c1", "--c2", "--c3", "--c5", "--c6", "--c7", "--c8")
"""Colours of lines, in order; `--c4`, a grey, is kept for what had no effect."""
_LONGEST_LABEL = 60
_LOG_FROM = 30  # a spread of this factor and more is drawn on a logarithmic axis


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a chart's legend."""

    name: str
    color: str
    form: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart of the page, or, where `traces` is empty, the reason why there is none.

    `timeline` charts share the run's time as x axis: they zoom together and show phases and marks.
    """

    id: str
    title: str
    caption: str = ""
    traces: Sequence[Trace] = ()
    layout: dict[str, Any] = field(default_factory=dict)
    timeline: bool = False
    missing: str = ""
    height: int = 300
    wide: bool = False

    @property
    def legend(self) -> list[Key]:
        """What the lines, dots and bars stand for; names are plain text again."""
        return [_key(trace) for trace in self.traces if "name" in trace]


@dataclass(frozen=True, slots=True)
class Timeline:
    """What all charts over time have in common."""

    end_s: float
    spans: Sequence[Span]
    marks: Sequence[Mark]

    def as_json(self) -> dict[str, Any]:
        """Phases and marks for the page's script, texts made safe for Plotly."""
        return {
            "begin": self.spans[0].start_s if self.spans else 0.0,
            "end": self.end_s,
            "phases": [
                {
                    "x0": span.start_s, "x1": span.end_s, "number": str(number), "name": label(span.name),
                    "load": span.phase is not None and span.phase.action in LOAD_ACTIONS,
                }
                for number, span in enumerate(self.spans, 1)
            ],
            "marks": [{"x": mark.t_s, "text": label(f"{mark.label} {mark.t_s:.1f} s")} for mark in self.marks],
        }  # fmt: skip


def _key(trace: Trace) -> Key:
    name = html.unescape(trace["name"])
    if trace["type"] == "bar":
        return Key(name, trace["marker"]["color"], "block")
    if trace["mode"] == "markers":
        return Key(name, trace["marker"]["color"], "dots")
    return Key(name, trace["line"]["color"], trace["line"]["dash"])


def label(text: object) -> str:
    """Text as Plotly shows it literally: no control characters, at most 60 characters, markup escaped."""
    plain = clean(text)
    if len(plain) > _LONGEST_LABEL:
        plain = plain[: _LONGEST_LABEL - 1] + "…"
    return html.escape(plain, quote=False)


def line(
    name: str, x: Sequence[float], y: Sequence[float | None], color: str, hover: str, *, width: float = 1.6,
    dash: str = "solid", shape: str = "linear", **options: object,
) -> Trace:  # fmt: skip
    """A line; `hover` is how a value reads, in Plotly's template syntax (`%{y:.1f} MiB`). `name` is made safe here."""
    return {
        "type": "scatter", "mode": "lines", "name": label(name), "x": rounded(x), "y": rounded(y),
        "line": {"color": color, "width": width, "dash": dash, "shape": shape}, "hovertemplate": hover,
        "connectgaps": False, **options,
    }  # fmt: skip


def rounded(values: Sequence[float | None]) -> list[float | None]:
    """To six significant digits: what a screen can show, at half the size."""
    return [None if value is None else float(f"{value:.6g}") for value in values]


def byte_scale(peak: float) -> tuple[float, str]:
    """The unit in which values up to `peak` bytes are drawn, and its name."""
    for factor, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if peak >= 4 * factor:
            return float(factor), name
    return 1.0, "B"


def scale_of(peak: float, unit: str) -> tuple[float, str]:
    """The same of values in a unit as records name it; of a count or a share there is nothing to say."""
    return byte_scale(peak) if unit == "B" else (1.0, {"s": "s", "1/s": "/s"}.get(unit, ""))


def nothing(id_: str, title: str, why: str) -> Chart:
    """A chart that cannot be drawn, and why."""
    return Chart(id_, title, missing=why)


def seconds_axis(values: Sequence[float]) -> dict[str, Any]:
    """An axis of durations; logarithmic where the values are far apart."""
    positive = [value for value in values if value > 0]
    if not positive or max(positive) < _LOG_FROM * min(positive):
        return {"tickformat": "~s", "ticksuffix": "s", "hoverformat": ".3s", "rangemode": "tozero"}
    low, high = math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive)))
    steps = (1, 2, 5) if high - low <= 3 else (1,)
    ticks = [step * 10.0**power for power in range(low, high + 1) for step in steps]
    # Plotly would write the ticks between decades without their unit.
    return {
        "type": "log", "tickmode": "array", "tickvals": ticks, "ticktext": [format_value(tick, "seconds") for tick in ticks],
        "hoverformat": ".3s",
    }  # fmt: skip
