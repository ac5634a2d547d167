"""The page of a run, made from its record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from harness.core.units import format_value
from harness.record.models import Result, Verdict
from harness.record.reader import RunRecord
from harness.report import charts, data, html, profiles, results, tables, traffic_charts
from harness.report.figures import Chart, Timeline


@dataclass(frozen=True, slots=True)
class Figure:
    """A result that is shown large at the top of the page."""

    name: str
    text: str
    note: str
    bad: bool = False


def write(record: RunRecord, verdict: Verdict, path: Path) -> Path:
    """Write the page to `path`, whole or not at all. Raises EnvironmentFault where it cannot be written."""
    return html.save(path, lambda: render(record, verdict, path))


def render(record: RunRecord, verdict: Verdict, path: Path) -> str:
    """The page as text. `path` is where it will lie: links into the record are relative to it."""
    run = record.run
    sections = _charts(record)
    answer, audited = tables.trusted(record, verdict)
    timeline = Timeline(data.end_s(record), data.spans(record), data.marks(record))
    stacks = profiles.read_all_stacks(record)
    sections["profile"] = [profiles.icicle(found, kind) for kind, found in stacks.items()]
    return html.assemble(
        "report.html.j2",
        timeline,
        [chart for section in sections.values() for chart in section],
        run=run,
        verdict=verdict,
        title=results.title_of(run),
        length=format_value(timeline.end_s, "seconds"),
        interrupted=record.interrupted,
        key_figures=key_figures(record, verdict),
        expectations=[
            (results.judged(item), results.clean(item.expr), results.expectation_value(item, verdict.results),
             results.clean(item.note or ""))
            for item in verdict.expectations
        ],
        groups=results.grouped(verdict.results),
        sections=sections,
        phases=tables.phases(record),
        requests=tables.requests(record),
        trust=answer,
        audited=audited,
        failures=tables.failures(record),
        propagation=tables.propagation(record),
        allocation_sites=profiles.allocation_sites(record),
        under_way=tables.under_way(record),
        windows=tables.windows(record),
        hottest=profiles.hottest(stacks["cpu"]) if "cpu" in stacks else None,
        black_box=profiles.black_box(record, path),
        flame_graphs=profiles.flame_graphs(record, path),
        servers=profiles.servers(record),
        files=profiles.files(record, path),
        collectors=tables.collectors(record),
        environment=tables.environment(run),
        scenario=yaml.safe_dump(run.scenario.resolved, sort_keys=False, allow_unicode=True, width=110),
        events=tables.events(record),
    )  # fmt: skip


def key_figures(record: RunRecord, verdict: Verdict) -> list[Figure]:
    """The few results a reader wants first; those without a value are left out."""
    found = {name: result for name, result in verdict.results.items() if result.value is not None}
    figures: list[Figure] = []
    limit = record.run.subject.memory_limit_bytes
    peak_name = "memory.cgroup.peak" if "memory.cgroup.peak" in found else "memory.rss.peak"
    if (peak := _value(found, peak_name)) is not None:
        note = f"{peak / limit:.0%} of the limit of {format_value(limit, 'bytes')}" if limit else "no memory limit"
        figures.append(Figure(peak_name, format_value(peak, "bytes"), note, bool(limit and peak >= 0.95 * limit)))
    if (kills := _value(found, "oom.kills")) is not None:
        figures.append(Figure("oom.kills", format_value(kills, "count"), "by the kernel, at the limit", kills > 0))
    for name in sorted(name for name in found if name.startswith("latency.") and name.endswith(".p99"))[:2]:
        best = _value(found, f"{name.removesuffix('p99')}p50")
        note = "" if best is None else f"p50 {format_value(best, 'seconds')}"
        figures.append(Figure(name, results.value_text(found[name].value, "s"), note))
    shares = {
        name: share for name in found if name.startswith("completeness.") and (share := _value(found, name)) is not None
    }
    if shares:
        lowest = min(shares, key=lambda name: shares[name])
        figures.append(Figure(lowest, f"{shares[lowest]:.4g}", "of what must exist", shares[lowest] < 1))
    if (rate := _value(found, "load.achieved_per_s")) is not None:
        failed = _value(found, "load.failures") or 0
        figures.append(
            Figure("load.achieved_per_s", format_value(rate, "per_second"), f"{failed:,.0f} failed", failed > 0)
        )
    if (total := _value(found, "writes.total")) and (noop := _value(found, "writes.noop")) is not None:
        figures.append(Figure("writes.noop", format_value(noop, "count"), f"{noop / total:.0%} of {total:,.0f} writes"))
    return figures


def _value(found: dict[str, Result], name: str) -> float | None:
    return found[name].value if name in found else None


def _charts(record: RunRecord) -> dict[str, list[Chart]]:
    return {
        "memory": [charts.memory(record)],
        "spread": [
            traffic_charts.distribution(record), traffic_charts.propagation(record), charts.completeness(record),
            traffic_charts.writes(record),
        ],
        "load": [traffic_charts.rate(record), traffic_charts.latency(record)],
        "inside": list(charts.timeline_charts(record)),
        "profile": [],
    }  # fmt: skip
