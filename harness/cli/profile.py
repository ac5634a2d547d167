"""`harness profile`: memray attached to a running process by hand, and two profiles compared."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from harness.analysis import profile_diff
from harness.cli import completing, profile_run, profile_show, run_options
from harness.cli.console import CliConsole
from harness.cli.interrupting import until_signal
from harness.cli.progress import TerminalObserver
from harness.collectors import captures
from harness.collectors.attach.record import record
from harness.core.errors import HarnessError, UsageError
from harness.core.stacks import StackProfile
from harness.record import profile_files
from harness.report import profile_diff as page

app = typer.Typer(name="profile")


@app.callback(invoke_without_command=True)
def profile(
    context: typer.Context,
    pid: Annotated[int | None, typer.Option("--pid", metavar="N", help="The process to attach to.")] = None,
    run: Annotated[
        str | None,
        typer.Option(
            "--run", metavar="ID", autocompletion=completing.runs, help="The run under way whose subject to look into."
        ),
    ] = None,
    for_: Annotated[str, typer.Option("--for", metavar="TIME", help="How long to track, such as 30s or 5m.")] = "30s",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="The folder to write to; default profile-PID-TIME here. With --run: where run records are."
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object (harness.profile/v1); progress to stderr.")
    ] = False,
) -> None:
    """Profile a running process (--pid) or the subject of a run under way (--run), or compare two profiles (diff).

    memray is attached to the Python process, tracks its allocations for a while, is detached, and says what held the memory.
    The process goes on as before; only what it allocates meanwhile is seen. The subject of a run may be a Go program too:
    its pprof is read.

    Example: harness profile --pid 4711 --for 1m
    Example: harness profile --run k4x7q --for 20s
    """
    if context.invoked_subcommand is not None:
        return
    if (pid is None) == (run is None):
        raise UsageError(
            "profile needs a process, a run under way, or a subcommand",
            remedy="harness profile --pid N, harness profile --run ID, or harness profile diff A B",
        )
    if pid is not None and pid <= 0:
        raise UsageError(f"--pid {pid} is no process id")
    seconds = run_options.seconds("--for", for_, "30s")
    if seconds <= 0:
        raise UsageError("--for must be longer than 0 s")
    if run is not None:
        profile_run.of_run(run, seconds, out, json=json)
        return
    assert pid is not None
    folder = out or Path(f"profile-{pid}-{datetime.now(UTC):%Y%m%d-%H%M%S}")
    new = [path for path in (folder / "profiles", folder) if not path.exists()]
    _make(folder)
    console = CliConsole(stderr=json)
    try:
        with TerminalObserver(console) as progress:
            recording = asyncio.run(until_signal(lambda stop: record(pid, seconds, folder, progress, stop)))
    except HarnessError:
        for path in new:
            with contextlib.suppress(OSError):  # there is something in it
                path.rmdir()
        raise
    if json:
        sys.stdout.write(profile_show.document(recording).model_dump_json(by_alias=True, indent=1) + "\n")
    else:
        profile_show.show(recording, console)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot be made: {error.strerror}", place=str(folder), remedy="use --out") from error


@app.command("diff")
def diff(
    before: Annotated[
        str,
        typer.Argument(
            metavar="BEFORE",
            autocompletion=completing.runs_and_experiments,
            help="A profile, a folder of them, a run, or EXPERIMENT:ARM.",
        ),
    ],
    after: Annotated[
        str,
        typer.Argument(
            metavar="AFTER",
            autocompletion=completing.runs_and_experiments,
            help="The same, for what is compared with it.",
        ),
    ],
    more_before: Annotated[
        list[str] | None, typer.Option("--before", metavar="X", help="A further repeat of BEFORE; repeatable.")
    ] = None,
    more_after: Annotated[
        list[str] | None, typer.Option("--after", metavar="X", help="A further repeat of AFTER; repeatable.")
    ] = None,
    moment: Annotated[
        str | None,
        typer.Option(
            "--moment",
            autocompletion=completing.one_of("peak", "end", "inuse", "alloc"),
            help="memray: peak or end; Go: inuse or alloc. Default: the first.",
        ),
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            "--by",
            autocompletion=completing.one_of(*profile_diff.BY),
            help="The table's rows: site, function, file or package.",
        ),
    ] = "function",
    top: Annotated[int, typer.Option("--top", min=1, help="How many rows.")] = 15,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with difference flame graphs here.")] = None,
    out: run_options.Records = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object (harness.profile-diff/v1).")] = False,
) -> None:
    """Compare memory profiles of two runs, arms or files: bytes and allocations before, after, and whose growth it is.

    Several captures on a side are repeats, and give differences an interval.

    Example: harness profile diff k4x7q m2b9d --html diff.html
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
