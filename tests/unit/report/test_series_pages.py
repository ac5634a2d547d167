"""Pages and terminal of capacity and sweep: whole, safe with hostile names, and drawn by figures that Plotly takes."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime
from typing import Any

import plotly.graph_objects
import pytest
from rich.console import Console

from harness.analysis import capacity as analysis
from harness.analysis import sweep as sweep_analysis
from harness.analysis.capacity import Measured
from harness.record.capacity import Capacity, LadderRun, Trial
from harness.record.sweep import Sweep, SweepRun
from harness.report import capacity_page, capacity_terminal, sweep_page, sweep_terminal
from tests import report_hostile
from tests.records import MIB, STARTED

KIB = 2**10


def _capacity(scenario: str = "s", kind: str = "Secret", reason: str = "") -> Capacity:
    measured = Measured("e", scenario, None, "n", kind, STARTED, 128 * MIB, 9000, 2**30, "m", trial_limit=128 * MIB)
    for number, count in enumerate((1000, 2000, 3000, 4000, 5000, 6000, 7000)):
        peak = 45 * MIB + 12 * KIB * count + (number % 3) * 30 * KIB
        measured.ladder.append(
            LadderRun(
                run_id="r", count=count, valid=True, bytes_per_object=5000, idle=45 * MIB, growth_peak=peak,
                growth_settled=peak - MIB, cold_peak=peak * 1.1, cold_settled=peak,
            )
        )  # fmt: skip
    measured.ladder.append(LadderRun(run_id="r", count=1, valid=False, reason=reason or "broken"))
    measured.trials["growth"] = [
        Trial(
            run_id="r",
            count=count,
            outcome="killed" if count > 7080 else "survived",
            reason=reason or None,
            peak=128 * MIB,
        )
        for count in (6500, 6900, 7050, 7100, 7300)
    ]
    measured.untried["cold"] = reason or "no"
    return analysis.conclude(measured, datetime(2026, 11, 22, tzinfo=UTC))


def _sweep(scenario: str = "s", parameter: str = "workers", reason: str = "") -> Sweep:
    runs = [
        SweepRun(
            run_id="r", values={parameter: value, "patch": patch}, valid=True,
            figures={"throughput": 5.0 * min(float(value), 20), "memory.rss.peak": 60 * MIB + 1000 * float(value),
                     "tasks.peak": float(value) + repeat, "writes.conflict": 1.0, "queue.depth.max": 7.0},
        )
        for value in ("1", "5", "20", "100") for patch in ("always", "changed") for repeat in (1, 2)
    ]  # fmt: skip
    runs.append(
        SweepRun(run_id="r", values={parameter: "1", "patch": "always"}, valid=False, reason=reason or "broken")
    )
    made = Sweep(
        experiment_id="e", scenario=scenario, started_at=STARTED, machine="m",
        vary={parameter: ["1", "5", "20", "100"], "patch": ["always", "changed"]}, repeats=2, by="throughput", unit="1/s",
        runs=runs, cells=[], knees=[], exit_code=3,
    )  # fmt: skip
    return sweep_analysis.conclude(made)


def _payload(page: str) -> dict[str, Any]:
    found = re.search(r'id="payload">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def _text(render: Any, result: Any) -> str:
    console = Console(file=io.StringIO(), width=140, highlight=False)
    render(result, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("page", [capacity_page.render(_capacity()), sweep_page.render(_sweep())])
def test_plotly_takes_every_figure(page: str) -> None:
    figures = _payload(page)["figures"]
    assert len(figures) >= 2
    for figure in figures.values():
        traces = [{k: v for k, v in trace.items() if k not in ("marker", "line")} for trace in figure["data"]]
        plotly.graph_objects.Figure(data=traces, layout=figure["layout"])  # raises for what Plotly does not know
    for id_ in figures:
        assert f'id="chart-{id_}"' in page


def test_nothing_of_a_name_becomes_code_on_a_page() -> None:
    hostile = report_hostile.SCRIPT + report_hostile.LINK + report_hostile.ESCAPE
    for page in (
        capacity_page.render(_capacity(hostile, hostile, hostile)),
        sweep_page.render(_sweep(hostile, hostile, hostile)),
    ):
        assert page.count("<script") == page.count("</script") == 3
        for forbidden in ("<img", "<a href", "\x1b", "\u202e", "<b on"):
            assert forbidden not in page.split('<script type="application/json"')[0]
        assert "default-src &#39;none&#39;" in page


def test_nothing_of_a_name_steers_a_terminal() -> None:
    hostile = report_hostile.SCRIPT + report_hostile.ESCAPE
    for text in (
        _text(capacity_terminal.render, _capacity(hostile, hostile, hostile)),
        _text(sweep_terminal.render, _sweep(hostile, hostile, hostile)),
    ):
        assert "\x1b]" not in text
        assert "\u202e" not in text


def test_the_terminal_tells_the_sentence_and_the_figures() -> None:
    text = _text(capacity_terminal.render, _capacity())
    assert re.search(r"at 128 MiB it dies at 7,0\d\d ± \d+ Secrets and keeps 6,\d{3} ", text)
    assert "DOES NOT FIT" in text
    assert re.search(r"for 9,000 give it 15\d MiB \(cold start 16\d MiB\)", text)
    assert "each Secret takes 12.0 KiB" in text
    assert "amplification 2.46x" in text
    assert "is not used: broken" in text
    swept = _text(sweep_terminal.render, _sweep())
    assert "choose workers=20 patch=always" in swept
    assert re.search(r"\*\s+20\s+always", swept)


def test_a_result_without_any_run_has_a_page_too() -> None:
    measured = Measured("e", "s", None, "n", "Secret", STARTED, 128 * MIB, None, 2**30, interrupted=True)
    page = capacity_page.render(analysis.conclude(measured, STARTED))
    assert "No run of the ladder is a measurement." in page
    assert "interrupted after 0 runs" in page
