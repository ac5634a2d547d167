"""Which memory profiles a run, an arm or a folder holds. Names files; reads none of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.core import paths, stacks
from harness.core.errors import UsageError
from harness.record.models import Experiment
from harness.record.reader import RunRecord, parse_model

HEAP = "heap_profile"
"""The event of a heap profile of a Go subject."""
_HEAPS = ("heap-*.pprof", "heap-*.pb.gz")
_ANY = (f"*{stacks.SUFFIX}", "*.bin", "*.pprof", "*.pb.gz")


def find(name: str, runs_dir: Path | None = None) -> list[Path]:
    """Files that `name` stands for: a file; a folder of profiles; a run; `EXPERIMENT:ARM`, all runs of an arm.

    A run counts as one capture: its last one. Raises UsageError where there is none.
    """
    path = Path(name)
    if path.is_file():
        return [path]
    if path.is_dir() and not (path / "run.json").is_file():
        return _folder(path)
    root = runs_dir or paths.runs_dir()
    experiment, colon, arm = name.rpartition(":")
    if colon and (found := paths.experiments_dir(root) / experiment / "experiment.json").is_file():
        runs = [run for run in parse_model(found, Experiment).runs if run.arm == arm]
        if not runs:
            raise UsageError(f"experiment {experiment} has no runs of arm {arm!r}")
        return [of_run(RunRecord.open(root / run.run_id)) for run in runs]
    return [of_run(RunRecord.open(name, runs_dir))]


def of_run(record: RunRecord) -> Path:
    """The memory profile of a run: its stacks, else its last heap profile. Raises UsageError where it has none."""
    kept = kept_stacks(record)
    if kept is not None:
        return kept
    directory = record.path / "profiles"
    for patterns in (("memray-*.bin",), _HEAPS):
        found = [path for pattern in patterns for path in directory.glob(pattern)]
        if found:
            return max(found, key=lambda path: path.stat().st_mtime_ns)
    raise UsageError(
        "the run kept no memory profile",
        place=record.path.name,
        remedy="run it with --memray launch or --memray attach",
    )


def kept_stacks(record: RunRecord) -> Path | None:
    """The stacks that memray left in a record, else those of a Go heap at its end; None where there are none."""
    return _inside(record, [event for event in record.events("memray") if event.get("stacks")]) or heap_stacks(
        record, "end"
    )


def heap_stacks(record: RunRecord, when: str) -> Path | None:
    """The stacks of the heap profile of a Go subject that was taken then; None where there are none."""
    return _inside(record, [event for event in record.events(HEAP) if event.get("when") == when])


def _inside(record: RunRecord, events: Sequence[Mapping[str, Any]]) -> Path | None:
    directory = (record.path / "profiles").resolve()
    named = [record.path / str(event["stacks"]) for event in events]
    # a record comes from anywhere: its events may not lead out of it
    inside = [path for path in named if path.resolve().is_relative_to(directory) and path.is_file()]
    return inside[-1] if inside else None


def _folder(directory: Path) -> list[Path]:
    """Every profile of a folder, of the first kind of file that it has: stacks are made from captures, and stand for them."""
    for place in (directory, directory / "profiles"):
        for pattern in _ANY:
            found = sorted(place.glob(pattern))
            if found:
                return found
    raise UsageError("has no memory profiles in it", place=str(directory), remedy=f"known are {', '.join(_ANY)}")
