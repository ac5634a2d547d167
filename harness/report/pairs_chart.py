"""The chart of one primary metric of a gate: the effect of each pair, their mean with its interval, and the threshold's band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.record.gate import ArmName, Gate, PairValue, Primary
from harness.report.figures import Chart, Trace, byte_scale, label, nothing, rounded
from harness.report.gate_terminal import effect_text, interval_text
from harness.report.results import clean, value_text

_ORDERS = {"baseline": ("baseline first", "--c1"), "candidate": ("candidate first", "--c2")}
_BAND_OPACITY = 0.13
_SLOW = 0.5
"""Seconds from which effects are drawn in s, below in ms."""


def charts(gate: Gate) -> list[Chart]:
    """One for each primary metric, in their order."""
    first = {pair.pair: pair.order[0] for pair in gate.pairs if pair.order}
    return [_chart(f"pairs-{number}", line, first) for number, line in enumerate(gate.primary, 1)]


def _chart(id_: str, line: Primary, first: Mapping[int, ArmName]) -> Chart:
    title = clean(line.metric)
    both = [row for row in line.values if row.baseline is not None and row.candidate is not None]
    if line.effect is None or not both:
        return nothing(id_, title, line.reason or "The runs are not pairs, so there are no paired differences to draw.")
    effects = [_effect(line, row) for row in both]
    scale, unit = _unit(line, effects)
    traces = [
        _pairs(name, color, [(at, effects[at], both[at]) for at in range(len(both)) if _order(first, both[at]) == arm], line,
               scale, unit)
        for arm, (name, color) in _ORDERS.items()
    ]  # fmt: skip
    traces = [trace for trace in traces if trace["x"]]
    traces.append(_mean(line, len(both), scale, unit))
    worse = line.threshold if line.direction == "lower" else -line.threshold
    way = "above" if worse > 0 else "below"
    caption = (
        f"{clean(line.sentence)}. A dot is a pair: candidate against baseline. The band is the threshold of "
        f"{clean(line.threshold_text)} either way; {way} it the candidate is worse by too much. "
        f"At the right the mean with its interval ({_confidence(line)}): {effect_text(line, line.effect)}, {interval_text(line)}."
    )
    return Chart(id_, title, caption, traces, _layout(line, both, scale, unit), height=360, wide=True)


def _effect(line: Primary, row: PairValue) -> float:
    """As people state it: a share of the pair's baseline, or the difference."""
    assert row.baseline is not None
    assert row.candidate is not None
    return row.candidate / row.baseline - 1 if line.scale == "relative" else row.candidate - row.baseline


def _order(first: Mapping[int, ArmName], row: PairValue) -> ArmName:
    return first.get(row.pair, "baseline")


def _unit(line: Primary, effects: Sequence[float]) -> tuple[float, str]:
    """By what effects are divided to be drawn, and the unit that they then have."""
    if line.scale == "relative":
        return 0.01, "%"
    largest = max(abs(value) for value in [*effects, line.threshold])
    if line.unit == "B":
        return byte_scale(largest)
    if line.unit == "s":
        return (1.0, "s") if largest >= _SLOW else (1e-3, "ms")
    return 1.0, ""


def _pairs(
    name: str, color: str, dots: Sequence[tuple[int, float, PairValue]], line: Primary, scale: float, unit: str
) -> Trace:
    texts = [
        label(f"pair {row.pair}: {value_text(row.baseline, line.unit)} -> {value_text(row.candidate, line.unit)}")
        for _, _, row in dots
    ]
    return {
        "type": "scatter", "mode": "markers", "name": name, "x": [at + 1 for at, _, _ in dots],
        "y": rounded([value / scale for _, value, _ in dots]), "text": texts, "marker": {"color": color, "size": 9},
        "hovertemplate": f"%{{y:+.4~g}} {unit}<br>%{{text}}<extra></extra>",
    }  # fmt: skip


def _mean(line: Primary, pairs: int, scale: float, unit: str) -> Trace:
    assert line.effect is not None
    trace: Trace = {
        "type": "scatter", "mode": "markers", "name": "mean with its interval", "x": [pairs + 1.5],
        "y": rounded([line.effect / scale]), "text": [label(interval_text(line))],
        "marker": {"color": "--fg", "size": 11, "symbol": "diamond"},
        "hovertemplate": f"mean %{{y:+.4~g}} {unit}<br>%{{text}}<extra></extra>",
    }  # fmt: skip
    if line.low is not None and line.high is not None:
        trace["error_y"] = {
            "type": "data", "symmetric": False, "array": rounded([(line.high - line.effect) / scale]),
            "arrayminus": rounded([(line.effect - line.low) / scale]), "color": "--fg", "thickness": 2.5, "width": 9,
        }  # fmt: skip
    return trace


def _layout(line: Primary, both: Sequence[PairValue], scale: float, unit: str) -> dict[str, Any]:
    border = line.threshold / scale
    shapes: list[dict[str, Any]] = [
        {
            "type": "rect", "layer": "below", "xref": "paper", "yref": "y", "x0": 0, "x1": 1, "y0": -border, "y1": border,
            "fillcolor": "--ok", "opacity": _BAND_OPACITY, "line": {"width": 0},
        },
        _line(0.0, "--c4", "solid"), _line(border if line.direction == "lower" else -border, "--bad", "dash"),
        {
            "type": "line", "xref": "x", "yref": "paper", "x0": len(both) + 0.75, "x1": len(both) + 0.75, "y0": 0, "y1": 1,
            "line": {"color": "--line", "width": 1},
        },
    ]  # fmt: skip
    if line.low is not None and line.high is not None:
        shapes.insert(1, {
            "type": "rect", "layer": "below", "xref": "paper", "yref": "y", "x0": 0, "x1": 1, "y0": line.low / scale,
            "y1": line.high / scale, "fillcolor": "--c1", "opacity": _BAND_OPACITY, "line": {"width": 0},
        })  # fmt: skip
    ticks = [*range(1, len(both) + 1), len(both) + 1.5]
    drawn = [0.0, border, -border, *(_effect(line, row) / scale for row in both)]
    drawn += [end / scale for end in (line.low, line.high) if end is not None]
    reach = 0.08 * (max(drawn) - min(drawn))
    return {
        "hovermode": "closest", "shapes": shapes,
        "xaxis": {
            "title": {"text": "pair"}, "tickmode": "array", "tickvals": ticks, "range": [0.4, len(both) + 2.1],
            "ticktext": [*(str(row.pair) for row in both), "mean"],
        },
        "yaxis": {"ticksuffix": f" {unit}" if unit else "", "range": rounded([min(drawn) - reach, max(drawn) + reach])},
        "margin": {"l": 84, "r": 14, "t": 14, "b": 44},
    }  # fmt: skip


def _line(y: float, color: str, dash: str) -> dict[str, Any]:
    return {
        "type": "line", "xref": "paper", "yref": "y", "x0": 0, "x1": 1, "y0": y, "y1": y,
        "line": {"color": color, "width": 1.5, "dash": dash},
    }  # fmt: skip


def _confidence(line: Primary) -> str:
    return "no interval" if line.confidence is None else f"{line.confidence * 100:.3g} %"
