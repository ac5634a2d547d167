"""The verdict of a run as a terminal shows it: the verdict first, then why, then the figures, then where the rest is.

Colour only repeats what a word already says. Names, values and reasons are never cut, at any width: they are there to be
copied. Only the meaning of a metric, a reminder, is shortened to what room is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from harness.analysis.facts import Facts
from harness.analysis.selfaudit import PhaseAudit
from harness.analysis.trust import trust
from harness.core.units import format_value
from harness.record.models import ExpectationResult, Result, Verdict, VerdictName
from harness.record.reader import RunRecord
from harness.report import results as shown
from harness.report.results import clean

_STYLES: dict[VerdictName, str] = {
    "passed": "bold green", "failed": "bold red", "error": "bold red", "invalid": "bold yellow",
    "inconclusive": "bold yellow", "interrupted": "bold magenta",
}  # fmt: skip
_JUDGED = {True: "green", False: "bold red", None: "yellow"}
_WIDEST_NAME = 46  # columns; a longer name pushes the rest of its own line to the right, not everybody's
_NARROWEST_NOTE = 16
_PAGES = 5  # of profiles that are named one by one
_KEY_RESULTS = ("memory.rss.peak", "oom.kills", "tasks.peak", "latency.*.p99", "load.achieved_per_s", "writes.noop")


def render(record: RunRecord, verdict: Verdict, console: Console) -> None:
    """Print one run."""
    _print(console, _headline(record, verdict))
    for reason in verdict.reasons:
        _bullet(console, reason)
    if verdict.expectations:
        _heading(console, "Expectations")
        _expectations(console, verdict)
    if verdict.results:
        _heading(console, "Results")
        _results(console, verdict.results)
    if record.run.phases:
        _trust(console, record, verdict)
    if verdict.warnings:
        _heading(console, "Warnings")
        for warning in verdict.warnings:
            _bullet(console, warning)
    _heading(console, "Artefacts")
    for what, path in _artefacts(record.path):
        _print(console, Text(f"  {what:<10}{path}"))


def summary(runs: Iterable[tuple[RunRecord, Verdict]], console: Console) -> None:
    """Print one line per run of an experiment: arm, verdict, the results that matter most, run id."""
    rows = list(runs)
    arms = [clean(record.run.scenario.arm or shown.NONE) for record, _ in rows]
    arm_width = max(map(cell_len, [*arms, "arm"]))
    ids = max((len(verdict.run_id) for _, verdict in rows), default=0)
    columns = _key_columns([verdict for _, verdict in rows], console.width - arm_width - len("inconclusive") - ids - 4)
    for top in (True, False):
        heads = "".join(
            f"  {(first + '.' if top else rest):>{width}}"
            for (first, _, rest), width in ((name.partition("."), width) for name, width in columns.items())
        )
        left = "" if top else f"{_pad('arm', arm_width)}  {'verdict':<12}"
        _print(console, Text(f"{left:<{arm_width + 14}}{heads}  {'' if top else 'run'}".rstrip(), "dim"))
    for arm, (_, verdict) in zip(arms, rows, strict=True):
        line = Text(f"{_pad(arm, arm_width)}  ")
        line.append(f"{verdict.verdict:<12}", _STYLES[verdict.verdict])
        for name, width in columns.items():
            line.append(f"  {_text(verdict.results.get(name)):>{width}}")
        line.append(f"  {clean(verdict.run_id)}")
        _print(console, line)


def _print(console: Console, text: Text) -> None:
    console.print(text, soft_wrap=True)


def _pad(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _headline(record: RunRecord, verdict: Verdict) -> Text:
    line = Text()
    line.append(verdict.verdict.upper(), _STYLES[verdict.verdict])
    line.append(f"  {shown.title_of(record.run)} · {clean(verdict.run_id)}")
    return line


def _heading(console: Console, title: str) -> None:
    _print(console, Text())
    _print(console, Text(title, "bold"))


def _bullet(console: Console, text: str) -> None:
    for index, line in enumerate(_wrap(console, clean(text), console.width - 4)):
        _print(console, Text(("  - " if index == 0 else "    ") + line))


def _wrap(console: Console, text: str, width: int) -> list[str]:
    """Lines of at most `width` columns; a word longer than that is folded."""
    return [line.plain.rstrip() for line in Text(text, overflow="fold").wrap(console, max(width, 10))]


def _row(console: Console, lead: Text, note: str, style: str, *, whole: bool) -> None:
    """Print `lead`, then `note` in the columns that are left: wrapped and whole, or shortened to one line."""
    column = cell_len(lead.plain) + 2
    room = console.width - column
    if not note or (not whole and room < _NARROWEST_NOTE):
        _print(console, lead)
        return
    if not whole:
        cut = note if cell_len(note) <= room else set_cell_size(note, room - 1).rstrip(" ,(") + "…"
        _print(console, Text.assemble(lead, "  ", (cut, style)))
        return
    if room < _NARROWEST_NOTE:
        _print(console, lead)
        lead, column = Text("    "), 6
        room = console.width - column
    for index, line in enumerate(_wrap(console, note, room)):
        _print(console, Text.assemble(lead if index == 0 else " " * (column - 2), "  ", (line, style)))


def _expectations(console: Console, verdict: Verdict) -> None:
    def value(line: ExpectationResult) -> str:
        return shown.expectation_value(line, verdict.results)

    lines = verdict.expectations
    expr_width = min(_WIDEST_NAME, max(cell_len(clean(line.expr)) for line in lines))
    value_width = max(len(value(line)) for line in lines)
    for line in lines:
        lead = Text.assemble("  ", (f"{shown.judged(line):<10}", _JUDGED[line.ok]))
        lead.append(f"  {_pad(clean(line.expr), expr_width)}  {value(line):>{value_width}}")
        _row(console, lead, clean(line.note or ""), "dim", whole=True)


def _results(console: Console, results: Mapping[str, Result]) -> None:
    groups = shown.grouped(results)
    lines = [line for _, group in groups for line in group]
    name_width = min(_WIDEST_NAME, max(cell_len(line.name) for line in lines))
    value_width = max(len(line.text) for line in lines)
    for title, group in groups:
        _print(console, Text(f"  {title}", "dim"))
        said = ""
        for line in group:
            lead = Text(f"    {_pad(line.name, name_width)}  {line.text:>{value_width}}")
            if line.missing:
                _row(console, lead, line.note, "yellow", whole=True)
                continue
            family, _, _ = line.note.rpartition(", ")  # `…, p50` and `…, p99` need saying once
            _row(console, lead, "" if family and family == said else line.note, "dim", whole=False)
            said = family


def _trust(console: Console, record: RunRecord, verdict: Verdict) -> None:
    answer = trust(Facts(record), verdict)
    _heading(console, "Can this run be trusted?")
    for line in _wrap(console, answer.answer, console.width - 2):
        _print(console, Text(f"  {line}", "bold yellow" if answer.spoiled else ""))
    for reason in [*answer.spoiled, *answer.remarks]:
        _bullet(console, reason)
    width = min(_WIDEST_NAME, max((cell_len(clean(item.phase.name)) for item, _ in answer.phases), default=0))
    for item, remarks in answer.phases:
        lead = Text(f"    {_pad(clean(item.phase.name), width)}")
        _row(console, lead, ", ".join(_means(item)) + "; " + ("; ".join(remarks) or "as planned"), "dim", whole=True)


def _means(item: PhaseAudit) -> Iterator[str]:
    """The figures of a phase that matter most; the page has them all."""
    achieved = item.phase.achieved_per_s
    asked = item.phase.requested_per_s
    if achieved is not None:
        yield format_value(achieved, "per_second") + (
            "" if asked is None else f" of {format_value(asked, 'per_second')}"
        )
    if item.slip_p99_s is not None:
        yield f"late p99 {format_value(item.slip_p99_s, 'seconds')}"
    for what, cores in (("generator", item.generator_cores), ("API server", item.apiserver_cores)):
        if cores is not None:
            yield f"{what} {cores:.0%} of a CPU"
    for what, share in (("steal", item.steal), ("other programs", item.others)):
        if share is not None:
            yield f"{what} {share:.0%}"


def _text(result: Result | None) -> str:
    return shown.NONE if result is None else shown.value_text(result.value, result.unit)


def _key_columns(verdicts: Sequence[Verdict], room: int) -> dict[str, int]:
    """Results a summary shows and their widths: those of `_KEY_RESULTS` that any run has, while there is room."""
    valued = {name for each in verdicts for name, result in each.results.items() if result.value is not None}
    columns: dict[str, int] = {}
    for name in _matching(valued):
        first, _, rest = name.partition(".")
        width = max([len(first) + 1, len(rest), *(len(_text(each.results.get(name))) for each in verdicts)])
        room -= width + 2
        if room < 0:
            break
        columns[name] = width
    return columns


def _matching(names: set[str]) -> Iterator[str]:
    for wanted in _KEY_RESULTS:
        first, star, last = wanted.partition("*")
        yield from (n for n in sorted(names) if n == wanted or (star and n.startswith(first) and n.endswith(last)))


def _artefacts(directory: Path) -> list[tuple[str, str]]:
    found = [("record", _short(directory))]
    if (directory / "report.html").is_file():
        found.insert(0, ("report", _short(directory / "report.html")))
    if (directory / "oom.html").is_file():
        found.append(("oom page", _short(directory / "oom.html")))
    profiles = directory / "profiles"
    files = sorted(path for path in profiles.iterdir() if path.is_file()) if profiles.is_dir() else []
    pages = [path for path in files if path.suffix == ".html"][:_PAGES]
    found += [("profile", _short(path)) for path in pages]
    if len(files) > len(pages):
        found.append(("profiles", f"{_short(profiles)} ({len(files)} file{'s' if len(files) > 1 else ''})"))
    return found


def _short(path: Path) -> str:
    """The path from the working directory where it is below it, else the whole path."""
    here = Path.cwd()
    absolute = here / path
    return clean(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)
