"""Entries become series that compare, in the order of their commits."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from harness.analysis.history import by_commit, document
from harness.record.history import Entry, History
from harness.record.history_models import HistoryDocument
from tests.histories import BEGAN, METRIC, entry


def _document(tmp_path: Path, entries: list[Entry], metric: str | None = METRIC) -> HistoryDocument:
    history = History(tmp_path / "history")
    history.add(entries)
    return document(history, metric)


def _stepped(**facts: object) -> list[Entry]:
    return [entry(n, (100.0 if n < 10 else 120.0) + n % 3, **facts) for n in range(20)]


def test_a_change_names_its_commits_its_size_and_what_else_changed(tmp_path: Path) -> None:
    entries = _stepped()
    entries[10:] = [entry(n, 120.0 + n % 3, harness="0.2.0", dirty=n == 10, load_sha256="l2") for n in range(10, 20)]
    (series,) = _document(tmp_path, entries).series
    (change,) = series.changes
    assert (change.commit, change.commit_before) == (entries[10].commit, entries[9].commit)
    assert (change.before, change.after, change.runs_before, change.runs_after) == (101.0, 121.0, 10, 10)
    assert change.relative is not None
    assert abs(change.relative - 20 / 101) < 1e-9
    assert change.judged == "worse"
    assert change.also == [
        "the scenario's load or settings", "the harness (0.1.0 to 0.2.0)", "the working tree had changes on top of its commit",
    ]  # fmt: skip


def test_machines_arms_settings_subjects_and_profilers_are_never_compared(tmp_path: Path) -> None:
    for key in ("machine", "arm", "profile", "sets", "subject", "cluster", "profilers", "scenario"):
        entries = _stepped()
        entries[10:] = [entry(n, 120.0, **{key: '{"x": "1"}'}) for n in range(10, 20)]
        found = _document(tmp_path / key, entries)
        assert [len(series.points) for series in found.series] == [10, 10], key
        assert not any(series.changes for series in found.series), key


def test_runs_that_say_nothing_are_shown_and_do_not_count(tmp_path: Path) -> None:
    entries = [entry(n, 100.0 + n % 3) for n in range(10)]
    entries += [entry(n, 900.0, verdict=("invalid", "error", "interrupted")[n % 3]) for n in range(10, 16)]
    entries.append(entry(16, None))
    (series,) = _document(tmp_path, entries).series
    assert len(series.points) == 17
    assert [point.counts for point in series.points].count(False) == 6
    assert series.changes == []
    (point,) = [point for point in series.points if point.value is None]
    assert point.reason == "not witnessed"


def test_commits_are_in_their_own_order_and_are_never_split(tmp_path: Path) -> None:
    # measured backwards, as a search in old commits does; two runs of each commit, far apart in time
    entries = [
        entry(
            100 * again - n, 100.0 if n < 6 else 130.0, commit=f"c{n}", committed_at=BEGAN + timedelta(days=n),
        )
        for again in (1, 2) for n in range(12)
    ]  # fmt: skip
    (series,) = _document(tmp_path, entries).series
    assert [group[0].commit for group in by_commit(series.points)] == [f"c{n}" for n in range(12)]
    (change,) = series.changes
    assert (change.commit_before, change.commit, change.runs_before) == ("c5", "c6", 12)
    within = [entry(n, 100.0 if n < 10 else 120.0, commit="one") for n in range(20)]
    (series,) = _document(tmp_path / "one", within).series
    assert series.changes == []


def test_without_a_metric_there_are_series_without_values(tmp_path: Path) -> None:
    found = _document(tmp_path, [*_stepped(), entry(50, results={}, verdict="error")], metric=None)
    (series,) = found.series
    assert len(series.points) == 21
    assert {point.value for point in series.points} == {None}
