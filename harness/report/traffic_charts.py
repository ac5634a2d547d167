"""Charts of what went over the wire: the load's requests, how changes spread, what the subject wrote."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from harness.record.reader import RunRecord
from harness.report import traffic
from harness.report.charts import why_missing
from harness.report.figures import PALETTE, Chart, Trace, label, line, nothing, rounded, seconds_axis

_LEAST_S = 1e-6  # a logarithmic axis cannot show zero
_RESOURCES = 15


def rate(record: RunRecord) -> Chart:
    """Successes per second against the rate asked for."""
    title = "Request rate"
    points = traffic.request_rates(record)
    if not points:
        return nothing("rate", title, _no_requests(record))
    by_phase: dict[str, list[traffic.RatePoint]] = defaultdict(list)
    for point in points:
        by_phase[point.phase].append(point)
    traces: list[Trace] = []
    for i, (phase, found) in enumerate(by_phase.items()):
        color, x = PALETTE[i % len(PALETTE)], [point.t_s for point in found]
        traces.append(line(phase, x, [p.per_s - p.failed_per_s for p in found], color, "%{y:,.4~g}/s", shape="hvh"))
        facts = record.run.phase(phase)
        if facts is not None and facts.requested_per_s and facts.ended_ns:
            ends = [facts.started_ns / 1e9, facts.ended_ns / 1e9]
            asked = [facts.requested_per_s] * 2
            traces.append(line(f"{phase}, asked for", ends, asked, color, "%{y:,.4~g}/s", dash="dot", width=2))
    failed = [p for p in points if p.failed_per_s]
    if failed:
        x, y = [p.t_s for p in failed], [p.failed_per_s for p in failed]
        traces.append(
            line("failed attempts", x, y, "--bad", "%{y:,.4~g}/s") | {"mode": "markers", "marker": {"color": "--bad"}}
        )
    width = traffic.bin_width_s(record)
    caption = f"Successes per second, counted over {width:g} s. Dotted: the rate asked for; without one, full speed."
    return Chart(
        "rate",
        title,
        caption,
        traces,
        {"yaxis": {"rangemode": "tozero", "ticksuffix": "/s"}},
        timeline=True,
        height=320,
    )


def latency(record: RunRecord) -> Chart:
    """p50 and p99 of the load's requests over time."""
    title = "Request latency"
    points = traffic.request_latencies(record)
    if not points:
        why = "No request of the load succeeded." if traffic.request_percentiles(record) else _no_requests(record)
        return nothing("request-latency", title, why)
    by_phase: dict[str, list[traffic.LatencyPoint]] = defaultdict(list)
    for point in points:
        by_phase[point.phase].append(point)
    traces: list[Trace] = []
    for i, (phase, found) in enumerate(by_phase.items()):
        color, x = PALETTE[i % len(PALETTE)], [point.t_s for point in found]
        mode: Trace = {"mode": "lines+markers", "marker": {"size": 4}} if len(found) < 30 else {}
        traces.append(line(f"{phase} p99", x, [p.p99 for p in found], color, "%{y:.3s}s", **mode))
        traces.append(line(f"{phase} p50", x, [p.p50 for p in found], color, "%{y:.3s}s", dash="dot", **mode))
    width = traffic.bin_width_s(record)
    caption = (
        f"Of successful requests, from the time each was intended to be sent to its answer, by {width:g} s of intended "
        "time; so a server that makes requests wait is not hidden."
    )
    axis = {"yaxis": seconds_axis([q for p in points for q in (p.p50, p.p99)])}
    return Chart("request-latency", title, caption, traces, axis, timeline=True, height=320)


def distribution(record: RunRecord) -> Chart:
    """For each probe, the share of effects that had come after a time."""
    title = "How long a change takes"
    percentiles = traffic.propagation_percentiles(record)
    if not percentiles:
        return nothing("distribution", title, _no_propagation(record))
    curves = traffic.propagation_curves(record)
    traces: list[Trace] = []
    for i, probe in enumerate(percentiles):
        (name,) = probe.group
        curve = curves.get(name, [])
        curve = [(t, 0.0) for t, _ in curve[:1]] + curve
        missing = f", {probe.missing:,} never came" if probe.missing else ""
        x, y = [max(t, _LEAST_S) for t, _ in curve], [100 * share for _, share in curve]
        traces.append(
            line(
                f"{name}: {probe.count:,} effects{missing}",
                x,
                y,
                PALETTE[i % len(PALETTE)],
                "%{y:.1f}%",
                shape="hv",
                width=2,
            )
        )
    latencies = [t for curve in curves.values() for t, _ in curve]
    layout = {
        "xaxis": seconds_axis(latencies),
        "yaxis": {"range": [0, 103], "ticksuffix": "%"},
    }
    lost = sum(probe.missing for probe in percentiles)
    caption = "Share of effects that had come, by time from the intended moment of their cause."
    caption += (
        f" {lost:,} never came: they count as slower than any, so a curve that ends below 100% is cut short."
        if lost
        else ""
    )
    return Chart("distribution", title, caption, traces, layout, height=340)


def propagation(record: RunRecord) -> Chart:
    """Every propagation at the time of its cause."""
    title = "Changes over the run"
    points, reduced = traffic.propagation_points(record)
    if not points:
        return nothing("propagation", title, _no_propagation(record))
    seen = [p.latency_s for p in points if p.latency_s is not None]
    slowest = max(seen, default=1.0)
    probes = sorted({p.probe for p in points})
    traces: list[Trace] = []
    for i, probe in enumerate(probes):
        mine = [p for p in points if p.probe == probe]
        came = [(p, p.latency_s) for p in mine if p.latency_s is not None]
        traces.append(_dots(probe, [p for p, _ in came], [t for _, t in came], PALETTE[i % len(PALETTE)], "circle"))
        if lost := [p for p in mine if p.latency_s is None]:
            name = f"{probe}: never"
            traces.append(_dots(name, lost, [slowest * 1.3] * len(lost), "--bad", "x"))
    caption = "Each dot is one object that a change concerns, at the moment the change was intended."
    caption += " Drawn are the fastest and the slowest of each moment." if reduced else ""
    if len(seen) < len(points):
        caption += " Crosses above all others: effects that never came."
    layout = {"yaxis": seconds_axis(seen), "hovermode": "closest"}
    return Chart("propagation", title, caption, traces, layout, timeline=True, height=340)


def writes(record: RunRecord) -> Chart:
    """What the subject wrote, and how much of it changed nothing or was refused."""
    title = "Writes of the subject"
    found = traffic.writes(record)
    if not found:
        return nothing("writes", title, why_missing(record, "audit"))
    shown = found[:_RESOURCES][::-1]  # Plotly stacks bars from the bottom
    names = [label(f"{w.verb} {w.kind}{'/' + w.subresource if w.subresource else ''}") for w in shown]
    parts: Sequence[tuple[str, list[float], str]] = (
        ("changed something", [max(0.0, w.total - w.noop - w.conflict) for w in shown], "--c1"),
        ("changed nothing", [w.noop for w in shown], "--c4"),
        ("conflict (409)", [w.conflict for w in shown], "--bad"),
    )
    traces: list[Trace] = [
        {
            "type": "bar", "orientation": "h", "name": name, "y": names, "x": values, "marker": {"color": color},
            "hovertemplate": "%{x:,.0f}",
        }
        for name, values, color in parts
    ]  # fmt: skip
    caption = "By the API server's audit log. A write changed nothing where the object kept its resourceVersion."
    if len(found) > _RESOURCES:
        caption += f" The {_RESOURCES} of {len(found)} with the most."
    layout = {
        "barmode": "stack", "hovermode": "y unified", "xaxis": {"rangemode": "tozero"},
        "yaxis": {"type": "category", "automargin": True},
    }  # fmt: skip
    return Chart("writes", title, caption, traces, layout, height=150 + 28 * len(shown))


def _dots(name: str, points: Sequence[traffic.Propagation], y: Sequence[float], color: str, symbol: str) -> Trace:
    return {
        "type": "scatter", "mode": "markers", "name": label(name), "x": rounded([p.t_s for p in points]), "y": rounded(y),
        "text": [label(f"{p.cause} → {p.name}") for p in points],
        "marker": {"color": color, "size": 5 if symbol == "circle" else 7, "symbol": symbol, "opacity": 0.6},
        "hovertemplate": "%{text}: %{y:.3s}s" if symbol == "circle" else "%{text}: never",
    }  # fmt: skip


def _no_requests(record: RunRecord) -> str:
    if record.run.state != "sealed":
        return "The run ended before the load had sent anything."
    return "The load sent no requests."


def _no_propagation(record: RunRecord) -> str:
    facts = next((item for item in record.run.collectors if item.name == "latency"), None)
    if facts is None or facts.state == "failed":
        return why_missing(record, "latency")
    return "No change was sent whose effects a probe of the scenario waits for."
