"""Benchmark `overhead`: what the harness's own witnesses cost in an ordinary run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.core.handles import Progress
from harness.record.reader import RunRecord
from tests.bench.rounds import Rounds
from tests.bench.sheet import Sheet
from tests.running import harness_run

PER_EVENT = "CPU per watched event"
FIRST = "first request after the cluster is ready: the harness's own part"
ARGUMENTS = ("secrets-8k", "--profile", "quick")
_TIMEOUT_S = 180.0

_WATCHED = (
    "SELECT sum(most) FROM (SELECT max(value) AS most FROM samples WHERE metric = 'watch.events' GROUP BY labels)"
)
_SPAN = "SELECT (max(t_ns) - min(t_ns)) / 1e9 FROM samples WHERE metric = 'overhead.cpu'"
_FIRST = "SELECT min(sent_ns) FROM requests"
_LAG = "SELECT max(value) FROM samples WHERE metric = 'overhead.loop_lag'"


class OverheadBenchmark:
    """Runs a shipped scenario as a user does, and reads from its record what the harness took for itself."""

    name = "overhead"
    title = "the harness's own cost in a run"
    method = (
        f"harness run {' '.join(ARGUMENTS)} --json: overhead.cpu and overhead.rss of its record (harness, supervisors and "
        "injected agent; without load generator, subject and control plane), from the first collector to the last; and how long "
        "after the cluster was ready the first request went out: attaching the witnesses and starting the load generator, beside "
        "the subject's own start and the 2 s over which idle is measured"
    )
    rounds = 4
    share = 0.14
    headline = PER_EVENT

    def __init__(self, arguments: Sequence[str] = ARGUMENTS) -> None:
        """`arguments`: which run."""
        self._arguments = arguments

    async def run(self, rounds: Rounds, directory: Path, progress: Progress, sheet: Sheet) -> None:
        """See `Benchmark`."""
        for number in rounds:
            progress.step(f"overhead: round {number} of {rounds.wanted}")
            log = directory / f"round-{number}.log"
            shown = await harness_run(self._arguments, runs=directory / "runs", log=log, timeout_s=_TIMEOUT_S)
            wrong = problem(shown)
            if wrong is not None:
                sheet.problem(f"round {number}: {wrong}")
                continue
            _write(sheet, shown, RunRecord(Path(shown["path"])))


def problem(shown: Mapping[str, Any]) -> str | None:
    """Why a run (`harness.show/v1`) does not count; None where it passed and its overhead was witnessed."""
    if shown["verdict"] != "passed":
        return f"run {shown['run_id']} ended {shown['verdict']}: {'; '.join(shown['reasons']) or 'no reason given'}"
    for name in ("overhead.cpu", "overhead.rss"):
        if shown["results"][name]["value"] is None:
            return f"run {shown['run_id']}: {name}: {shown['results'][name].get('reason')}"
    return None


def _write(sheet: Sheet, shown: Mapping[str, Any], record: RunRecord) -> None:
    events, span_s, lag_s = (float(record.sql(query)[0][0]) for query in (_WATCHED, _SPAN, _LAG))
    cpu_s = shown["results"]["overhead.cpu"]["value"]
    start, idle = record.run.phase("start"), record.run.phase("idle")
    if start is None or start.ended_ns is None or idle is None or idle.ended_ns is None:
        sheet.problem(f"run {shown['run_id']}: it has no phase start or idle")
        return
    whole_s = (float(record.sql(_FIRST)[0][0]) - start.started_ns) / 1e9
    subject_s, idle_s = ((each.ended_ns or 0) - each.started_ns for each in (start, idle))
    sheet.add(FIRST, "seconds", whole_s - subject_s / 1e9 - idle_s / 1e9)
    sheet.add("with the subject's start and the idle window", "seconds", whole_s)
    sheet.add(PER_EVENT, "seconds", cpu_s / events)
    sheet.add("watched events", "count", events)
    sheet.add("CPU of the run", "seconds", cpu_s)
    sheet.add("share of one CPU", "ratio", cpu_s / span_s)
    sheet.add("peak RSS", "bytes", shown["results"]["overhead.rss"]["value"])
    sheet.add("event-loop lag, worst", "seconds", lag_s)
