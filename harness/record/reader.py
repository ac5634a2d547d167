"""Reads a run record: facts, events and tables. Knows nothing of clusters, processes or reports."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import duckdb
from pydantic import BaseModel, ValidationError

from harness.core import paths
from harness.core.errors import ExitCode, UsageError
from harness.record import owner
from harness.record.event_fields import event_of
from harness.record.models import Run, Show, Verdict, VerdictName
from harness.record.tables import connect
from harness.record.writer import write_atomically

_M = TypeVar("_M", bound=BaseModel)


class RunRecord:
    """One run's directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, run: str | Path, runs_dir: Path | None = None) -> RunRecord:
        """The record named by a path, an id, or the unique beginning or end of an id below `runs_dir`.

        Raises UsageError where there is none, or where it cannot be read.
        """
        path = Path(run)
        root = runs_dir or paths.runs_dir()
        if not is_there(path / "run.json"):
            known = sorted(p.parent.name for p in root.glob("*/run.json"))
            hits = [name for name in known if name == str(run)] or [
                name for name in known if str(run) and (name.startswith(str(run)) or name.endswith(str(run)))
            ]
            if len(hits) > 1:
                raise UsageError(
                    f"{run!s} fits {len(hits)} runs: {', '.join(hits[-4:])}", remedy="write more of the id"
                )
            if not hits:
                newest = f"the newest is {known[-1]}" if known else f"there are no runs in {root}"
                raise UsageError(f"no run {str(run)!r} here; {newest}", remedy="name a run id or the path of a record")
            path = root / hits[0]
        record = cls(path)
        _ = record.run
        return record

    @functools.cached_property
    def run(self) -> Run:
        """The facts of run.json."""
        return parse_model(self.path / "run.json", Run)

    @property
    def interrupted(self) -> bool:
        """Whether its harness went away before sealing it."""
        return self.run.state == "running" and not owner.is_alive(self.run.owner)

    @property
    def verdict(self) -> Verdict | None:
        """The stored verdict, None before there is one."""
        path = self.path / "verdict.json"
        return parse_model(path, Verdict) if path.is_file() else None

    def save_verdict(self, verdict: Verdict) -> None:
        """Write verdict.json."""
        write_atomically(self.path / "verdict.json", verdict.model_dump_json(by_alias=True, indent=1) + "\n")

    def events(self, type_: str | None = None) -> Iterator[dict[str, Any]]:
        """The events in order; a last line that a kill cut short, and what is no event, are left out."""
        for _, event in self._lines():
            if event is not None and type_ in (None, event["type"]):
                yield event

    @functools.cached_property
    def damaged_events(self) -> int:
        """Lines that are no events of this version, beside a last one that a kill cut short."""
        return sum(event is None and line.endswith(b"\n") for line, event in self._lines())

    def _lines(self) -> Iterator[tuple[bytes, dict[str, Any] | None]]:
        path = self.path / "events.jsonl"
        if not path.is_file():
            return
        try:
            with path.open("rb") as lines:
                for line in lines:
                    yield line, event_of(line)
        except OSError as error:
            raise UsageError(error.strerror or str(error), place=str(path)) from error

    @functools.cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        return connect(self.path)

    def sql(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows of a SQL query over the views `samples`, `requests` and `propagation`."""
        try:
            return self._connection.execute(query, list(parameters)).fetchall()  # type: ignore[no-any-return] # duckdb is untyped
        except duckdb.Error as error:
            raise UsageError(f"a table of the record cannot be read: {error}", place=str(self.path)) from error

    def show(self, judged: Verdict | None = None) -> Show:
        """run.json and verdict.json as one object; `interrupted` is said where the harness went away.

        `judged` is the verdict of a sealed record that has none, because its harness was killed before it wrote that.
        """
        stored = self.verdict or judged
        facts = self.run.model_dump(exclude={"schema_"})
        if stored is not None:
            return Show(**facts, path=str(self.path), **stored.model_dump(exclude={"schema_", "run_id"}))
        if self.run.state == "running" and not self.interrupted:
            return Show(
                **facts, path=str(self.path), verdict="inconclusive", exit_code=3, reasons=["the run is still going on"]
            )
        reason = "the harness went away before the run ended" if self.interrupted else "no verdict was written"
        verdict: VerdictName = "interrupted" if self.interrupted else "error"
        code = ExitCode.INTERRUPTED if self.interrupted else ExitCode.INVALID
        return Show(**facts, path=str(self.path), verdict=verdict, exit_code=int(code), reasons=[reason])


def is_there(path: Path) -> bool:
    """Whether a path that somebody typed is a file; one that is too long to be any is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def parse_model(path: Path, model: type[_M]) -> _M:
    """A JSON file of a record as its type. Raises UsageError with the place where it cannot be read."""
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(error.strerror or str(error), place=str(path)) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"not a record this version can read ({where}: {first['msg']})",
            place=str(path),
            remedy="was it cut short or edited?",
        ) from error
