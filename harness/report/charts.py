"""Charts of the samples over the run's time: memory against its limit, tasks, queues, CPU, completeness."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from harness.record.reader import RunRecord
from harness.report import data
from harness.report.data import Series
from harness.report.figures import PALETTE, Chart, Trace, byte_scale, line, nothing, seconds_axis

_COROUTINES = 7  # lines of their own, as many as there are colours
_QUEUES = 7


def timeline_charts(record: RunRecord) -> Iterator[Chart]:
    """Every chart over samples but memory, in the order of the page."""
    yield _tasks(record)
    yield _queues(record)
    yield _cpu(record)
    yield _threads(record)
    yield _lag(record)


def why_missing(record: RunRecord, collector: str) -> str:
    """The sentence in place of a chart whose collector brought nothing."""
    facts = {item.name: item for item in record.run.collectors}
    if collector not in facts:
        return f"The collector {collector} was not on in this run."
    if facts[collector].state == "failed":
        return f"The collector {collector} failed: {facts[collector].reason or 'it gave no reason'}."
    if record.run.state != "sealed":
        return "There are no samples: the run ended before any were taken."
    return f"The collector {collector} was on, but brought nothing of this."


def memory(record: RunRecord) -> Chart:
    """Resident, anonymous and charged memory against the limit."""
    title = "Memory of the subject"
    found = {s.metric: s for s in data.series(record, ("memory.rss", "memory.anon", "memory.cgroup"), break_gaps=True)}
    if not found:
        return nothing("memory", title, why_missing(record, "memory"))
    limits = data.series(record, ("memory.limit",))
    limit = record.run.subject.memory_limit_bytes or (limits[0].peak if limits else None)
    highest = max([*(s.peak for s in found.values()), limit or 0])
    scale, unit = byte_scale(highest)
    names = {
        "memory.cgroup": ("charged to the cgroup", "--c1", 2.2),
        "memory.rss": ("resident (RSS)", "--c2", 1.6),
        "memory.anon": ("anonymous", "--c3", 1.6),
    }
    hover = f"%{{y:.1f}} {unit}"
    traces = [
        line(name, s.t_s, [None if v is None else v / scale for v in s.values], color, hover, width=width)
        for metric, (name, color, width) in names.items()
        if (s := found.get(metric)) is not None
    ]
    if heap := [s for s in data.series(record, ("memory.heap",)) if not s.labels]:
        points = [None if v is None else v / scale for v in heap[0].values]
        name = "live heap, after a forced collection"
        dots: Trace = {"mode": "markers", "marker": {"color": "--c5", "size": 9, "symbol": "diamond"}}
        traces.append(line(name, heap[0].t_s, points, "--c5", hover) | dots)
    if limit:
        ends = [0.0, data.end_s(record)]
        traces.append(line("limit", ends, [limit / scale] * 2, "--bad", hover, dash="dash"))
    caption = "The kernel kills by what is charged to the cgroup; resident memory also counts pages charged elsewhere."
    layout = _axis(ticksuffix=f" {unit}", range=[0, 1.12 * highest / scale])
    caption = _with_reduction(caption, found.values())
    return Chart("memory", title, caption, traces, layout, timeline=True, height=400, wide=True)


def completeness(record: RunRecord) -> Chart:
    """Share of the objects that must exist, over time."""
    title = "Objects that must exist"
    expected = {item.kind: item.count for item in record.run.expected if item.count}
    found = [s for s in data.series(record, ("objects.matched",)) if s.labels.get("kind") in expected]
    if not found:
        why = "The scenario expects no objects." if not expected else why_missing(record, "latency")
        return nothing("completeness", title, why)
    until = data.sampled_until_s(record)
    for s in found:
        s.hold(until)
    traces = [
        line(
            f"{kind} ({expected[kind]:,})", s.t_s, [None if v is None else 100 * v / expected[kind] for v in s.values],
            PALETTE[i % len(PALETTE)], "%{y:.1f}%", shape="hv",
        )
        for i, s in enumerate(found)
        if (kind := s.labels["kind"])
    ]  # fmt: skip
    caption = "Seen in a watch, as a share of what the scenario says must come to exist."
    return Chart(
        "completeness",
        title,
        _with_reduction(caption, found),
        traces,
        _axis(ticksuffix="%", range=[0, 104]),
        timeline=True,
    )


def _tasks(record: RunRecord) -> Chart:
    title = "Tasks"
    found = data.series(record, ("tasks",))
    if not found:
        collector = "metrics" if record.run.subject.runtime == "go" else "tasks"
        return nothing("tasks", title, why_missing(record, collector))
    total = [s for s in found if not s.labels]
    named = sorted((s for s in found if s.labels), key=lambda s: -s.peak)
    for s in named:
        s.hold(max(total[0].t_s) if total else data.sampled_until_s(record))
    traces = [line("all", s.t_s, s.values, "--fg", "%{y:,.0f}", width=2.0) for s in total]
    traces += _coloured(named[:_COROUTINES], "coroutine")
    more = f" The {_COROUTINES} of {len(named)} coroutines with the highest peaks." if len(named) > _COROUTINES else ""
    what = "Goroutines." if record.run.subject.runtime == "go" else "Asyncio tasks, by the coroutine they run."
    return Chart("tasks", title, _with_reduction(what + more, found), traces, _axis(), timeline=True)


def _queues(record: RunRecord) -> Chart:
    title = "Work queue"
    found = data.series(record, ("queue.depth",))
    if not found:
        return nothing("queue", title, why_missing(record, "metrics"))
    total = [s for s in found if not s.labels]
    named = sorted((s for s in found if s.labels), key=lambda s: -s.peak)[:_QUEUES]
    traces = [line("all queues", s.t_s, s.values, "--fg", "%{y:,.0f}", width=2.0) for s in total]
    traces += _coloured(named, "name")
    rates = [s for s in data.rates(record, ("reconciles.total",)) if not s.labels]
    axes = _axis()
    for s in rates:
        traces.append(line("reconciles per second", s.t_s, s.values, "--c5", "%{y:,.3~g}/s", dash="dot", yaxis="y2"))
        axes["yaxis2"] = {
            "overlaying": "y",
            "side": "right",
            "rangemode": "tozero",
            "ticksuffix": "/s",
            "showgrid": False,
            "tickmode": "auto",
        }
    return Chart("queue", title, _with_reduction("Work items waiting.", found), traces, axes, timeline=True)


def _cpu(record: RunRecord) -> Chart:
    title = "CPU"
    names = {
        "cpu.seconds": ("subject", "--c1"), "load.cpu": ("load generator", "--c2"), "overhead.cpu": ("harness", "--c3"),
        "host.cpu.busy": ("whole machine", "--fg"), "host.cpu.steal": ("stolen by the host", "--bad"),
    }  # fmt: skip
    found = [s for s in data.rates(record, tuple(names)) if s.t_s and not s.labels]
    if not found:
        return nothing("cpu", title, why_missing(record, "memory"))
    traces = [line(names[s.metric][0], s.t_s, s.values, names[s.metric][1], "%{y:.2f} cores") for s in found]
    caption = f"Cores in use, of {record.run.machine.cpus}. On a busy machine latencies say less about the subject."
    return Chart("cpu", title, caption, traces, _axis(), timeline=True)


def _threads(record: RunRecord) -> Chart:
    title = "Threads and file descriptors"
    found = [s for s in data.series(record, ("threads", "fds")) if not s.labels]
    if not found:
        return nothing("threads", title, why_missing(record, "memory"))
    names = {"threads": ("threads", "--c1"), "fds": ("open descriptors", "--c2")}
    traces = [line(names[s.metric][0], s.t_s, s.values, names[s.metric][1], "%{y:,.0f}", shape="hv") for s in found]
    return Chart("threads", title, _with_reduction("", found), traces, _axis(), timeline=True)


def _lag(record: RunRecord) -> Chart:
    title = "Event-loop lag"
    found = data.series(record, ("loop.lag",))
    if not found:
        if record.run.subject.runtime != "python":
            return nothing("lag", title, "The subject is not known to run an asyncio loop.")
        return nothing("lag", title, why_missing(record, "tasks"))
    traces = [
        line(", ".join(s.labels.values()) or "lag", s.t_s, s.values, PALETTE[i % len(PALETTE)], "%{y:.3s}s")
        for i, s in enumerate(found)
    ]
    caption = "How late the subject's asyncio loop runs what is due; work of other tasks, or a starved CPU."
    return Chart("lag", title, _with_reduction(caption, found), traces, {"yaxis": seconds_axis([])}, timeline=True)


def _coloured(series: Sequence[Series], key: str) -> list[Trace]:
    return [
        line(
            s.labels.get(key) or ", ".join(s.labels.values()),
            s.t_s,
            s.values,
            PALETTE[i % len(PALETTE)],
            "%{y:,.0f}",
            shape="hv",
        )
        for i, s in enumerate(series)
    ]


def _axis(**options: object) -> dict[str, Any]:
    return {"yaxis": {"rangemode": "tozero", **options}}


def _with_reduction(caption: str, series: Iterable[Series]) -> str:
    """The caption, and that a line does not show every sample, where it does not."""
    taken = max((s.samples for s in series if s.reduced), default=0)
    if not taken:
        return caption
    return (
        f"{caption} Drawn are the lowest and the highest sample of each {data.BINS}th of the time ({taken:,} samples "
        "in the record)."
    ).strip()
