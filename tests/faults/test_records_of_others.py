"""Records that are older, newer, cut short or damaged: one line that says which, or all that is still there; no traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.record.reader import RunRecord
from tests import records

_VERBS = (("show",), ("report", "--recompute"), ("export",), ("show", "--json"))


def _harness(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def _one_line(done: subprocess.CompletedProcess[str], says: str) -> None:
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def _change(path: Path, **fields: Any) -> None:
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, **fields}))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return records.passing(tmp_path / "run")[0].path


def test_a_record_of_an_older_version_is_read_and_of_a_newer_one_is_told(run: Path) -> None:
    document = json.loads((run / "run.json").read_text())
    for later in ("on_busy", "observed", "pinning", "source"):  # keys that came after the first records
        del document[later]
    (run / "run.json").write_text(json.dumps(document))
    assert _harness("report", str(run), "--recompute").returncode == 0
    _change(run / "run.json", schema="harness.run/v2")
    _one_line(_harness("show", str(run)), "not a record this version can read (schema: ")


@pytest.mark.parametrize("verb", _VERBS, ids=" ".join)
def test_facts_that_were_cut_short_are_one_line(run: Path, verb: tuple[str, ...]) -> None:
    whole = (run / "run.json").read_bytes()
    (run / "run.json").write_bytes(whole[: len(whole) // 2])
    _one_line(_harness(verb[0], str(run), *verb[1:]), f"{run / 'run.json'}: not a record this version can read")


def test_a_table_that_is_damaged_costs_that_table_and_is_named(run: Path) -> None:
    (part,) = (run / "samples").glob("part-*.parquet")
    whole = part.read_bytes()
    part.write_bytes(whole[:-40] + b"x" * 40)
    _one_line(_harness("report", str(run), "--recompute"), f"{run}: a table of the record cannot be read")
    assert RunRecord(run).sql("SELECT count(*) FROM requests")[0][0] > 0, "the others are there"
    part.write_bytes(whole)
    assert _harness("report", str(run), "--recompute").returncode == 0


def test_what_a_kill_or_a_full_disk_left_of_events_and_parts_is_all_read(run: Path) -> None:
    before = len(list(RunRecord(run).events()))
    events = run / "events.jsonl"
    events.write_bytes(
        events.read_bytes() + b'{"t_ns": 1, "type": "war\n{"t_ns": 40000000000, "type": "warning", "message": "x"}\n{"t'
    )
    (run / "samples" / "part-00001.tmp").write_bytes(b"PAR1 half of it")
    done = _harness("report", str(run), "--recompute")
    assert done.returncode == 0, done.stderr
    opened = RunRecord(run)
    assert len(list(opened.events())) == before + 1
    verdict = opened.verdict
    assert verdict is not None
    assert "1 lines of events.jsonl are damaged, or of another version, and are left out" in verdict.warnings
