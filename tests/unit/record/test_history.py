"""The history keeps every entry whatever happens beside it: other writers, kills, damage, versions to come."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from harness.core.errors import EnvironmentFault, UsageError
from harness.record import history_parts as parts
from harness.record.history import Entry, History, Value, of_run
from harness.record.models import Source
from tests import records
from tests.histories import BEGAN, METRIC, entry


def _ids(history: History) -> list[str]:
    return [found.id for found in history.entries()]


def test_entries_come_back_as_they_were_added(tmp_path: Path) -> None:
    hostile = entry(
        1, results={METRIC: Value(0.1 + 0.2, "B"), "it's;--": Value(None, "s", -1.5, None, 'never "\n\0\ud800')},
        arm="", sets='{"a": "\'"}', committed_at=BEGAN, dirty=True, seed=2**60,
    )  # fmt: skip
    history = History(tmp_path / "it's here")
    assert history.add([hostile]) == 1
    (found,) = history.entries(METRIC)
    assert found == dataclasses.replace(hostile, results={METRIC: hostile.results[METRIC]})
    (other,) = history.entries("it's;--")
    assert (other.results["it's;--"].value, other.results["it's;--"].low) == (None, -1.5)
    assert history.metrics() == {METRIC: 1}
    assert history.warnings == []


def test_a_run_without_results_is_in_the_history_with_its_verdict(tmp_path: Path) -> None:
    History(tmp_path).add([entry(1, results={}, verdict="error")])
    assert [found.verdict for found in History(tmp_path).entries()] == ["error"]
    assert History(tmp_path).entries(METRIC) == []


def test_what_is_added_again_replaces_the_older_and_nothing_is_there_twice(tmp_path: Path) -> None:
    history = History(tmp_path)
    assert history.add([entry(1, 100.0), entry(2, 100.0)]) == 2
    assert history.add([entry(1, 100.0), entry(2, 120.0)]) == 1
    assert history.add([entry(1, 100.0)]) == 1, "one alone is written without a look at what is there"
    assert [found.results[METRIC].value for found in history.entries(METRIC)] == [100.0, 120.0]


def test_filters(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.add([entry(1), entry(2, scenario="other"), entry(3)])
    assert [found.started_at.day for found in history.entries(METRIC, scenario="smoke")] == [2, 4]
    assert len(history.entries(METRIC, since=entry(2).started_at)) == 2
    assert history.entries(METRIC, kind="gate") == []


_WRITER = """
import sys
from pathlib import Path
from harness.record.history import History
from tests.histories import entry
first = int(sys.argv[2])
for number in range(first, first + 20):
    History(Path(sys.argv[1])).add([entry(number)])
"""


def test_two_processes_write_at_once_while_parts_are_compacted_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "from harness.record import history_parts; history_parts.PARTS_OF_A_LEVEL = 5\n" + _WRITER
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(first)]) for first in (0, 1000)]
    seen = 0
    while any(writer.poll() is None for writer in writers):
        count = len(_ids(History(tmp_path)))
        assert count >= seen, "an entry that was there is gone"
        seen = count
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    assert sorted(_ids(History(tmp_path))) == sorted(entry(n).id for n in [*range(20), *range(1000, 1020)])
    assert len(parts.parts_of(tmp_path)) < 40, "nothing was compacted"
    assert not list(tmp_path.glob(".tmp-*"))


def test_compaction_keeps_every_entry_and_every_state_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PARTS_OF_A_LEVEL", 3)
    history = History(tmp_path)
    for number in range(9):
        history.add([entry(number)])
    history.add([entry(0, 200.0)])
    for number in range(20, 24):
        history.add([entry(number)])
    assert len(parts.parts_of(tmp_path)) <= 5
    values = {found.id: found.results[METRIC].value for found in history.entries(METRIC)}
    assert len(values) == 13
    assert values[entry(0).id] == 200.0


def test_what_cannot_be_read_is_told_and_costs_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(tmp_path)
    for number in range(3):
        history.add([entry(number)])
    broken = parts.parts_of(tmp_path)[0]
    lost = duckdb.sql(f"SELECT DISTINCT id FROM '{broken}'").fetchall()[0][0]
    broken.write_bytes(broken.read_bytes()[:-200])
    older = tmp_path / f"part-v1-0-{'a' * 32}.parquet"
    duckdb.sql(f"COPY (SELECT 'x' AS id, 1 AS metric) TO '{older}' (FORMAT parquet)")
    newer = tmp_path / f"part-v2-0-{'b' * 32}.parquet"
    newer.write_bytes(b"what nobody knows yet")

    assert lost not in _ids(history)
    assert len(_ids(history)) == 2
    assert len(history.warnings) == 3
    for part, why in ((broken, "cannot be read"), (older, "no column 'kind'"), (newer, "newer version")):
        assert any(str(part) in warning and why in warning for warning in history.warnings), why

    monkeypatch.setattr(parts, "PARTS_OF_A_LEVEL", 1)
    history.add([entry(5)])
    assert len(_ids(history)) == 3
    assert broken.exists()
    assert newer.exists()


def test_a_part_of_an_older_version_that_lacks_a_column_is_read(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.add([entry(1)])
    (part,) = parts.parts_of(tmp_path)
    older = tmp_path / f"part-v1-0-{'a' * 32}.parquet"
    duckdb.sql(
        f"COPY (SELECT * EXCLUDE (profilers, dirty) REPLACE ('older' AS id) FROM '{part}') TO '{older}' (FORMAT parquet)"
    )
    assert sorted(_ids(history)) == sorted([entry(1).id, "older"])
    part.unlink()
    assert [(found.id, found.profilers) for found in history.entries(METRIC)] == [("older", None)]


def test_merge_and_export_carry_everything_once(tmp_path: Path) -> None:
    here, there = History(tmp_path / "here"), History(tmp_path / "there")
    here.add([entry(1), entry(2)])
    there.add([entry(2), entry(3), entry(4, results={})])
    assert here.merge(there.directory) == 2
    assert here.merge(there.directory) == 0
    assert len(_ids(here)) == 4
    for ending in (".parquet", ".csv", ".jsonl"):
        here.export(tmp_path / f"all{ending}", scenario="smoke")
        (count,) = duckdb.sql(f"SELECT count(DISTINCT id) FROM '{tmp_path}/all{ending}'").fetchall()[0]
        assert count == 4, ending
    third = History(tmp_path / "third")
    assert third.merge(tmp_path / "all.parquet") == 4
    assert third.entries() == here.entries()
    with pytest.raises(UsageError, match="not another history"):
        here.merge(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="none of the endings"):
        here.export(tmp_path / "all.xlsx")
    (tmp_path / "other.parquet").write_bytes(b"PAR1")
    with pytest.raises(UsageError, match="cannot be read"):
        here.merge(tmp_path / "other.parquet")


def test_a_place_that_refuses_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        History(tmp_path / "file").add([entry(1)])


def test_a_run_becomes_an_entry(tmp_path: Path) -> None:
    record, verdict = records.passing(tmp_path / "run")
    run = record.run.model_copy(update={"source": Source(commit="c" * 40, dirty=True)})
    found = of_run(run, verdict)
    assert (found.commit, found.dirty, found.subject, found.machine) == ("c" * 40, True, "fleet", "5f1c0a9b2d3e4f60")
    assert found.results["memory.rss.peak"].value == verdict.results["memory.rss.peak"].value
    assert found.profilers is None
    judged = dict(run.scenario.resolved, expect=["oom.kills == 3"])
    other = run.model_copy(update={"scenario": run.scenario.model_copy(update={"resolved": judged})})
    assert of_run(other, verdict).load_sha256 == found.load_sha256, "what only judges changes no figure"
    loaded = dict(run.scenario.resolved, load=[])
    other = run.model_copy(update={"scenario": run.scenario.model_copy(update={"resolved": loaded})})
    assert of_run(other, verdict).load_sha256 != found.load_sha256


@pytest.mark.parametrize(
    ("command", "name"),
    [(["/opt/manager", "--x"], "manager"), (["/usr/bin/python", "-m", "my_operator"], "my_operator"), ([], "?")],
)
def test_a_subject_has_the_name_a_person_gives_it(tmp_path: Path, command: list[str], name: str) -> None:
    record, verdict = records.passing(tmp_path / "run")
    subject = record.run.subject.model_copy(update={"controller": None, "command": command})
    assert of_run(record.run.model_copy(update={"subject": subject}), verdict).subject == name


def test_every_column_is_a_fact_of_an_entry() -> None:
    facts = {item.name for item in dataclasses.fields(Entry)} - {"results"}
    assert set(parts.COLUMNS) - set(parts.RESULT) == facts | {"added_at", "digest"}
