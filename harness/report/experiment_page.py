"""The page of an experiment, `report.html` in its folder: of a gate all it says, of any other its runs side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from harness.analysis.verdict import stored_or_judged
from harness.core.errors import UsageError
from harness.record.experiments import ExperimentRecord
from harness.record.models import ExperimentRun, Result, Verdict
from harness.record.reader import RunRecord
from harness.record.selftest import SelfTest
from harness.report import gate_page, html
from harness.report.gate_terminal import effect_text, interval_text
from harness.report.results import NONE, clean, value_text
from harness.report.tables import Table

PAGE = "report.html"
_SHOWN = (
    "memory.rss.peak", "memory.heap.settled", "oom.kills", "latency.", "writes.total", "writes.noop", "tasks.settled",
    "load.achieved_per_s",
)  # fmt: skip
"""Results that stand beside each run; of latencies the p99."""
_MOST = 8
_GOOD = "passed"


def write(record: ExperimentRecord, path: Path | None = None) -> Path:
    """Write the page into the experiment or to `path`. Raises EnvironmentFault where it cannot be written."""
    target = path or record.path / PAGE
    return html.save(target, lambda: render(record, target))


def render(record: ExperimentRecord, path: Path, links: Mapping[str, str] | None = None) -> str:
    """The page as text. `path` is where it will lie: links to the runs' pages are relative to it.

    `links` are addresses of the runs' pages by run id, where they are somewhere else.
    """
    gate = record.gate
    links = _links(record, path) if links is None else links
    if gate is not None:
        return gate_page.render(gate, links)
    facts = record.experiment
    runs = [(item, _opened(record, item)) for item in facts.runs]
    found = [(item, None if run is None else stored_or_judged(run)) for item, run in runs]
    columns = _columns([verdict for _, verdict in found if verdict is not None])
    self_test = record.self_test
    return html.plain(
        "experiment.html.j2",
        facts=facts,
        state="interrupted" if record.interrupted else facts.state,
        title=f"{clean(facts.scenario)} · {'arms' if facts.kind == 'arms' else facts.kind}",
        message=clean(facts.message or ""),
        arms=[(clean(name), clean(arm.words)) for name, arm in facts.arms.items()],
        columns=columns,
        rows=[_row(item, verdict, links, columns) for item, verdict in found],
        self_test=self_test,
        tables=[] if self_test is None else [_rates(self_test), _effects(self_test)],
        clean=clean,
    )


def _links(record: ExperimentRecord, path: Path) -> dict[str, str]:
    """Pages of the runs, as addresses relative to the page; a run may have none, or not be here."""
    found = {}
    for item in record.experiment.runs:
        run = _opened(record, item)
        if run is not None and (run.path / PAGE).is_file():
            found[item.run_id] = quote(os.path.relpath((run.path / PAGE).absolute(), path.absolute().parent))
    return found


def _opened(record: ExperimentRecord, item: ExperimentRun) -> RunRecord | None:
    try:
        return record.run(item.run_id)
    except UsageError:  # copied without it
        return None


def _row(
    item: ExperimentRun,
    verdict: Verdict | None,
    links: Mapping[str, str],
    columns: Sequence[str],
) -> dict[str, object]:
    results: Mapping[str, Result] = {} if verdict is None else verdict.results
    values = [results.get(name) for name in columns]
    return {
        "arm": clean(item.arm or NONE), "pair": "" if item.pair is None else str(item.pair), "verdict": item.verdict,
        "run": clean(item.run_id), "href": links.get(item.run_id, ""),
        "values": [NONE if value is None else value_text(value.value, value.unit) for value in values],
        "why": _why(item, verdict),
    }  # fmt: skip


def _why(item: ExperimentRun, verdict: Verdict | None) -> str:
    if verdict is None:
        return "its record is not here"
    return "" if item.verdict == _GOOD else "; ".join(map(clean, verdict.reasons[:2]))


def _columns(verdicts: Sequence[Verdict]) -> list[str]:
    """Results that any run has a value of."""
    known = {name: None for verdict in verdicts for name, result in verdict.results.items() if result.value is not None}
    found = [
        name
        for first in _SHOWN
        for name in known
        if name == first or (first.endswith(".") and name.startswith(first) and name.endswith(".p99"))
    ]
    return found[:_MOST]


def _rates(result: SelfTest) -> Table:
    rows = [
        [
            clean(each.words), "ok" if each.ok else "FAILED", str(each.pairs), rate.metric, rate.threshold,
            f"{rate.share:.1%}", f"{rate.low:.1%} … {rate.high:.1%}", f"{rate.experiments:.3g}", str(rate.drawn),
            each.verdicts.get(f"{rate.metric} {rate.threshold}", NONE),
        ]
        for each in result.conditions
        for rate in each.rates
    ]  # fmt: skip
    headers = [
        "condition", "", "valid pairs", "metric", "too much", "alarms", "95 % interval", "experiments", "drawn", "first gate",
    ]  # fmt: skip
    return Table(
        f"Alarms in gates of {result.pairs_per_gate} pairs, one primary metric each", headers, rows, (2, 5, 6, 7, 8)
    )


def _effects(result: SelfTest) -> Table:
    rows = [
        [
            clean(each.words), line.metric, effect_text(line, line.effect), interval_text(line),
            effect_text(line, line.noise).lstrip("+"),
        ]
        for each in result.conditions
        for line in each.effects
    ]  # fmt: skip
    headers = ["condition", "metric", "effect", "interval", "noise of a pair"]
    return Table("What was measured, over all pairs", headers, rows, (2, 3, 4))
