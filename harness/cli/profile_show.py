"""What a profile by hand found, in a terminal or as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.collectors.attach.record import Recording
from harness.core import units
from harness.record.profile_models import Profiled
from harness.report.results import clean

_TOP = 10


def document(recording: Recording) -> Profiled:
    """As `--json` prints it."""
    return Profiled(
        folder=str(recording.folder), how=recording.how, stopped_s=recording.stopped_s, attached_s=recording.attached_s,
        tracked_s=recording.tracked_s, main=recording.main, ended=recording.ended, warnings=recording.warnings,
        **recording.event,
    )  # fmt: skip


def show(recording: Recording, console: Console) -> None:
    """As a terminal shows it."""
    console.print()
    state = "it ended meanwhile" if recording.ended else "detached, and it goes on"
    console.print(
        Text(
            f"process {recording.pid}: tracked for {units.format_value(recording.tracked_s, 'seconds')}, {state}; "
            f"one thread was stopped for {units.format_value(recording.stopped_s, 'seconds')} ({recording.how})"
        )
    )
    event = recording.event
    _sites(
        console, f"At the peak, {units.format_value(event['peak_bytes'], 'bytes')}", event["top"], event["peak_bytes"]
    )
    _sites(
        console,
        f"Left at the end, {units.format_value(event['left_bytes'], 'bytes')}",
        event["left"],
        event["left_bytes"],
    )
    for warning in recording.warnings:
        console.print(Text(f"  - {warning}"))
    console.print()
    for what in ("flamegraph", "flamegraph_at_kill", "capture", "stacks"):
        if what in event:
            console.print(Text(f"  {what:<20}{recording.folder / event[what]}"), soft_wrap=True)


def _sites(console: Console, title: str, rows: list[dict[str, Any]], total: float) -> None:
    table = Table(box=None, pad_edge=False, title=f"\n{title}", title_justify="left", title_style="bold")
    for header, justify in (("held", "right"), ("share", "right"), ("allocations", "right"), ("where", "left")):
        table.add_column(header, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in rows[:_TOP]:
        share = f"{row['bytes'] / total:.0%}" if total else ""
        place = f"{clean(row['function'])} ({clean(row['file'])}:{row['line']})"
        table.add_row(units.format_value(row["bytes"], "bytes"), share, f"{row['allocations']:,}", Text(place))
    console.print(table)
