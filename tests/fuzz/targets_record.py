"""Run records: cut short, damaged, of another version, somebody else's. From their files to verdict, page and export."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import duckdb
from hypothesis import strategies as st
from rich.console import Console

from harness.analysis.verdict import judge
from harness.core.errors import UsageError
from harness.record.experiments import ExperimentRecord
from harness.record.profile_files import kept_stacks
from harness.record.reader import RunRecord
from harness.record.windows import windows
from harness.report import data, oom, openmetrics, run_page, tables, terminal
from harness.report.profiles import read_all_stacks
from tests import records
from tests.fuzz.folder import folder
from tests.fuzz.inputs import altered, as_json, mutated
from tests.fuzz.property import Target

_FILES = ("run.json", "verdict.json", "events.jsonl")
_COLUMNS = (
    "t_ns",
    "phase",
    "source",
    "metric",
    "labels",
    "value",
    "kind",
    "name",
    "error",
    "status",
    "done_ns",
    "intended_ns",
    "seen_ns",
    "probe",
)
_VALUES = (
    "NULL",
    "-1",
    "0",
    "9223372036854775807",
    "'NaN'::DOUBLE",
    "'Infinity'::DOUBLE",
    "'x'",
    "'{'",
    "'[1]'",
    "'{\"kind\": 3}'",
    "''",
    "'\x1b[2J<script>'",
    "true",
)


@functools.cache
def base() -> Path:
    """A record of a killed run with everything in it; copied for each case."""
    place = Path(tempfile.mkdtemp(dir=folder()))
    record, verdict = records.oom_killed(place / "run")
    record.save_verdict(verdict)
    kinds = (
        {"type": "restart", "started_ns": 1, "ready_ns": 5},
        {"type": "failover", "started_ns": 1, "killed_ns": 2, "acquired_ns": 3, "reason": None},
        {"type": "attach", "window": "1", "tool": "memray", "why": "x", "since_ns": 4},
        {"type": "detach", "window": "1", "until_ns": 9, "why": "y"},
        {
            "type": "census",
            "totals": {"task": 1},
            "rows": [{"sort": "task", "name": "f", "state": None, "frame": None, "count": 3}],
            "reasons": {},
        },
        {"type": "undeleted", "kind": "Secret", "name": "s", "finalizers": ["f"]},
        {"type": "audit", "unjudged_writes": 3},
        {"type": "pyroscope", "server": "x", "links": {"cpu": "http://127.0.0.1/x"}},
        {"type": "phase", "name": "idle"},
        {
            "type": "memray",
            "stacks": "profiles/x",
            "top": [{"bytes": 1, "stack": ["f"]}],
            "peak_bytes": 1,
            "left": [],
            "left_bytes": 0,
        },
    )
    with (record.path / "events.jsonl").open("a") as file:
        file.writelines(json.dumps({"t_ns": 12_000_000_000, "phase": "idle", **event}) + "\n" for event in kinds)
    (record.path / "profiles" / "cpu.folded").write_text("a;b 3\nc 1\n")
    return record.path


def _fresh() -> Path:
    place = folder() / "case"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(base(), place)
    return place


def _read_all(path: Path, *, page: bool = False) -> None:
    """What `show`, `report`, `export` and the rest do with it, one after another: none may break because another did."""
    record = RunRecord.open(path)
    record.show()
    verdict = judge(record)
    with Path("/dev/null").open("w") as nowhere:
        terminal.render(record, verdict, Console(file=nowhere))
    data.marks(record)
    windows(record)
    kept_stacks(record)
    read_all_stacks(record)
    tables.events(record)
    if page:
        openmetrics.render(record, verdict)
        oom.write(record)
        run_page.write(record, verdict, path / "report.html")


def _facts(content: bytes) -> None:
    path = folder() / "facts"
    path.mkdir(exist_ok=True)
    (path / "run.json").write_bytes(content)
    RunRecord.open(path).show()


def _damaged(case: tuple[str, bytes]) -> None:
    name, content = case
    path = _fresh()
    (path / name).write_bytes(content)
    _read_all(path)
    record = RunRecord.open(path)
    _ = record.verdict


def _events(lines: list[bytes]) -> None:
    path = _fresh()
    with (path / "events.jsonl").open("ab") as file:
        file.write(b"\n".join(lines))
    _read_all(path, page=len(lines) == 1)


def _foreign(case: tuple[str, str, str, bool]) -> None:
    table, column, value, drop = case
    path = _fresh()
    part = min((path / table).glob("part-*.parquet"), default=None)
    if part is None:
        return
    changed = part.with_name("part-00000.parquet.new")
    connection = duckdb.connect(":memory:")
    try:
        there = [row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM '{part}'").fetchall()]
        if column not in there:
            return
        select = f"* EXCLUDE {column}" if drop else f"* REPLACE ({value} AS {column})"
        connection.execute(f"COPY (SELECT {select} FROM '{part}') TO '{changed}' (FORMAT parquet)")
    finally:
        connection.close()
    changed.replace(part)
    _read_all(path, page=True)


def _part(content: bytes) -> None:
    path = _fresh()
    (path / "samples" / "part-00000.parquet").write_bytes(content)
    _read_all(path)


def _folded(content: bytes) -> None:
    path = folder() / "folded"
    (path / "profiles").mkdir(parents=True, exist_ok=True)
    (path / "profiles" / "cpu.folded").write_bytes(content)
    read_all_stacks(RunRecord(path))


def _names(text: str) -> None:
    RunRecord.open(text, folder())
    ExperimentRecord.open(text, folder())


def _run_json() -> Any:  # JSON
    return json.loads((base() / "run.json").read_bytes())


def _event_lines() -> list[Any]:
    return [json.loads(line) for line in (base() / "events.jsonl").read_text().splitlines()]


@functools.cache
def _samples() -> bytes:
    return (base() / "samples" / "part-00000.parquet").read_bytes()


_files = st.sampled_from(_FILES).flatmap(
    lambda name: st.tuples(st.just(name), mutated(((base() / name).read_bytes(),)))
)
_altered_run = st.deferred(lambda: altered((_run_json(),), 3))
_run_files = st.tuples(st.just("run.json"), _altered_run.map(as_json))
_lines = st.deferred(
    lambda: st.lists(
        st.one_of(altered(_event_lines(), 2).map(as_json), mutated([as_json(e) for e in _event_lines()])),
        min_size=1,
        max_size=3,
    )
)

TARGETS = (
    Target(
        "run-json",
        st.one_of(_altered_run.map(as_json), st.deferred(lambda: mutated(((base() / "run.json").read_bytes(),)))),
        _facts,
        (),
        1,
    ),
    Target("record-files", st.deferred(lambda: st.one_of(_files, _run_files)), _damaged, (), 0.03),
    Target("record-events", _lines, _events, (), 0.03),
    Target(
        "record-tables",
        st.tuples(
            st.sampled_from(("samples", "requests", "propagation")),
            st.sampled_from(_COLUMNS),
            st.sampled_from(_VALUES),
            st.booleans(),
        ),
        _foreign,
        (),
        0.01,
    ),
    Target("record-parts", st.deferred(lambda: mutated((_samples(),))), _part, (), 0.02),
    Target(
        "folded-stacks", mutated((b"a;b 3\nc 1\n", b"x 9" * 50), (b";", b" ", b"\n", b"\xc2\xb2")), _folded, (), 0.5
    ),
    Target(
        "record-names",
        st.one_of(
            st.text(max_size=30), st.sampled_from(("x" * 5000, "a/" * 3000, "\x00", "..", "/", "*", "[", "\x1b[2J"))
        ),
        _names,
        (UsageError,),
        0.3,
    ),
)
