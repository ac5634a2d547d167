"""`harness profile`: memray attached to a running process by hand, and two profiles compared."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.analysis import profile_diff
from harness.cli.console import CliConsole
from harness.cli.progress import TerminalObserver
from harness.collectors import captures
from harness.collectors.attach.record import Recording, record
from harness.core import units
from harness.core.errors import HarnessError, UsageError
from harness.core.stacks import StackProfile
from harness.record import profile_files
from harness.record.profile_models import Profiled
from harness.report import profile_diff as page
from harness.report.results import clean

_TOP = 10

app = typer.Typer(
    name="profile",
    help="Attach memray to a running Python process (--pid), or compare two profiles (diff).",
)


@app.callback(invoke_without_command=True)
def profile(
    context: typer.Context,
    pid: Annotated[int | None, typer.Option("--pid", metavar="N", help="The process to attach to.")] = None,
    for_: Annotated[str, typer.Option("--for", metavar="TIME", help="How long to track, such as 30s or 5m.")] = "30s",
    out: Annotated[
        Path | None, typer.Option("--out", help="The folder to write to; default profile-PID-TIME in this folder.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object (harness.profile/v1); progress to stderr.")
    ] = False,
) -> None:
    """Attach memray to a running Python process, track its allocations for a while, detach, and say what held the memory.

    The process goes on as before; only what it allocates meanwhile is seen. Example: harness profile --pid 4711 --for 1m
    """
    if context.invoked_subcommand is not None:
        return
    if pid is None:
        raise UsageError(
            "profile needs a process or a subcommand", remedy="harness profile --pid N, or harness profile diff A B"
        )
    if pid <= 0:
        raise UsageError(f"--pid {pid} is no process id")
    try:
        seconds = units.parse(for_, "seconds")
    except ValueError as error:
        raise UsageError(f"--for: {error}") from error
    if seconds <= 0:
        raise UsageError("--for must be longer than 0 s")
    folder = out or Path(f"profile-{pid}-{datetime.now(UTC):%Y%m%d-%H%M%S}")
    new = [path for path in (folder / "profiles", folder) if not path.exists()]
    _make(folder)
    console = CliConsole(stderr=json)
    try:
        with TerminalObserver(console) as progress:
            recording = asyncio.run(_until_signal(pid, seconds, folder, progress))
    except HarnessError:
        for path in new:
            with contextlib.suppress(OSError):  # there is something in it
                path.rmdir()
        raise
    if json:
        sys.stdout.write(_document(recording).model_dump_json(by_alias=True, indent=1) + "\n")
    else:
        _show(recording, console)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot be made: {error.strerror}", place=str(folder), remedy="use --out") from error


async def _until_signal(pid: int, seconds: float, folder: Path, progress: TerminalObserver) -> Recording:
    """A first Ctrl-C ends the tracking, not the work: detaching and reading come after it."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    return await record(pid, seconds, folder, progress, stop)


def _document(recording: Recording) -> Profiled:
    return Profiled(
        folder=str(recording.folder), how=recording.how, stopped_s=recording.stopped_s, attached_s=recording.attached_s,
        tracked_s=recording.tracked_s, main=recording.main, ended=recording.ended, warnings=recording.warnings,
        **recording.event,
    )  # fmt: skip


def _show(recording: Recording, console: Console) -> None:
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


@app.command("diff")
def diff(
    before: Annotated[
        str, typer.Argument(metavar="BEFORE", help="A profile, a folder of them, a run, or EXPERIMENT:ARM.")
    ],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="The same, for what is compared with it.")],
    more_before: Annotated[
        list[str] | None, typer.Option("--before", metavar="X", help="A further repeat of BEFORE; repeatable.")
    ] = None,
    more_after: Annotated[
        list[str] | None, typer.Option("--after", metavar="X", help="A further repeat of AFTER; repeatable.")
    ] = None,
    moment: Annotated[
        str | None, typer.Option("--moment", help="memray: peak or end; Go: inuse or alloc. Default: the first.")
    ] = None,
    by: Annotated[str, typer.Option("--by", help="The table's rows: site, function, file or package.")] = "function",
    top: Annotated[int, typer.Option("--top", min=1, help="How many rows.")] = 15,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with difference flame graphs here.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Where run records are; default runs/.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object (harness.profile-diff/v1).")] = False,
) -> None:
    """Compare memory profiles of two runs, arms or files: bytes and allocations before, after, and whose growth it is.

    Several captures on a side are repeats, and give differences an interval. Example: harness profile diff k4x7q m2b9d
    """
    if by not in profile_diff.BY:
        raise UsageError(f"--by {by!r} is unknown", remedy=f"use {', '.join(profile_diff.BY)}")
    sides = [
        [path for name in (first, *(more or [])) for path in profile_files.find(name, out)]
        for first, more in ((before, more_before), (after, more_after))
    ]
    compared = profile_diff.diff(*asyncio.run(_read(sides)), moment=moment)
    if html is not None:
        page.write(compared, html)
    if json:
        sys.stdout.write(page.document(compared).model_dump_json(by_alias=True, indent=1) + "\n")
        return
    console = CliConsole()
    console.print(Text(page.headline(compared)))
    shown = page.rows(compared, by, top)
    table = Table(
        box=None,
        pad_edge=False,
        title=f"\n{shown.title}, at {compared.moment}",
        title_justify="left",
        title_style="bold",
    )
    for number, header in enumerate(shown.headers[:-1]):
        table.add_column(header, justify="right" if number in shown.numbers else "left", overflow="fold")
    for row in shown.rows:
        table.add_row(*(Text(cell) for cell in row[:-1]))
    console.print(table)
    if shown.note:
        console.print(Text(f"\n{shown.note}"))
    if html is not None:
        console.print(Text(f"\n{html}"), soft_wrap=True)


async def _read(sides: Sequence[Sequence[Path]]) -> list[list[StackProfile]]:
    return [[await captures.read(path) for path in side] for side in sides]
