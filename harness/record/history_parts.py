"""The files of a history: Parquet parts in one directory, each written once, under a name of its own, never changed.

Writers need no lock: a part appears under its name when it is complete, and no two writers choose the same name. Small
parts are made into larger ones, which are there before the small ones go: what is in two parts is read once. A reader
that loses a file to that begins again. What cannot be read is left out and told, never removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from harness.core.errors import EnvironmentFault, UsageError
from harness.record.parts import quoted

VERSION = 1
COLUMNS: dict[str, str] = {
    "id": "VARCHAR", "kind": "VARCHAR", "started_at": "TIMESTAMP", "added_at": "TIMESTAMP", "digest": "VARCHAR",
    "scenario": "VARCHAR", "arm": "VARCHAR", "profile": "VARCHAR", "sets": "VARCHAR", "load_sha256": "VARCHAR",
    "seed": "BIGINT", "subject": "VARCHAR", "commit": "VARCHAR", "committed_at": "TIMESTAMP", "dirty": "BOOLEAN",
    "machine": "VARCHAR", "cpu_model": "VARCHAR", "cluster": "VARCHAR", "harness": "VARCHAR", "profilers": "VARCHAR",
    "experiment_id": "VARCHAR", "verdict": "VARCHAR", "exit_code": "INTEGER", "detail": "VARCHAR",
    "metric": "VARCHAR", "value": "DOUBLE", "low": "DOUBLE", "high": "DOUBLE", "unit": "VARCHAR", "reason": "VARCHAR",
}  # fmt: skip
"""Columns and their SQL types: a row for each metric of each entry; documented in docs/history.md."""
RESULT = ("metric", "value", "low", "high", "unit", "reason")
"""Those that differ from row to row of one entry."""
_REQUIRED = ("id", "kind", "started_at", "added_at", "scenario", "verdict", "metric", "value", "unit")

_NAME = re.compile(r"part-v(?P<version>\d+)-(?P<level>\d)-[0-9a-f]{32}\.parquet")
PARTS_OF_A_LEVEL = 64
"""More parts than this of one size are made into one."""
_LEVELS = 3
_ABANDONED_S = 24 * 3600.0  # no write takes that long
_TRIES = 20  # of a reader whose files are being compacted under its hands

_T = TypeVar("_T")


def write(directory: Path, entries: Iterable[tuple[Mapping[str, object], Iterable[Mapping[str, object]]]]) -> Path:
    """Write entries, each with its facts and its results, as a new part. Raises EnvironmentFault where the disk refuses."""
    lines = directory / f".tmp-{uuid.uuid4().hex}"
    texts = ", ".join(f"'{name}': 'VARCHAR'" for name in COLUMNS if name not in RESULT)
    result = ", ".join(f"{_name(name)} VARCHAR" for name in RESULT)
    source = (
        f"read_json({quoted(lines)}, format='newline_delimited', columns={{{texts}, 'results': 'STRUCT({result})[]'}})"
    )
    casts = ", ".join(f"CAST({_name(name)} AS {type_}) AS {_name(name)}" for name, type_ in COLUMNS.items())
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with lines.open("w") as file:
            for facts, results in entries:
                file.write(json.dumps({**_texts(facts), "results": [_texts(item) for item in results]}) + "\n")
        with _connection() as connection:
            flat = f"SELECT * EXCLUDE results, unnest(results, recursive := true) FROM {source}"
            return _publish(connection, directory, f"SELECT {casts} FROM ({flat})", level=0)
    except OSError as error:
        raise EnvironmentFault(
            f"the history cannot be written: {error.strerror or error}", place=str(directory)
        ) from error
    finally:
        with contextlib.suppress(OSError):
            lines.unlink()


def absorb(directory: Path, other: Path | None, file: Path | None = None) -> tuple[int, list[str]]:
    """Add what another store, or a file of one, has and `directory` has not, as one part.

    Returns how many entries that were, and what of the other had to be left out.
    """
    columns = ", ".join(map(_name, COLUMNS))

    def take(connection: duckdb.DuckDBPyConnection) -> int:
        own = [part for part in parts_of(directory) if _unsound(part) is None]
        known = f"SELECT kind, id, digest FROM {_read(own)}" if own else "SELECT '' AS kind, '' AS id, '' AS digest"
        select = f"SELECT {columns} FROM entries ANTI JOIN ({known}) USING (kind, id, digest)"
        (count,) = connection.execute(f"SELECT count(DISTINCT (kind, id)) FROM ({select})").fetchall()[0]
        if count:
            _publish(connection, directory, select, level=0)
        return int(count)

    return _reading(other, take) if other is not None else (_of_file(file or directory, take), [])


def query(directory: Path, sql: str, parameters: Sequence[object] = ()) -> tuple[list[tuple[Any, ...]], list[str]]:
    """Rows of a SQL query over `entries`, and what had to be left out, a sentence each.

    `entries` has each metric of each entry once, `heads` has one row of each entry.
    """
    return _reading(directory, lambda connection: connection.execute(sql, list(parameters)).fetchall())


def copy_out(directory: Path, sql: str, target: Path, options: str) -> list[str]:
    """Write the rows of a query over `entries` to a file, whole or not at all; what had to be left out is returned."""
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        _, warnings = _reading(directory, lambda c: c.execute(f"COPY ({sql}) TO {quoted(temporary)} ({options})"))
        temporary.replace(target)
    except OSError as error:
        raise EnvironmentFault(f"cannot be written: {error.strerror or error}", place=str(target)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return warnings


def _of_file(path: Path, action: Callable[[duckdb.DuckDBPyConnection], _T]) -> _T:
    """Do `action` with the `entries` of one file. Raises UsageError where it is no file of a history."""
    bad: dict[Path, str] = {}
    if (why := _unsound(path)) is not None:
        raise UsageError(why.partition(": left out: ")[2], place=str(path))
    with _connection() as connection:
        _view(connection, [path], bad)
        if bad:
            raise UsageError(
                "it is not a file of a history", place=str(path), remedy="harness history export writes one"
            )
        return action(connection)


def _reading(directory: Path, action: Callable[[duckdb.DuckDBPyConnection], _T]) -> tuple[_T, list[str]]:
    """Do `action` with a connection that has `entries`: again without the parts that turn out to be unreadable."""
    bad: dict[Path, str] = {}
    for _ in range(_TRIES):
        parts = [part for part in parts_of(directory) if part not in bad]
        try:
            with _connection() as connection:
                _view(connection, parts, bad)
                return action(connection), [*_foreign(directory), *bad.values()]
        except duckdb.Error as error:
            found = {part: why for part in parts if (why := _unsound(part)) is not None}
            if not found and all(part.exists() for part in parts):
                raise EnvironmentFault(f"the history cannot be read: {error}", place=str(directory)) from error
            bad |= {part: why for part, why in found.items() if part.exists()}
    raise EnvironmentFault(
        "the history cannot be read: its files keep vanishing", place=str(directory), remedy="try again later"
    )


def parts_of(directory: Path) -> list[Path]:
    """The parts that this version can read, in order of name."""
    return sorted(
        path
        for path in directory.glob("part-*.parquet")
        if (name := _NAME.fullmatch(path.name)) and int(name["version"]) <= VERSION
    )


def compact(directory: Path) -> None:
    """Make many small parts into one. Safe beside other writers, readers and compactions; without effect where it fails."""
    _sweep(directory)
    for level in range(_LEVELS):
        small = [path for path in parts_of(directory) if path.name.startswith(f"part-v{VERSION}-{level}-")]
        if len(small) <= PARTS_OF_A_LEVEL:
            return
        sound = [part for part in small if _unsound(part) is None]
        if len(sound) < 2:
            return
        try:
            with _connection() as connection:
                source = f"SELECT DISTINCT {_columns(connection, sound)} FROM {_read(sound)}"
                _publish(connection, directory, f"{source} ORDER BY metric, started_at", level=min(level + 1, _LEVELS))
        except (duckdb.Error, EnvironmentFault):
            return  # somebody else compacts, or the disk is full: the parts are all still there
        for part in sound:
            part.unlink(missing_ok=True)


def _connection() -> contextlib.closing[duckdb.DuckDBPyConnection]:
    return contextlib.closing(duckdb.connect(":memory:", config={"threads": min(os.cpu_count() or 1, 4)}))


def _view(connection: duckdb.DuckDBPyConnection, parts: Sequence[Path], bad: dict[Path, str]) -> None:
    """`entries`: the newest state of each entry. Parts that lack what an entry needs are added to `bad`."""
    names = {
        Path(file): set(columns)
        for file, columns in connection.execute(
            f"SELECT file_name, list(name) FROM parquet_schema({_list(parts)}) GROUP BY ALL"
        ).fetchall()
    } if parts else {}  # fmt: skip
    for part, columns in names.items():
        if missing := [name for name in _REQUIRED if name not in columns]:
            bad[part] = f"{part}: left out: it has no column {missing[0]!r}, so this version cannot read it"
    usable = [part for part in parts if part not in bad]
    if not usable:
        typed = ", ".join(f'CAST(NULL AS {type_}) AS "{name}"' for name, type_ in COLUMNS.items())
        for view in ("entries", "heads"):
            connection.execute(f"CREATE VIEW {view} AS SELECT {typed} WHERE false")
        return
    connection.execute(f"CREATE VIEW rows AS SELECT {_columns(connection, usable)} FROM {_read(usable)}")
    # an entry that was added again, because its verdict was made again, replaces the older one, all metrics of it
    connection.execute(
        "CREATE TABLE newest AS SELECT kind, id, max(added_at) AS added_at, arg_max(first, added_at) AS metric FROM ("
        "SELECT kind, id, added_at, min(metric) AS first FROM rows GROUP BY ALL) GROUP BY kind, id"
    )
    connection.execute(
        "CREATE VIEW entries AS SELECT DISTINCT ON (kind, id, metric) rows.* FROM rows "
        "SEMI JOIN newest USING (kind, id, added_at)"
    )
    # a row of each, for those who ask for no metric
    connection.execute(
        "CREATE VIEW heads AS SELECT DISTINCT ON (kind, id) rows.* FROM rows SEMI JOIN newest USING (kind, id, added_at, metric)"
    )


def _columns(connection: duckdb.DuckDBPyConnection, parts: Sequence[Path]) -> str:
    """The select list that gives every column its type; those that no part has are null."""
    there = {row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {_read(parts)}").fetchall()}
    return ", ".join(
        f'CAST({_name(name) if name in there else "NULL"} AS {type_}) AS {_name(name)}' for name, type_ in COLUMNS.items()
    )  # fmt: skip


def _unsound(part: Path) -> str | None:
    """Why a part cannot be read; None for one that can."""
    try:
        with _connection() as connection:
            select = _columns(connection, [part])
            connection.execute(f"CREATE TEMP TABLE probe AS SELECT {select} FROM {_read([part])}")
    except duckdb.Error as error:
        return f"{part}: left out: it cannot be read ({str(error).splitlines()[0]})"
    return None


def _foreign(directory: Path) -> list[str]:
    """Parts of versions to come."""
    return [
        f"{path}: left out: a newer version of the harness wrote it"
        for path in sorted(directory.glob("part-v*.parquet"))
        if (name := _NAME.fullmatch(path.name)) and int(name["version"]) > VERSION
    ]


def _publish(connection: duckdb.DuckDBPyConnection, directory: Path, select: str, *, level: int) -> Path:
    """Write a query's rows under a new name, on disk before the name is there."""
    name = uuid.uuid4().hex
    temporary, part = directory / f".tmp-{name}", directory / f"part-v{VERSION}-{level}-{name}.parquet"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        connection.execute(f"COPY ({select}) TO {quoted(temporary)} (FORMAT parquet, COMPRESSION zstd)")
        for path in (temporary, directory):
            _sync(path)
        temporary.replace(part)
        _sync(directory)
    except (duckdb.Error, OSError) as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise EnvironmentFault(f"the history cannot be written: {error}", place=str(directory)) from error
    return part


def _sweep(directory: Path) -> None:
    """Remove what writers that were killed left half-written."""
    for path in directory.glob(".tmp-*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED_S:
                path.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _texts(cells: Mapping[str, object]) -> dict[str, str | None]:
    """Cells as text that the SQL casts read back: floats with all their digits, nothing that UTF-8 cannot hold."""
    return {
        name: None if cell is None else repr(cell) if isinstance(cell, float) else str(cell).encode(errors="replace").decode()
        for name, cell in cells.items()
    }  # fmt: skip


def _read(parts: Iterable[Path]) -> str:
    return f"read_parquet({_list(parts)}, union_by_name=true)"


def _list(parts: Iterable[Path]) -> str:
    return "[" + ", ".join(quoted(part) for part in parts) + "]"


def _name(column: str) -> str:
    return f'"{column}"'
