"""A record is readable at every moment, keeps what was written, and says when it could not."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import jsonschema
import pytest

from harness.core.clock import RunClock
from harness.core.errors import UsageError
from harness.core.sinks import PropagationRow, RequestRow
from harness.record import owner, schemas
from harness.record.models import Owner
from harness.record.reader import RunRecord
from harness.record.tables import TABLES, PartWriter
from harness.record.writer import RecordWriter
from tests import records


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    async def write() -> None:
        writer = RecordWriter(tmp_path / "run", RunClock())
        writer.sample("memory", "memory.rss", 1.5, t_ns=7)
        writer.sample("latency", "objects", 3, {"kind": "Secret"})
        writer.requests([RequestRow("p", 0, 1, 1, 2, 3, "create", "Secret", "s'; drop", 0, None, 9)])
        writer.propagation([PropagationRow("flip", "c", 1, 2, 3, seen, "ns", "n") for seen in (None, 4)])
        await writer.close()

    asyncio.run(write())
    record = RunRecord(tmp_path / "run")
    assert record.sql("SELECT t_ns, phase, source, metric, labels, value FROM samples WHERE metric = 'memory.rss'") == [
        (7, "start", "memory", "memory.rss", "{}", 1.5)
    ]
    assert record.sql("SELECT labels->>'kind' FROM samples WHERE metric = 'objects'") == [("Secret",)]
    assert record.sql("SELECT name, error FROM requests") == [("s'; drop", None)]
    assert record.sql("SELECT seen_ns FROM propagation ORDER BY seen_ns NULLS FIRST") == [(None,), (4,)]


def test_a_record_without_parts_has_empty_tables(tmp_path: Path) -> None:
    record = RunRecord(tmp_path)
    for table in TABLES:
        assert record.sql(f"SELECT * FROM {table}") == []


def test_a_refusing_disk_is_remembered_and_rows_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse = True
    original = PartWriter.write

    def write(self: PartWriter, rows: list[tuple[object, ...]]) -> Path:
        if refuse:
            raise OSError("No space left on device")
        return original(self, rows)

    monkeypatch.setattr(PartWriter, "write", write)

    async def run() -> RecordWriter:
        nonlocal refuse
        writer = RecordWriter(tmp_path / "run", RunClock())
        writer.sample("memory", "memory.rss", 1)
        await asyncio.to_thread(writer.flush)
        refuse = False
        await writer.close()
        return writer

    writer = asyncio.run(run())
    assert writer.failure == "could not write the record: samples: No space left on device"
    assert RunRecord(tmp_path / "run").sql("SELECT count(*) FROM samples") == [(1,)]


def test_an_event_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text('{"t_ns": 1, "type": "phase", "name": "idle"}\n{"type": "oom_ki')
    assert [event["type"] for event in RunRecord(tmp_path).events()] == ["phase"]


def test_a_running_record_without_its_owner_was_interrupted(tmp_path: Path) -> None:
    record, _ = records.passing(tmp_path / "a")
    document = json.loads((record.path / "run.json").read_text())
    document["state"] = "running"
    document["owner"] = owner.this_process().model_dump()
    (record.path / "run.json").write_text(json.dumps(document))
    assert not RunRecord(record.path).interrupted
    document["owner"]["started_ticks"] += 1  # the pid lives, but it is another process
    (record.path / "run.json").write_text(json.dumps(document))
    assert RunRecord(record.path).interrupted
    (record.path / "verdict.json").unlink(missing_ok=True)
    assert RunRecord(record.path).show().verdict == "interrupted"


def test_an_owner_of_another_boot_is_gone() -> None:
    mine = owner.this_process()
    assert owner.is_alive(mine)
    assert not owner.is_alive(Owner(pid=mine.pid, started_ticks=mine.started_ticks, boot_id="another"))


@pytest.mark.parametrize("name", list(schemas.SCHEMAS))
def test_shipped_schemas_are_those_of_the_models(name: str) -> None:
    assert (schemas.DIRECTORY / f"{name}.json").read_text() == schemas.render(name), "run `make docs`"


def test_documents_validate_against_the_shipped_schemas(tmp_path: Path) -> None:
    record, verdict = records.passing(tmp_path / "run")
    record.save_verdict(verdict)
    documents = {
        "run.v1": json.loads((record.path / "run.json").read_text()),
        "verdict.v1": json.loads((record.path / "verdict.json").read_text()),
        "show.v1": json.loads(record.show().model_dump_json(by_alias=True)),
    }
    for name, document in documents.items():
        schema = json.loads((schemas.DIRECTORY / f"{name}.json").read_text())
        jsonschema.validate(document, schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**document, "surprise": 1}, schema)


def test_a_run_is_found_by_the_end_of_its_id(tmp_path: Path) -> None:
    record, _ = records.passing(tmp_path / records.RUN_ID)
    assert RunRecord.open("k4x7q", tmp_path).path == record.path
    with pytest.raises(UsageError, match=r"no run 'zzz' here; the newest is .*name a run id"):
        RunRecord.open("zzz", tmp_path)


def test_a_damaged_record_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"schema": "harness.run/v1", "run_id": ')
    with pytest.raises(UsageError, match="not a record this version can read"):
        RunRecord.open(tmp_path)


def test_a_damaged_part_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "part-00000.parquet").write_bytes(b"PAR1 and then the disk died")
    with pytest.raises(UsageError, match="a table of the record cannot be read"):
        RunRecord(tmp_path).sql("SELECT count(*) FROM samples")
