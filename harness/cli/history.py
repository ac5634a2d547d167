"""`harness history`: results over time and over commits, and the store they are kept in."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from typer.core import TyperGroup

from harness.analysis.history import document
from harness.cli import completing, run_options
from harness.cli.console import CliConsole
from harness.cli.files import write_text
from harness.core import metrics, paths
from harness.core.errors import HarnessError, UsageError
from harness.record import history as store
from harness.record.gate import Gate
from harness.record.history import Entry, History
from harness.record.models import Experiment
from harness.record.reader import RunRecord, parse_model
from harness.report import history_terminal as terminal
from harness.scenario.hints import suggest

if TYPE_CHECKING:
    from typer._click.shell_completion import CompletionItem  # public in Click, which typer brings along

_T = TypeVar("_T")
_SINCE = re.compile(r"(?P<number>\d{1,5})(?P<unit>[hdw])")
_HOURS = {"h": 1, "d": 24, "w": 24 * 7}


class _Group(TyperGroup):
    """`harness history memory.rss.peak` is `harness history show memory.rss.peak`: what is no verb is a metric."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override] # typer's own context
        if ctx.resilient_parsing and not args:  # a shell completes the first word: verbs, too
            return super().parse_args(ctx, args)
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help")):
            args = ["show", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: typer.Context, incomplete: str) -> list[CompletionItem]:  # type: ignore[override]
        """Its verbs, and what `show` takes first: a metric, or an option."""
        show = self.commands["show"]
        below = show.make_context("show", [], parent=ctx, resilient_parsing=True)
        first = next(parameter for parameter in show.params if parameter.name == "metric")
        taken = show if incomplete.startswith("-") else first
        offered = [*super().shell_complete(ctx, incomplete), *taken.shell_complete(below, incomplete)]
        return list({item.value: item for item in offered}.values())


app = typer.Typer(
    name="history",
    cls=_Group,
    help="Results over time and over commits. `harness history [METRIC]` is `harness history show [METRIC]`.\n\n"
    "Example: harness history memory.rss.peak --since 30d",
)

_Store = Annotated[
    Path | None,
    typer.Option("--history", metavar="DIR", help="The store; default HARNESS_HISTORY, else history/ beside runs/."),
]
_Since = Annotated[
    str | None, typer.Option("--since", help="Only runs since then: 30d, 12h, 4w, or a date such as 2026-11-01.")
]
_Scenario = Annotated[
    str | None, typer.Option("--scenario", autocompletion=completing.scenarios, help="Only this scenario.")
]


@app.command()
def show(
    metric: Annotated[
        str | None,
        typer.Argument(
            metavar="METRIC",
            autocompletion=completing.metric_names,
            help="Such as memory.rss.peak; without it, what there is.",
        ),
    ] = None,
    since: _Since = None,
    scenario: _Scenario = None,
    directory: _Store = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many commits of a series, the newest.")] = 20,
    list_metrics: Annotated[bool, typer.Option("--metrics", help="List the metrics that have values.")] = False,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with charts.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object (schema harness.history/v1).")] = False,
) -> None:
    """Show a metric over commits, as a curve and a table, with its changes of level. Exits 0 whatever it shows.

    Example: harness history latency.flip.p99 --since 30d --scenario label-flip
    """
    history = _open(directory)
    console = CliConsole()
    if list_metrics:
        for name, count in history.metrics().items():
            console.print(f"{count:>8}  {name}", markup=False, soft_wrap=True)
        _warn(history)
        return
    if html is not None and metric is None:
        raise UsageError("--html needs a METRIC", remedy="harness history METRIC --html FILE")
    if metric is not None:
        _check(metric, history)
    found = document(history, metric, since=_moment(since), scenario=scenario)
    if html is not None:
        from harness.report import history_page  # Plotly is for pages only

        history_page.write(found, html)
    if json:
        sys.stdout.write(found.model_dump_json(by_alias=True, indent=1) + "\n")
    elif html is not None:
        typer.echo(html)
    else:
        terminal.render(found, console, limit=limit)


@app.command("import")
def import_(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|DIR…",
            autocompletion=completing.runs,
            help="Run ids, records, or folders that hold records and gates.",
        ),
    ],
    directory: _Store = None,
    out: run_options.Records = None,
) -> None:
    """Add runs and gates from their records. What is there already is not added twice; unreadable ones are told.

    Example: harness history import runs/
    """
    history = _open(directory)
    entries = [entry for name in what for entry in _entries(name, out)]
    added = history.add(entries)
    _warn(history)
    typer.echo(f"{added} of {len(entries)} added to {history.directory}; the others were there")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Ends in .parquet, .csv, .jsonl or .om.")],
    since: _Since = None,
    scenario: _Scenario = None,
    directory: _Store = None,
) -> None:
    """Write the history to one file, a row for each metric of each run; `merge` reads a .parquet one back.

    A file that ends in .om is OpenMetrics text for Prometheus, with the changes of level.

    Example: harness history export nightly.csv --since 90d
    """
    history = _open(directory)
    if file.suffix == ".om":
        from harness.report import openmetrics_history

        names = [*history.metrics(), None]
        found = (document(history, name, since=_moment(since), scenario=scenario) for name in names)
        write_text(file, openmetrics_history.render(found))
        _warn(history)
        typer.echo(file)
        return
    history.export(file, since=_moment(since), scenario=scenario)
    _warn(history)
    typer.echo(file)


@app.command()
def merge(
    others: Annotated[
        list[Path], typer.Argument(metavar="DIR|FILE…", help="Other stores, or exported .parquet files.")
    ],
    directory: _Store = None,
) -> None:
    """Add everything that other stores have and this one has not.

    Example: harness history merge ~/Downloads/nightly-history
    """
    history = _open(directory)
    for other in others:
        added = history.merge(other)
        _warn(history)
        typer.echo(f"{added} from {other} added to {history.directory}")


def _open(directory: Path | None) -> History:
    return History(directory or paths.history_dir(paths.runs_dir()))


def _warn(history: History) -> None:
    for warning in history.warnings:
        typer.echo(f"warning: {warning}", err=True)


def _check(metric: str, history: History) -> None:
    """Raises UsageError for a metric that neither the catalogue nor the history knows."""
    try:
        metrics.resolve(metric)
    except ValueError as error:
        known = history.metrics()
        if metric not in known:
            raise UsageError(
                f"unknown metric {metric!r}; {suggest(metric, known, title='the history has')}" if known else str(error)
            ) from error


def _moment(text: str | None) -> datetime | None:
    """`30d` ago, or a date. Raises UsageError."""
    if text is None:
        return None
    if match := _SINCE.fullmatch(text):
        return datetime.now(UTC) - timedelta(hours=int(match["number"]) * _HOURS[match["unit"]])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"--since {text!r} is neither a time span nor a date", remedy="write 30d, 12h, 4w or 2026-11-01"
        ) from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _entries(name: str, out: Path | None) -> Iterator[Entry]:
    """Entries of a run, or of all records and gates in a folder. What cannot be read there is told and left out."""
    folder = Path(name)
    if not folder.is_dir() or (folder / "run.json").is_file():
        yield _of_record(RunRecord.open(name, out))
        return
    paired: set[str] = set()
    for path in sorted(folder.rglob("experiment.json")):
        experiment = _told(functools.partial(parse_model, path, Experiment))
        if experiment is not None and experiment.kind != "arms":
            paired |= {run.run_id for run in experiment.runs}  # they are in the gate's entry; alone they say little
    records = [path.parent for path in sorted(folder.rglob("run.json"))]
    gates = sorted(folder.rglob("gate.json"))
    if not records and not gates:
        raise UsageError("it holds no run records and no gates", place=name)
    for directory in records:
        if directory.name not in paired:
            entry = _told(functools.partial(_of_folder, directory))
            if entry is not None:
                yield entry
    for path in gates:
        entry = _told(functools.partial(_of_gate, path))
        if entry is not None:
            yield entry


def _of_folder(directory: Path) -> Entry:
    return _of_record(RunRecord.open(directory))


def _of_gate(path: Path) -> Entry:
    return store.of_gate(parse_model(path, Gate))


def _of_record(record: RunRecord) -> Entry:
    from harness.analysis.verdict import stored_or_judged  # a question to the history need not carry it

    if record.run.state == "running" and not record.interrupted:
        raise UsageError("the run is still going on", place=str(record.path))
    return store.of_run(record.run, stored_or_judged(record))


def _told(read: Callable[[], _T]) -> _T | None:
    """What `read` returns; None where it cannot be read, after a warning."""
    try:
        return read()
    except HarnessError as error:
        typer.echo(f"warning: left out: {error}", err=True)
        return None
