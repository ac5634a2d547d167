"""Pages of experiments: what stands on them, what is drawn, and that no text of a run becomes code."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import plotly.graph_objects
import pytest
from typer.testing import CliRunner

from harness.cli import outputs
from harness.cli.main import command_line
from harness.core.errors import UsageError
from harness.record.experiments import ExperimentRecord
from harness.record.gate import Blamed, Difference, Gate, GateEnvironment, GatePair, PairValue, Primary
from harness.record.models import Experiment, ExperimentArm, ExperimentRun, VerdictName
from harness.report import experiment_page, pairs_chart
from tests import ci_gates, records, report_hostile

MIB = 2**20
NASTY = f"{report_hostile.SCRIPT}{report_hostile.LINK}{report_hostile.ESCAPE}"


def line(**facts: Any) -> Primary:
    """A heap that grew by 5 to 7 % in three pairs, the second of which came candidate first."""
    values = [PairValue(pair=n, baseline=100.0 * MIB, candidate=(100 + n) * MIB) for n in (5, 6, 7)]
    given: dict[str, Any] = {
        **ci_gates.primary(ci_gates.HEAP, "regress", 0.06).model_dump(), "values": values, "low": 0.04, "high": 0.08,
        "confidence": 0.98,
    }  # fmt: skip
    return Primary(**(given | facts))


def gate(**facts: Any) -> Gate:
    pairs = [
        GatePair(
            pair=n, seed=n, valid=True, runs={"baseline": f"run-b{n}", "candidate": f"run-c{n}"},
            order=["candidate", "baseline"] if n == 6 else ["baseline", "candidate"],
        )
        for n in (5, 6, 7)
    ]  # fmt: skip
    return ci_gates.gate("regress", [line()], pairs=pairs, **facts)


def saved(
    directory: Path, result: Gate | None, kind: str = "gate", runs: list[ExperimentRun] | None = None
) -> ExperimentRecord:
    record = ExperimentRecord(directory / "experiments" / "20261122-030000-xxxxx")
    record.save(
        Experiment.model_validate(
            {
                "experiment_id": record.path.name, "scenario": "smoke", "started_at": datetime(2026, 11, 22, tzinfo=UTC),
                "runs": runs or [], "exit_code": 1, "kind": kind,
            }
        )
    )  # fmt: skip
    if result is not None:
        record.save_gate(result)
    return record


def payload(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="payload">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    document: dict[str, Any] = json.loads(found[1])
    return document


def test_each_pair_is_a_dot_between_threshold_and_interval(tmp_path: Path) -> None:
    page = experiment_page.write(saved(tmp_path, gate())).read_text()
    figure = payload(page)["figures"]["pairs-1"]
    painted = json.loads(re.sub(r'"--\w+"', '"red"', json.dumps(figure)))
    plotly.graph_objects.Figure(data=painted["data"], layout=painted["layout"])  # raises for what Plotly does not know
    drawn = {trace["name"]: (trace["x"], trace["y"]) for trace in figure["data"]}
    assert drawn == {
        "baseline first": ([1, 3], [5.0, 7.0]), "candidate first": ([2], [6.0]), "mean with its interval": ([4.5], [6.0]),
    }  # fmt: skip
    mean = figure["data"][-1]["error_y"]
    assert (mean["arrayminus"], mean["array"]) == ([2.0], [2.0])
    bands = {
        (shape["fillcolor"], shape["y0"], shape["y1"])
        for shape in figure["layout"]["shapes"]
        if shape["type"] == "rect"
    }
    assert bands == {("--ok", -3.0, 3.0), ("--c1", 4.0, 8.0)}
    (border,) = [shape for shape in figure["layout"]["shapes"] if shape["line"].get("dash") == "dash"]
    assert (border["y0"], border["line"]["color"]) == (3.0, "--bad")
    assert figure["layout"]["xaxis"]["ticktext"] == ["5", "6", "7", "mean"]


def test_where_more_is_better_the_border_lies_below() -> None:
    (chart,) = pairs_chart.charts(ci_gates.gate("regress", [line(direction="higher")]))
    (border,) = [shape for shape in chart.layout["shapes"] if shape["line"].get("dash") == "dash"]
    assert border["y0"] == -3.0


@pytest.mark.parametrize(
    ("unit", "factor", "suffix", "drawn"), [("B", MIB, " MiB", 5.0), ("s", 0.001, " ms", 5.0), ("count", 1.0, "", 5.0)]
)
def test_differences_are_drawn_in_a_unit_of_their_size(unit: str, factor: float, suffix: str, drawn: float) -> None:
    values = [PairValue(pair=1, baseline=0.0, candidate=5.0 * factor)]
    absolute = line(
        scale="absolute", unit=unit, values=values, effect=5.0 * factor, low=None, high=None, threshold=factor
    )
    (chart,) = pairs_chart.charts(ci_gates.gate("regress", [absolute]))
    assert chart.layout["yaxis"].get("ticksuffix", "") == suffix
    assert chart.traces[0]["y"] == [drawn]
    assert "error_y" not in chart.traces[-1]


def test_runs_that_are_no_pairs_have_no_chart_and_the_page_says_why(tmp_path: Path) -> None:
    loose = line(
        values=[PairValue(pair=1, baseline=1.0, candidate=None), PairValue(pair=2, baseline=None, candidate=2.0)]
    )
    result = ci_gates.gate("regress", [loose], advisory=True, exit_code=3)
    page = experiment_page.write(saved(tmp_path, result)).read_text()
    assert payload(page)["figures"] == {}
    assert "The runs are not pairs" in page
    assert "advice only" in page


def test_runs_are_linked_where_they_have_a_page(tmp_path: Path) -> None:
    runs = [
        ExperimentRun(run_id=f"run-{arm[0]}{n}", arm=arm, order=n, verdict="passed", exit_code=0, pair=n)
        for n in (5, 6, 7) for arm in ("baseline", "candidate")
    ]  # fmt: skip
    for run in runs[:-1]:
        records.RecordBuilder(tmp_path / run.run_id, run_id=run.run_id).write()
    (tmp_path / "run-b5" / "report.html").write_text("x")
    page = experiment_page.write(saved(tmp_path, gate(), runs=runs)).read_text()
    assert re.findall(r'<a href="([^#"]*)"', _markup(page)) == ["../../run-b5/report.html"]
    assert "run-c7" in _markup(page)


def test_nothing_that_was_measured_becomes_code(tmp_path: Path) -> None:
    arm = ExperimentArm(spec=NASTY, kind="command", words=NASTY, command=NASTY)
    blame = Blamed(
        rank=1, kind="task", name=NASTY, unit="count", baseline=1, candidate=9, growth=8, pairs_grown=3, pairs=3,
        sentence=NASTY, callers=[NASTY],
    )  # fmt: skip
    where = GateEnvironment(
        fingerprints=[NASTY], machine=NASTY, versions={NASTY: NASTY}, cluster=NASTY,
        differences=[Difference(what=NASTY, baseline=NASTY, candidate=NASTY)],
    )  # fmt: skip
    result = gate(
        scenario=NASTY, reasons=[NASTY], warnings=[NASTY], baseline=arm, candidate=arm, blame=[blame], environment=where
    )
    result.pairs[0] = result.pairs[0].model_copy(
        update={"valid": False, "reasons": [NASTY], "runs": {"baseline": NASTY}}
    )
    result.primary[0] = line(sentence=NASTY, threshold_text=NASTY)
    page = experiment_page.write(saved(tmp_path, result)).read_text()
    _harmless(page)


def test_an_experiment_of_arms_shows_them_side_by_side(tmp_path: Path) -> None:
    runs = []
    arms: list[tuple[VerdictName, str]] = [("passed", "small"), ("failed", NASTY), ("passed", "gone")]
    for n, (word, arm) in enumerate(arms):
        run_id = f"20261122-09000{n}-aaaaa"
        runs.append(ExperimentRun(run_id=run_id, arm=arm, order=n, verdict=word, exit_code=0))
        if arm == "gone":
            continue
        record = records.RecordBuilder(tmp_path / run_id, run_id=run_id, arm=arm).write()
        results = {"memory.rss.peak": 64.0 * MIB, "latency.flip.p50": 1.0, "latency.flip.p99": 2.0 + n}
        record.save_verdict(records.verdict_of(record, results, word, 0, reasons=[f"it {word}", NASTY]))
    (tmp_path / runs[0].run_id / "report.html").write_text("x")
    page = experiment_page.write(saved(tmp_path, None, kind="arms", runs=runs)).read_text()
    heads = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', page)
    assert heads == ["arm", "verdict", "run", "memory.rss.peak", "latency.flip.p99", ""]
    assert re.findall(r'<a href="([^"]*)"', page) == ["../../20261122-090000-aaaaa/report.html"]
    assert "64.0 MiB" in page
    assert "its record is not here" in page
    assert "it failed" in page
    assert "it passed" not in page  # only what is not good needs a reason
    assert "<script" not in page
    _harmless(page)


def _markup(page: str) -> str:
    """The page without its scripts, ours and Plotly's."""
    return re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


def _harmless(page: str) -> None:
    assert "<img" not in _markup(page)
    assert 'href="javascript:' not in _markup(page)
    assert "onmouseover='" not in _markup(page)
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "window.pwned=1</script>" not in _markup(page)


def test_harness_report_writes_the_page_of_an_experiment_and_what_ci_reads(tmp_path: Path) -> None:
    record = saved(tmp_path, gate())
    call = CliRunner().invoke
    done = call(command_line(("report",)), ["report", str(record.path), "--junit", str(tmp_path / "x.xml")])
    assert (done.exit_code, done.stdout.strip()) == (0, str(record.path / "report.html"))
    assert (record.path / "report.html").is_file()
    assert (tmp_path / "x.xml").is_file()
    other = call(
        command_line(("report",)), ["report", record.path.name, "--out", str(tmp_path), "-o", str(tmp_path / "p.html")]
    )
    assert (other.exit_code, (tmp_path / "p.html").is_file()) == (0, True)
    refused = call(command_line(("report",)), ["report", str(record.path), "--recompute"])
    assert isinstance(refused.exception, UsageError)
    assert "--recompute is about one run" in str(refused.exception)


def test_a_page_that_cannot_be_written_costs_a_warning_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = saved(tmp_path, gate())
    (record.path / "report.html").mkdir()
    assert outputs.write_page(record) is None
    assert "warning: " in capsys.readouterr().err
