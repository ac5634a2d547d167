"""The pages of runs and experiments, made from their records as `harness report` makes them, with links of this site."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from harness.analysis.verdict import stored_or_judged
from harness.core.errors import HarnessError, UsageError
from harness.record.capacity import Capacity
from harness.record.claims import Claims
from harness.record.experiments import ExperimentRecord
from harness.record.reader import RunRecord, parse_model
from harness.record.sweep import Sweep
from harness.report import capacity_page, claims_page, experiment_page, run_page, sweep_page
from harness.web import pages
from harness.web.library import CLAIMS_FILE, Library, Stamp, is_name, stamp_of

_MADE_FROM_RUN = (
    "run.json",
    "verdict.json",
    "events.jsonl",
    "profiles",
    "oom.html",
    "samples",
    "requests",
    "propagation",
)
_MADE_FROM_EXPERIMENT = ("experiment.json", "gate.json", "selftest.json", "capacity.json", "sweep.json", CLAIMS_FILE)


def run_stamp(folder: Path) -> Stamp:
    """Another one where the page of a run would be another."""
    return stamp_of(*(folder / name for name in _MADE_FROM_RUN))


def experiment_stamp(folder: Path, library: Library) -> Stamp:
    """The same of an experiment; runs that come or go change its links."""
    return stamp_of(*(folder / name for name in _MADE_FROM_EXPERIMENT), library.root)


def run_page_of(folder: Path, experiment_id: str | None) -> str:
    """The report of a run; one without a verdict is judged, and nothing is stored. Raises UsageError where that fails."""
    record = RunRecord.open(folder)
    links = {"← Runs": "/", "Compare with …": f"/compare?a={quote(folder.name, safe='')}"}
    if experiment_id:
        links["Experiment"] = pages.experiment_address(experiment_id)
    if (folder / "leak.html").is_file():
        links["What stays over cycles"] = "leak.html"
    try:
        page = run_page.render(record, stored_or_judged(record), folder / "report.html")
    except HarnessError:
        raise
    except Exception as error:  # a record that others wrote, or an older version, may hold anything
        raise UsageError(f"the report cannot be made: {type(error).__name__}: {error}", place=folder.name) from error
    return pages.with_bar(page, links)


def experiment_page_of(folder: Path, library: Library) -> str:
    """The page of an experiment. Raises UsageError where its files or those of its runs cannot be read."""
    bar = {"← Experiments": "/experiments/", "Runs": "/"}
    try:
        return pages.with_bar(_experiment(folder, library), bar)
    except HarnessError:
        raise
    except Exception as error:
        raise UsageError(f"the page cannot be made: {type(error).__name__}: {error}", place=folder.name) from error


def _experiment(folder: Path, library: Library) -> str:
    if (folder / CLAIMS_FILE).is_file():
        return claims_page.render(parse_model(folder / CLAIMS_FILE, Claims))
    if (folder / "capacity.json").is_file():
        return capacity_page.render(parse_model(folder / "capacity.json", Capacity))
    if (folder / "sweep.json").is_file():
        return sweep_page.render(parse_model(folder / "sweep.json", Sweep))
    record = ExperimentRecord(folder)
    if odd := [item.run_id for item in record.experiment.runs if not is_name(item.run_id)]:
        raise UsageError(f"{odd[0]!r} is no run's id", place=f"{folder.name}/experiment.json", remedy="was it edited?")
    there = {row.id for row in library.runs()}
    links = {item.run_id: pages.run_address(item.run_id) for item in record.experiment.runs if item.run_id in there}
    return experiment_page.render(record, folder / experiment_page.PAGE, links)
