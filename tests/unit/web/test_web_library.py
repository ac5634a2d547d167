"""The list of runs and experiments: everything that is there has a row, and names lead nowhere else."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.record.models import Experiment, ExperimentRun
from harness.web import listing
from harness.web.library import Library, NotServed, RunRow
from tests import ci_gates, records

DEAD = {"pid": 2**22 + 5, "started_ticks": 1, "boot_id": "gone"}


def _run(root: Path, name: str, **overrides: object) -> None:
    build = records.RecordBuilder(root / name, run_id=name)
    build.phase("start", "start", 0.0, 1.0)
    opened = build.write(**overrides)
    if overrides.get("state") != "running":
        opened.save_verdict(records.verdict_of(opened, {"memory.rss.peak": 1e8, "oom.kills": 0.0}, "passed", 0, [], []))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Records in every state that a record can be in."""
    root = tmp_path / "runs"
    _run(root, "20261122-000001-aaaaa")
    _run(root, "20261122-000002-bbbbb", state="running", ended_at=None, outcome=None)
    _run(root, "20261122-000003-ccccc", state="running", ended_at=None, outcome=None, owner=DEAD)
    _run(root, "20261122-000004-ddddd")
    (root / "20261122-000004-ddddd" / "run.json").write_text('{"schema": "harness.run/v1", "run_id": "2026')
    _run(root, "20261122-000005-eeeee")
    (root / "20261122-000005-eeeee" / "verdict.json").write_text("{}")
    _run(root, "20261122-000006-fffff")
    (root / "20261122-000006-fffff" / "verdict.json").unlink()
    (root / "20261122-000007-ggggg").mkdir()
    (root / "20261122-000007-ggggg" / "events.jsonl").write_text("")
    (root / "somebody's folder").mkdir()
    (root / ".hidden").mkdir()
    return root


def test_every_record_has_a_row_that_says_what_it_is(root: Path) -> None:
    rows = {row.id[-5:]: row for row in Library(root).runs()}
    assert {name: row.state for name, row in rows.items()} == {
        "aaaaa": "passed", "bbbbb": "running", "ccccc": "interrupted", "ddddd": "unreadable", "eeeee": "unreadable",
        "fffff": "sealed", "ggggg": "unreadable",
    }  # fmt: skip
    assert rows["aaaaa"].peak_bytes == 1e8
    assert rows["aaaaa"].kills == 0
    assert rows["aaaaa"].why == ""
    for name, why in (
        ("ccccc", "the harness went away"), ("ddddd", "run.json: not a record"), ("eeeee", "verdict.json: not a record"),
        ("fffff", "no verdict"), ("ggggg", "it has no run.json"),
    ):  # fmt: skip
        assert why in rows[name].why
        assert "\n" not in rows[name].why


def test_rows_follow_what_changes_on_the_disk(root: Path) -> None:
    library = Library(root)
    before = {row.id: row.state for row in library.runs()}
    path = root / "20261122-000001-aaaaa" / "verdict.json"
    verdict = json.loads(path.read_text())
    path.write_text(json.dumps({**verdict, "verdict": "failed", "reasons": ["an expectation failed"]}, indent=4))
    _run(root, "20261122-000008-hhhhh")
    after = {row.id: row.state for row in library.runs()}
    assert before["20261122-000001-aaaaa"] == "passed"
    assert after["20261122-000001-aaaaa"] == "failed"
    assert len(after) == len(before) + 1


def test_links_and_names_lead_nowhere_else(root: Path, tmp_path: Path) -> None:
    _run(tmp_path / "elsewhere", "20261122-000009-kkkkk")
    (root / "20261122-000009-kkkkk").symlink_to(tmp_path / "elsewhere" / "20261122-000009-kkkkk")
    (root / "loop").symlink_to(root / "loop")
    library = Library(root)
    assert not [row for row in library.runs() if row.id.endswith("kkkkk") or row.id == "loop"]
    for name in (
        "20261122-000009-kkkkk",
        "loop",
        "..",
        ".",
        "",
        "../elsewhere",
        "a/b",
        "x\0y",
        "experiments",
        "x" * 5000,
    ):
        with pytest.raises(NotServed):
            library.run_path(name)
        with pytest.raises(NotServed):
            library.experiment_path(name)


@pytest.mark.parametrize(
    "inside",
    ["../../secret", "..", "profiles/../../../secret", "profiles/out", "control-plane/ca.key", ".hidden", "kubeconfig",
     "profiles/.hidden", "samples/part-00000.parquet", "/etc/passwd", "profiles//etc/passwd", "profiles", "", "profiles/\0"],
)  # fmt: skip
def test_only_what_a_record_offers_is_a_file(root: Path, tmp_path: Path, inside: str) -> None:
    (tmp_path / "secret").write_text("secret")
    folder = root / "20261122-000001-aaaaa"
    (folder / "profiles" / "out").symlink_to(tmp_path / "secret")
    (folder / "profiles" / ".hidden").write_text("x")
    (folder / "kubeconfig").write_text("x")
    (folder / "control-plane").mkdir()
    (folder / "control-plane" / "ca.key").write_text("x")
    (folder / "profiles" / "cpu.folded").write_text("main 1")
    library = Library(root)
    assert library.file(folder.name, "profiles/cpu.folded").read_text() == "main 1"
    with pytest.raises(NotServed):
        library.file(folder.name, inside)


def _experiment(root: Path, name: str, **facts: object) -> Path:
    folder = root / "experiments" / name
    folder.mkdir(parents=True)
    run = ExperimentRun(run_id="20261122-000001-aaaaa", arm="x", order=1, verdict="passed", exit_code=0)
    given = {"experiment_id": name, "scenario": "smoke", "started_at": records.STARTED, "runs": [run], "exit_code": 0}
    model = Experiment.model_validate(given | facts)
    (folder / "experiment.json").write_text(model.model_dump_json(by_alias=True))
    return folder


def test_experiments_have_rows_too(root: Path) -> None:
    _experiment(root, "20261122-010000-aaaaa")
    gate = _experiment(root, "20261122-010001-bbbbb", kind="gate")
    (gate / "gate.json").write_text(ci_gates.gate("regress").model_dump_json(by_alias=True))
    _experiment(root, "20261122-010002-ccccc", state="running", owner=DEAD)
    (_experiment(root, "20261122-010003-ddddd") / "experiment.json").write_text("{")
    rows = {row.id[-5:]: row for row in Library(root).experiments()}
    assert {name: row.state for name, row in rows.items()} == {
        "aaaaa": "complete", "bbbbb": "regress", "ccccc": "interrupted", "ddddd": "unreadable",
    }  # fmt: skip
    assert rows["bbbbb"].why == "it is regress"
    assert "experiment.json" in rows["ddddd"].why


def test_ids_are_found_by_their_ends_and_paths_are_not(root: Path, tmp_path: Path) -> None:
    _experiment(root, "20261122-010000-zzzzz")
    library = Library(root)
    assert library.find("aaaaa") == str(root / "20261122-000001-aaaaa")
    assert library.find("zzzzz:x") == str(root / "experiments" / "20261122-010000-zzzzz") + ":x"
    for text in ("20261122-0000", str(root / "20261122-000001-aaaaa"), "../runs/20261122-000001-aaaaa", "", "nothing"):
        with pytest.raises(NotServed):
            library.find(text)


def _rows(count: int) -> list[RunRow]:
    return [
        RunRow(f"run-{number:03d}", "passed" if number % 2 else "failed", scenario=f"s{number % 3}",
               started_at=datetime(2026, 1, 1, tzinfo=UTC).replace(minute=number % 60, hour=number // 60),
               peak_bytes=None if number == 5 else float(number))
        for number in range(count)
    ]  # fmt: skip


def _view(query: dict[str, str], count: int = 250) -> listing.View[RunRow]:
    return listing.view(
        _rows(count), query, exact=("state", "scenario"), columns=("started_at", "peak_bytes", "scenario")
    )


def test_lists_are_filtered_sorted_and_cut_into_pages() -> None:
    newest = _view({})
    assert [row.id for row in newest.rows[:2]] == ["run-249", "run-248"]
    assert (newest.found, newest.pages, len(newest.rows)) == (250, 3, 100)
    assert [row.id for row in _view({"page": "3"}).rows][-1] == "run-000"
    assert _view({"q": "RUN-01 fail"}).found == 5
    assert _view({"state": "passed", "scenario": "s1"}).found == 42
    assert _view({"sort": "peak_bytes", "order": "asc"}).rows[0].id == "run-000"
    assert _view({"sort": "peak_bytes", "page": "3"}).rows[-1].id == "run-005", "what has no value is last"
    assert _view({"sort": "peak_bytes", "order": "asc", "page": "3"}).rows[-1].id == "run-005"


def test_a_wrong_query_is_no_query() -> None:
    for query in (
        {"sort": "__class__"},
        {"page": "-1"},
        {"page": "9" * 99},
        {"page": "²"},
        {"order": "x"},
        {"state": ""},
    ):
        assert _view(query).all == 250
    assert _view({"page": "9" * 6}).page == 3
    assert _view({"scenario": "nothing"}).rows == []


def test_columns_say_how_they_are_sorted() -> None:
    view = _view({"sort": "scenario", "q": "a&b=c"})
    assert view.aria("scenario") == "ascending"
    assert view.aria("peak_bytes") == "none"
    assert "q=a%26b%3Dc" in view.sorted_by("scenario")
    assert view.sorted_by("scenario").endswith("order=desc")
    assert view.sorted_by("peak_bytes").endswith("order=desc")
