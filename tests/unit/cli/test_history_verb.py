"""`harness history` as a user meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from harness.record import schemas
from harness.record.experiments import ExperimentRecord
from harness.record.history import History
from harness.record.models import Experiment, ExperimentRun
from tests import ci_gates, records
from tests.histories import METRIC, entry


def _harness(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {
        name: value for name, value in os.environ.items() if name not in ("HARNESS_HISTORY", "HARNESS_RUNS", "COLUMNS")
    }
    return subprocess.run(
        [sys.executable, "-m", "harness.cli.main", "history", *arguments],
        capture_output=True, text=True, timeout=120, cwd=cwd, env=env,
    )  # fmt: skip


@pytest.fixture
def stepped(tmp_path: Path) -> Path:
    History(tmp_path / "history").add(
        [entry(n, (100.0 if n < 10 else 120.0) * 2**20 + n % 3, scenario="it's\x1b[31m<b>") for n in range(20)]
    )
    return tmp_path


def test_a_metric_is_a_curve_a_table_and_its_changes(stepped: Path) -> None:
    done = _harness(METRIC, "--limit", "4", cwd=stepped)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "▁" in done.stdout
    assert "█" in done.stdout
    assert "worse at 0000000000 (2026-11-11, after 0000000000): 100.0 MiB -> 120.0 MiB (+20.0%)" in done.stdout
    assert "advisory" in done.stdout
    assert len([line for line in done.stdout.splitlines() if "1 passed" in line]) == 4


def test_json_keeps_its_schema_and_what_is_there_is_listed(stepped: Path) -> None:
    document = json.loads(_harness(METRIC, "--json", "--since", "2026-11-03", cwd=stepped).stdout)
    jsonschema.validate(document, json.loads((schemas.DIRECTORY / "history.v1.json").read_text()))
    (series,) = document["series"]
    assert len(series["points"]) == 18
    assert [change["judged"] for change in series["changes"]] == ["worse"]
    overview = _harness(cwd=stepped)
    assert overview.returncode == 0, overview.stderr
    assert "20 passed" in overview.stdout
    assert _harness("--metrics", cwd=stepped).stdout.split() == ["20", METRIC]


def test_records_are_imported_once_and_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    records.passing(tmp_path / "runs" / records.RUN_ID)
    records.oom_killed(tmp_path / "runs" / "20261122-093102-m5w2z")
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "run.json").write_text("{")
    done = _harness("import", "runs", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 added" in done.stdout
    assert done.stderr.count("warning: left out") == 1
    again = _harness("import", "runs", "k4x7q", cwd=tmp_path)
    assert "0 of 3 added" in again.stdout
    exported = _harness("export", "all.parquet", cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    merged = _harness("merge", "all.parquet", "--history", "other", cwd=tmp_path)
    assert "2 from all.parquet added to other" in merged.stdout


def test_a_gate_is_one_entry_and_the_runs_of_its_pairs_are_in_it(tmp_path: Path) -> None:
    record, _ = records.passing(tmp_path / "runs" / records.RUN_ID)
    records.oom_killed(tmp_path / "runs" / "20261122-093102-m5w2z")
    gate = ci_gates.gate().model_copy(update={"blame": []})  # whose text is no UTF-8: no file can hold it
    run = ExperimentRun(run_id=record.run.run_id, arm="baseline", order=0, verdict="passed", exit_code=0, pair=1)
    experiment = ExperimentRecord(tmp_path / "experiments" / gate.experiment_id)
    experiment.save(
        Experiment(
            experiment_id=gate.experiment_id, scenario="smoke", started_at=gate.started_at, runs=[run], exit_code=1, kind="gate",
        )
    )  # fmt: skip
    experiment.save_gate(gate)
    done = _harness("import", ".", cwd=tmp_path)
    assert "2 of 2 added" in done.stdout, done.stderr
    kinds = {found.kind: found for found in History(tmp_path / "history").entries(ci_gates.HEAP)}
    assert (kinds["gate"].verdict, kinds["gate"].results[ci_gates.HEAP].value) == ("regress", 0.05)
    assert "20261122-093102-m5w2z" in {found.id for found in History(tmp_path / "history").entries()}
    assert "gate · smoke" in _harness(ci_gates.HEAP, cwd=tmp_path).stdout


def test_the_page_shows_series_and_changes_and_keeps_hostile_names_text(stepped: Path) -> None:
    done = _harness(METRIC, "--html", "page.html", cwd=stepped)
    assert done.returncode == 0, done.stderr
    page = (stepped / "page.html").read_text()
    assert "<b>" not in page.rpartition('<script type="application/json"')[0].rpartition("</style>")[2]
    payload = json.loads(page.partition('id="payload">')[2].partition("</script>")[0])
    (figure,) = payload["figures"].values()
    dots, before, after = figure["data"]
    assert len(dots["x"]) == 20
    assert (before["y"][0], after["y"][0]) == (100.0, 120.0)
    assert before["x"][1] == after["x"][0] == 9.5
    assert "worse at" in page


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("memory.rss.peek",), "did you mean"),
        ((METRIC, "--since", "yesterday"), "neither a time span nor a date"),
        (("--html", "x.html"), "needs a METRIC"),
        (("import", "nowhere"), "no run 'nowhere'"),
        (("import", "."), "holds no run records"),
        (("export", "all.xlsx"), "none of the endings"),
        (("merge", "nowhere"), "not another history"),
    ],
)
def test_wrong_usage_exits_2_in_one_line(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    done = _harness(*arguments, cwd=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert says in done.stderr


def test_an_empty_history_is_no_error(tmp_path: Path) -> None:
    done = _harness(METRIC, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"nothing of {METRIC}" in done.stdout
