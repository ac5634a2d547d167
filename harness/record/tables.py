"""The columnar tables of a record: their columns, and how rows become Parquet parts."""

from __future__ import annotations

import itertools
import json
import os
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from harness.record import parts

Row = Sequence[Any]

TABLES: dict[str, dict[str, str]] = {
    "samples": {
        "t_ns": "BIGINT", "phase": "VARCHAR", "source": "VARCHAR", "metric": "VARCHAR", "labels": "VARCHAR", "value": "DOUBLE",
    },
    "requests": {
        "phase": "VARCHAR", "worker": "INTEGER", "attempt": "INTEGER", "intended_ns": "BIGINT", "sent_ns": "BIGINT",
        "done_ns": "BIGINT", "verb": "VARCHAR", "kind": "VARCHAR", "name": "VARCHAR", "status": "INTEGER", "error": "VARCHAR",
        "bytes": "BIGINT",
    },
    "propagation": {
        "probe": "VARCHAR", "cause_id": "VARCHAR", "intended_ns": "BIGINT", "sent_ns": "BIGINT", "acked_ns": "BIGINT",
        "seen_ns": "BIGINT", "namespace": "VARCHAR", "name": "VARCHAR",
    },
}  # fmt: skip
"""Table name to columns and their SQL types; documented in docs/record.md."""

_ERRNO = re.compile(r'"errno":"(\d+)"')
_NUMPY = {"BIGINT": np.int64, "INTEGER": np.int32, "DOUBLE": np.float64}


class PartWriter:
    """Writes parts of one table into a directory. A part appears under its name only when it is complete."""

    def __init__(self, directory: Path, table: str, database: duckdb.DuckDBPyConnection | None = None) -> None:
        """`database` is shared by the writers of one record, each with a cursor of its own: an instance takes some MiB."""
        self._directory = directory / table
        self._directory.mkdir(parents=True, exist_ok=True)
        self._columns = TABLES[table]
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._connection = (database or writing_database()).cursor()

    def write(self, rows: Sequence[Row]) -> Path:
        """Write `rows` (in column order) as the next part. Raises OSError where the disk refuses."""
        with self._lock:
            part = self._directory / f"part-{next(self._numbers):05d}.parquet"
            temporary = part.with_suffix(".tmp")
            batch = dict(zip(self._columns, map(_array, zip(*rows, strict=True), self._columns.values()), strict=True))
            casts = ", ".join(f'CAST("{name}" AS {type_}) AS "{name}"' for name, type_ in self._columns.items())
            try:
                self._connection.register("batch", batch)
                target = str(temporary).replace("'", "''")
                self._connection.execute(f"COPY (SELECT {casts} FROM batch) TO '{target}' (FORMAT parquet)")
                self._connection.unregister("batch")
                temporary.replace(part)
            except duckdb.Error as error:
                temporary.unlink(missing_ok=True)
                raise _as_told_by_the_system(error, temporary) from error
            return part

    def close(self) -> None:
        """Release the connection."""
        with self._lock:
            self._connection.close()


def _as_told_by_the_system(error: duckdb.Error, path: Path) -> OSError:
    """DuckDB wraps what the system said into JSON within a sentence."""
    number = _ERRNO.search(str(error))
    return OSError(str(error)) if number is None else OSError(int(number[1]), os.strerror(int(number[1])), str(path))


def labels_of(encoded: str) -> dict[str, str]:
    """The labels of a series from their column; of what is no object of JSON, the text itself under `labels`."""
    try:
        labels = json.loads(encoded)
    except (ValueError, RecursionError):
        return {"labels": encoded}
    return {str(k): str(v) for k, v in labels.items()} if isinstance(labels, dict) else {"labels": encoded}


def writing_database() -> duckdb.DuckDBPyConnection:
    """An instance of DuckDB that only turns rows into Parquet."""
    return duckdb.connect(":memory:", config={"threads": 1})


def _array(values: Sequence[Any], type_: str) -> np.ndarray[Any, Any] | np.ma.MaskedArray[Any, Any]:
    if type_ not in _NUMPY:
        return np.array(values, dtype=object)
    if None in values:
        mask = [value is None for value in values]
        return np.ma.masked_array([0 if value is None else value for value in values], mask=mask, dtype=_NUMPY[type_])
    return np.array(values, dtype=_NUMPY[type_])


_ALWAYS: dict[str, tuple[str, ...]] = {
    "samples": ("t_ns", "phase", "source", "metric", "labels", "value"),
    "requests": ("phase", "intended_ns", "sent_ns", "done_ns", "verb", "kind", "name", "status"),
    "propagation": ("probe", "cause_id", "intended_ns"),
}
"""Columns that are never null. A row of a foreign part in which one is, is left out: readers add them up without asking."""


def connect(directory: Path) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection with a view per table over the parts of a record; a table without parts is empty.

    Whatever a foreign part holds, columns are of their types: a query raises duckdb.Error where a value cannot be.
    """
    connection = duckdb.connect(":memory:", config={"threads": os.cpu_count() or 1})
    for table, columns in TABLES.items():
        found = parts.parts_of(directory / table)
        if found:
            typed = ", ".join(f'CAST("{name}" AS {type_}) AS "{name}"' for name, type_ in columns.items())
            whole = " AND ".join(f'"{name}" IS NOT NULL' for name in _ALWAYS[table])
            where = f"FROM {parts.reading(found)} WHERE {whole}"
        else:
            typed = ", ".join(f'CAST(NULL AS {type_}) AS "{name}"' for name, type_ in columns.items())
            where = "WHERE false"
        try:
            connection.execute(f"CREATE VIEW {table} AS SELECT {typed} {where}")
        except duckdb.Error as error:  # a damaged part costs its own table: whoever asks for that is told
            typed = ", ".join(f'CAST(NULL AS {type_}) AS "{name}"' for name, type_ in columns.items())
            why = str(error).replace("'", "''")
            connection.execute(f"CREATE VIEW {table} AS SELECT {typed} FROM range(1) WHERE error('{why}') IS NULL")
    return connection
