"""What a run of cycles found, on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.core.units import format_value
from harness.record.leak import Leak, LeakSeries
from harness.report.results import clean

STYLES = {"clear": "bold green", "leak": "bold red", "inconclusive": "bold yellow", "invalid": "bold yellow"}
_BEHAVIOURS = {"grows": "red", "unclear": "yellow", "unknown": "dim"}
_SITES = 5


def value(unit: str, number: float | None) -> str:
    """A value of a series, for people."""
    if number is None:
        return ""
    return format_value(number, "bytes") if unit == "B" else f"{number:,.4g}"


def per_object(series: LeakSeries, objects: int) -> str:
    """The slope for each object; of counts for each cycle."""
    if series.slope is None:
        return ""
    if series.unit == "B" and objects:
        return f"{value('B', series.slope / objects)}/object"
    return f"{value(series.unit, series.slope)}/cycle"


def threshold(series: LeakSeries, objects: int) -> str:
    """What such a run would have found, in the unit of `per_object`."""
    if series.threshold is None:
        return ""
    if series.unit == "B" and objects:
        return f"{value('B', series.threshold / objects)}/object"
    return f"{value(series.unit, series.threshold)}/cycle"


def render(leak: Leak, console: Console) -> None:
    """Verdict, what was found, every series, and the places in the code."""
    console.print(
        Text.assemble(
            (leak.verdict.upper(), STYLES.get(leak.verdict, "bold red")), f"  {leak.scenario} · {leak.run_id}"
        ),
        soft_wrap=True,
    )
    _line(console, f"  {leak.headline}")
    for finding in leak.findings:
        _line(console, f"  {finding.sort.replace('_', ' ')}: {finding.sentence}")
    for reason in leak.reasons:
        _line(console, f"  - {reason}")
    for note in leak.notes:
        _line(console, f"  note: {note}", "dim")
    if leak.cycles:
        console.print()
        console.print(table(leak))
    if leak.trim is not None and leak.trim.rss_after is not None and leak.trim.rss_before is not None:
        before, after = value("B", leak.trim.rss_before), value("B", leak.trim.rss_after)
        _line(console, f"\nmalloc_trim after the last cycle: RSS {before} -> {after}")
    elif leak.trim is not None:
        _line(console, f"\nno malloc_trim: {leak.trim.reason}", "dim")
    _sites(leak, console)


def table(leak: Leak) -> Table:
    """One line for each quantity."""
    shown = Table(box=None, pad_edge=False, header_style="dim")
    for header in ("at rest after each cycle", "first", "last", "growth", "would find", "judged"):
        shown.add_column(header, justify="right" if header not in ("at rest after each cycle", "judged") else "left")
    for series in leak.series:
        told = [point for point in series.points if point is not None]
        shown.add_row(
            series.title,
            value(series.unit, told[0] if told else None),
            value(series.unit, told[-1] if told else None),
            per_object(series, leak.objects),
            threshold(series, leak.objects),
            Text(series.behaviour, style=_BEHAVIOURS.get(series.behaviour, "green") if series.decides else "dim"),
        )
    return shown


def _sites(leak: Leak, console: Console) -> None:
    console.print()
    if leak.sites_reason is not None:
        _line(console, f"no places in the code: {leak.sites_reason}", "dim")
        return
    if leak.verdict == "clear":
        return  # what a buffer or a pool holds just then is no news where nothing grows
    _line(
        console,
        "held after cycles whose allocations were followed, for each object" if leak.sites else "nothing was held",
    )
    for site in leak.sites[:_SITES]:
        once = "" if site.repeated else "  (once, not for each object)"
        _line(console, f"  {value('B', site.bytes_per_object):>10}  {site.site}{once}")
        for caller in site.callers[:2]:
            _line(console, f"              from {caller}", "dim")


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(clean(text) if "\n" not in text else text, style=style), soft_wrap=True)
