"""Cold starts on the terminal: one column for each start."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.core.units import format_value
from harness.record.coldstart import ColdStart, Coldstarts
from harness.report.results import clean


def _bytes(value: float | None) -> str:
    return "" if value is None else format_value(value, "bytes")


def _seconds(value: float | None) -> str:
    return "" if value is None else format_value(value, "seconds")


_ROWS: tuple[tuple[str, Callable[[ColdStart], str]], ...] = (
    ("ready", lambda each: _seconds(each.ready_s)),
    ("first objects", lambda each: _seconds(each.first_object_s)),
    ("all lists answered", lambda each: _seconds(each.synced_s)),
    ("at rest", lambda each: _seconds(each.settled_s)),
    ("RSS, peak", lambda each: _bytes(each.rss.peak)),
    ("RSS, settled", lambda each: _bytes(each.rss.settled)),
    ("anonymous, peak", lambda each: _bytes(each.anon.peak)),
    ("anonymous, settled", lambda each: _bytes(each.anon.settled)),
    ("cgroup, peak", lambda each: _bytes(each.cgroup.peak)),
    ("cgroup, settled", lambda each: _bytes(each.cgroup.settled)),
    ("peak against settled (cgroup)", lambda each: "" if each.cgroup.ratio is None else f"{each.cgroup.ratio:.2f}x"),
    ("list requests", lambda each: f"{sum(each.lists.values()):,}" if each.lists else ""),
    ("bytes listed", lambda each: _bytes(sum(each.listed_bytes.values())) if each.listed_bytes else ""),
    ("CPU of the subject", lambda each: _seconds(each.subject_cpu_s)),
    ("CPU of the API server", lambda each: _seconds(each.apiserver_cpu_s)),
    ("RSS of the API server, peak", lambda each: _bytes(each.apiserver_rss_peak)),
    ("its lists, p99 below", lambda each: _seconds(each.apiserver_list_p99_s)),
)


def render(found: Coldstarts, console: Console) -> None:
    """Verdict, one sentence, and what each start cost."""
    style = "bold green" if found.exit_code == 0 else "bold red"
    console.print(Text.assemble((found.verdict.upper(), style), f"  {found.scenario} · {found.run_id}"), soft_wrap=True)
    console.print(Text(f"  {clean(found.headline)}"), soft_wrap=True)
    for reason in found.reasons:
        console.print(Text(f"  - {clean(reason)}"), soft_wrap=True)
    for note in found.notes:
        console.print(Text(f"  note: {clean(note)}", style="dim"), soft_wrap=True)
    if not found.starts:
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("from the start on")
    for each in found.starts:
        table.add_column(each.sort if each.sort == "growth" else f"{each.sort} {each.number}", justify="right")
    for title, cell in _ROWS:
        table.add_row(title, *(cell(each) for each in found.starts))
    console.print()
    console.print(table)
