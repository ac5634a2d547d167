"""What the terminal shows: the verdict first, nothing cut, nothing that steers a terminal."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from harness.record.models import Verdict
from harness.record.reader import RunRecord
from harness.report import terminal
from tests import records, report_hostile


def rendered(record: RunRecord, verdict: Verdict, width: int = 100, *, tty: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=tty, color_system="standard" if tty else None)
    terminal.render(record, verdict, console)
    return out.getvalue()


def test_verdict_comes_first_then_reasons_expectations_results_and_artefacts(tmp_path: Path) -> None:
    text = rendered(*records.oom_killed(tmp_path / "run"))
    lines = text.splitlines()
    assert lines[:5] == [
        "PASSED  smoke · arm oom · 20261122-093102-m5w2z",
        "  - killed by the kernel: the cgroup reached its limit of 160.0 MiB (oom_kill 0 -> 1, failcnt 0 ->",
        "    560)",
        "  - the scenario expects the kill",
        "",
    ]
    assert "  ok          oom.kills >= 1         1" in lines
    assert "  not judged  latency.flip.p99 < 5s  –  cut short by the OOM kill" in lines
    order = [lines.index(title) for title in ("Expectations", "Results", "Warnings", "Artefacts")]
    assert order == sorted(order)
    assert any(line.startswith("  profile ") and line.endswith("profiles/memray-start-0.html") for line in lines)


def test_results_have_units_and_a_missing_value_has_its_reason(tmp_path: Path) -> None:
    text = rendered(*records.passing(tmp_path / "run"))
    values = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.startswith("    ")}
    assert values["memory.rss.peak"][:2] == ["173.2", "MiB"]
    assert values["latency.flip.p99"][:2] == ["830", "ms"]
    assert values["load.achieved_per_s"][0] == "199.4/s"
    assert values["startup.first_object"] == ["–", "(no", "reads", "in", "the", "audit", "log)"]


def test_families_of_metrics_stand_together(tmp_path: Path) -> None:
    record, verdict = records.passing(tmp_path / "run")
    names = [line.split()[0] for line in rendered(record, verdict).splitlines() if line.startswith("    latency.")]
    assert names == [
        "latency.deployed.p99", "latency.flip.p50", "latency.flip.p95", "latency.flip.p99", "latency.flip.max",
    ]  # fmt: skip


@pytest.mark.parametrize("width", [100, 80, 60, 40])
def test_nothing_worth_copying_is_cut_at_any_width(tmp_path: Path, width: int) -> None:
    record, verdict = records.passing(tmp_path / "run")
    text = rendered(record, verdict, width)
    joined = " ".join(text.split())
    for name in verdict.results:
        assert f" {name} " in joined
    assert "(the metrics collector failed: no metrics URL in the scenario)" in joined
    assert verdict.run_id in text


def test_no_line_is_wider_than_the_terminal_except_paths(tmp_path: Path) -> None:
    for build in (records.passing, records.oom_killed):
        text = rendered(*build(tmp_path / build.__name__))
        body = text[: text.index("Artefacts")]
        assert max(cell_len(line) for line in body.splitlines()) <= 100
        assert not [line for line in body.splitlines() if line != line.rstrip()]


def test_a_failed_expectation_reads_without_colour(tmp_path: Path) -> None:
    record, verdict = records.passing(tmp_path / "run")
    verdict.expectations[2].ok = False
    assert "  FAILED      latency.flip.p99 < 5s" in rendered(record, verdict.model_copy(update={"verdict": "failed"}))


def test_colour_is_for_terminals_only(tmp_path: Path) -> None:
    record, verdict = records.passing(tmp_path / "run")
    assert "\x1b" not in rendered(record, verdict)
    assert "\x1b[1;32mPASSED\x1b[0m" in rendered(record, verdict, tty=True)


def test_text_from_a_cluster_cannot_steer_the_terminal(tmp_path: Path) -> None:
    text = rendered(*report_hostile.record(tmp_path / "run"))
    assert not [c for c in text if c != "\n" and not c.isprintable()]
    assert "\\x1b[2J" in text  # shown, not obeyed


def test_a_verdict_without_anything_still_says_where_the_record_is(tmp_path: Path) -> None:
    record = records.RecordBuilder(tmp_path / "run").write(state="running", outcome=None)
    verdict = Verdict(
        run_id=records.RUN_ID, verdict="interrupted", exit_code=130, results={}, expectations=[], reasons=["went away"]
    )
    text = rendered(record, verdict)
    assert text.startswith("INTERRUPTED  smoke · 20261122-093015-k4x7q\n  - went away\n")
    assert str(tmp_path / "run") in text


def test_paths_below_the_working_directory_are_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record, verdict = records.oom_killed(tmp_path / "runs" / "a")
    monkeypatch.chdir(tmp_path)
    assert "  record    runs/a\n" in rendered(record, verdict)


def summarised(runs: list[tuple[RunRecord, Verdict]], width: int = 100) -> list[str]:
    out = io.StringIO()
    terminal.summary(runs, Console(file=out, width=width, color_system=None))
    return out.getvalue().splitlines()


def test_summary_has_a_line_per_run_with_results_that_fit(tmp_path: Path) -> None:
    runs = [records.passing(tmp_path / "a"), records.oom_killed(tmp_path / "b")]
    lines = summarised(runs)
    assert max(map(len, lines)) <= 100
    assert lines[1].split() == ["arm", "verdict", "rss.peak", "kills", "peak", "deployed.p99", "flip.p99", "run"]
    assert lines[2].split() == [
        "unprofiled", "passed", "173.2", "MiB", "0", "65", "1.71", "s", "830", "ms", "20261122-093015-k4x7q",
    ]  # fmt: skip
    assert lines[3].split()[-3:] == ["–", "–", "20261122-093102-m5w2z"]
    narrow = summarised(runs, 50)
    assert narrow[-1].endswith("20261122-093102-m5w2z")
    assert "173.2" not in "".join(narrow)
