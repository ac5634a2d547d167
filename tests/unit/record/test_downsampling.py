"""The rule by which the samples of a long run become fewer."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli.main import command_line
from harness.core.errors import UsageError
from harness.record.downsampling import INTERVALS_S, downsample, interval_s
from harness.record.models import Run
from harness.record.reader import RunRecord
from harness.report import run_page
from tests.records import RecordBuilder, passing

_HOUR = 3600


def _record(directory: Path) -> RunRecord:
    record = RecordBuilder(directory)
    record.phase("idle", "idle", 0, 5)
    record.phase("create-Secret", "create", 5, _HOUR, kind="Secret", requested=1, done=1, failed=0)
    record.phase("settled", "settled", _HOUR, _HOUR + 2)
    wave = [(t, 100 + 10 * math.sin(t) + (900 if t == 1234 else 0)) for t in range(_HOUR + 2)]
    record.samples("memory", "memory.rss", wave)
    record.samples("memory", "cpu.seconds", [(t, 2.0 * t) for t in range(_HOUR + 2)])
    record.samples("tasks", "loop.lag", [(t, math.nan if t % 2 else math.inf) for t in range(10, 200)])
    return record.write()


def _thinned(record: RunRecord, most: int) -> tuple[RunRecord, bool]:
    run = record.run.model_copy(deep=True)

    def save(run: Run) -> None:
        (record.path / "run.json").write_text(run.model_dump_json(by_alias=True))

    return RunRecord(record.path), downsample(record.path, run, save, most=most)


def test_first_lowest_highest_and_last_of_each_interval_stay(tmp_path: Path) -> None:
    record = _record(tmp_path / "run")
    before = record.sql("SELECT t_ns, metric, value FROM samples")
    thin, done = _thinned(record, 2000)
    assert done
    fewer = thin.run.downsampled
    assert fewer is not None
    after = thin.sql("SELECT t_ns, metric, value FROM samples")
    assert fewer.samples_before == len(before) == 2 * (_HOUR + 2) + 95
    assert fewer.samples_after == len(after) <= 2000
    assert set(after) <= set(before)  # as they were taken
    width = fewer.interval_s * 1_000_000_000
    load = [(t, v) for t, m, v in before if m == "memory.rss" and 5e9 <= t < _HOUR * 1e9]
    left = {(t, v) for t, m, v in after if m == "memory.rss"}
    for cell in {t // width for t, _ in load}:
        inside = [(t, v) for t, v in load if t // width == cell]
        wanted = {
            inside[0],
            inside[-1],
            min(inside, key=lambda point: point[1]),
            max(inside, key=lambda point: point[1]),
        }
        assert wanted == {(t, v) for t, v in left if t // width == cell and 5e9 <= t < _HOUR * 1e9}
    assert max(v for _, v in left) > 900  # a peak of one sample


def test_phases_that_results_are_averages_of_keep_all(tmp_path: Path) -> None:
    thin, _ = _thinned(_record(tmp_path / "run"), 100)
    query = "SELECT phase, count(*) FROM samples WHERE metric = 'memory.rss' AND phase != 'create-Secret' GROUP BY 1"
    assert sorted(thin.sql(query)) == [("idle", 5), ("settled", 2)]


def test_a_run_of_ordinary_length_stays_as_it_is(tmp_path: Path) -> None:
    record = _record(tmp_path / "run")
    files = sorted(path.name for path in (record.path / "samples").iterdir())
    thin, done = _thinned(record, 10_000)
    assert not done
    assert thin.run.downsampled is None
    assert sorted(path.name for path in (record.path / "samples").iterdir()) == files


def test_again_is_no_change(tmp_path: Path) -> None:
    record, _ = _thinned(_record(tmp_path / "run"), 2000)
    rows = record.sql("SELECT count(*) FROM samples")
    again, done = _thinned(record, 2000)
    assert not done
    assert again.sql("SELECT count(*) FROM samples") == rows


@pytest.mark.parametrize(
    ("series", "seconds", "most", "interval"),
    [(1400, 3600, 1_000_000, 30), (60, 3600, 1_000_000, 1), (1400, 86400, 1_000_000, 600), (10**6, 86400, 10, 3600)],
)
def test_the_interval_is_the_shortest_that_cannot_leave_more(
    series: int, seconds: int, most: int, interval: int
) -> None:
    assert interval_s(series, seconds, most) == interval
    assert 4 * series * seconds / interval <= most or interval == INTERVALS_S[-1]


def test_results_stay_those_of_all_samples_and_a_page_can_be_made_again(tmp_path: Path) -> None:
    record, verdict = passing(tmp_path / "run")
    fewer = {"interval_s": 30, "samples_before": 5_000_000, "samples_after": 400_000}
    path = record.path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"downsampled": fewer}))
    app = command_line(["report"])
    refused = CliRunner().invoke(app, ["report", str(record.path), "--recompute"])
    assert isinstance(refused.exception, UsageError)
    assert "4,600,000 of its 5,000,000 samples are gone" in str(refused.exception)
    assert CliRunner().invoke(app, ["report", str(record.path)]).exit_code == 0
    assert "30 s" in run_page.render(RunRecord(record.path), verdict, tmp_path / "page.html")
