"""`harness claims`: the published cases, measured here, and what that says of each claim."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from harness.cli import completing, run_options
from harness.cli.console import CliConsole
from harness.cli.gate_progress import GateObserver
from harness.core import paths
from harness.core.errors import UsageError
from harness.experiment import claiming, claims_kept
from harness.experiment.options import RunOptions
from harness.gate.published import Case, CurveSpec
from harness.record.claims import Claims
from harness.record.models import OnBusy
from harness.record.writer import write_atomically
from harness.report import claims_page, claims_terminal, claims_text
from harness.subject import scope


class ClaimsObserver(GateObserver):
    """A `claiming.Watcher` for people."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)

    def case_started(self, case: Case, number: int, of: int) -> None:
        """See `claiming.Watcher`."""
        self._done.clear()
        self._print(Text.assemble("\n", (f"case {number} of {of}: {case.id}", "bold"), f"  {case.stated[0].claim}"))

    def point_started(self, curve: CurveSpec, line: str, x: int) -> None:
        """See `claiming.Watcher`."""
        self._where = f"{curve.title}: {line}, {x}"
        self._print(Text(f"  {self._where}"))


def claims(
    rows: Annotated[list[int] | None, typer.Argument(metavar="ROW", help="Rows of published cases; all.")] = None,
    profile: Annotated[
        str,
        typer.Option(
            "--profile",
            autocompletion=completing.one_of("quick", "full"),
            help="quick: one pair, headlines, directions; full: 8 and 3 pairs, and curves.",
        ),
    ] = "quick",
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew, though an interrupted measurement could be taken up.")
    ] = False,
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget",
            metavar="TIME",
            help="After that time, such as 9m, no further pair begins: what is missing is `not comparable: interrupted`.",
        ),
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the page there as well.")] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Write tables and curves as Markdown.")
    ] = None,
    on_busy: Annotated[
        OnBusy,
        typer.Option(
            "--on-busy",
            envvar="HARNESS_ON_BUSY",
            help="quick: what a machine too busy to judge times makes of a run. full is always invalid then.",
        ),
    ] = "invalid",
    out: run_options.Out = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON (harness.claims/v1).")] = False,
) -> None:
    """Measure published claims, off and on in pairs. 0: every row has a verdict, `not reproduced` included.

    Example: harness claims 4 5 --profile full
    """
    if profile not in ("quick", "full"):
        raise UsageError(f"harness claims has no profile {profile!r}", remedy="write --profile quick or --profile full")
    given = math.inf if budget is None else run_options.budget_seconds(budget, "9m")
    # A direction may be told by a busy machine; a figure may not.
    options = RunOptions(out=out or paths.runs_dir(), on_busy=on_busy if profile == "quick" else "invalid")
    scope.enter_if_needed()
    console = CliConsole(stderr=json)
    with ClaimsObserver(console) as watcher:
        result = claiming.run_claims(rows or [], profile, options, watcher, fresh=fresh, budget_s=given)  # type: ignore[arg-type] # checked
    _write(result, options.out, html, markdown, console)
    if json:
        sys.stdout.write(result.model_dump_json(by_alias=True) + "\n")
    else:
        console.print()
        claims_terminal.render(result, console)
    raise typer.Exit(result.exit_code)


def _write(result: Claims, out: Path, html: Path | None, markdown: Path | None, console: Console) -> None:
    page = claims_page.write(result, html or claims_kept.directory(out, result.profile) / "claims.html")
    if markdown is not None:
        write_atomically(markdown, claims_text.render(result))
    console.print(f"  {page}", soft_wrap=True, markup=False)
