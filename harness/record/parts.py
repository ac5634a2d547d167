"""The part files of a table: which of them hold its rows, and how many small ones become a large one.

A run writes a part every two seconds, so that a kill costs little; who reads an hour of them opens thousands of files. When
a run is over its parts are made into one, in which the rows of a series lie together: a query for one metric then reads a
few per cent of the file. The large part says in its name which ones it replaces (`part-00000-01799.parquet`), and is there,
whole, before they go: at no moment is a row missing, and what is in two parts is read once.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import duckdb

NAME = re.compile(r"part-(?P<first>\d+)(-(?P<last>\d+))?\.parquet")
FEW = 100
"""Up to so many parts, those of a run of some minutes, stay as they are: to open them takes less than to write them again."""
ORDER = {"samples": "metric, labels, t_ns", "requests": "done_ns", "propagation": "probe, intended_ns"}
"""What lies together in a merged part, by table."""
_MEMORY = "192MB"  # of the database that sorts: what does not fit waits in files of its own


def parts_of(folder: Path) -> list[Path]:
    """The parts that hold the rows of a table, each row once, in the order in which they were written."""
    spans, foreign = [], []
    for path in folder.glob("part-*.parquet"):
        found = NAME.fullmatch(path.name)
        if found is None:
            foreign.append(path)
        else:  # the widest of those that begin alike comes first
            spans.append((int(found["first"]), -int(found["last"] or found["first"]), path))
    parts, covered = [], -1
    for _, last, path in sorted(spans):
        if -last > covered:
            parts.append(path)
            covered = -last
    return [*parts, *sorted(foreign)]


def is_merged(part: Path) -> bool:
    """Whether the part replaces others."""
    found = NAME.fullmatch(part.name)
    return found is not None and found["last"] is not None


def merge(directory: Path, table: str, *, few: int = FEW) -> Path | None:
    """Make the parts of one table of a record into one; None where there are few. Raises OSError where the disk refuses.

    Nothing is lost where it fails: the small parts go last.
    """
    folder = directory / table
    parts = parts_of(folder)
    if len(parts) <= few:
        return None
    return replace(folder, parts, f"SELECT * FROM {reading(parts)} ORDER BY {ORDER[table]}")


def replace(folder: Path, parts: list[Path], query: str) -> Path:
    """Write the rows of a query as the part that replaces `parts`. Raises OSError where the disk refuses."""
    numbers = [found for part in parts if (found := NAME.fullmatch(part.name)) is not None]
    first = min((int(found["first"]) for found in numbers), default=0)
    last = max((int(found["last"] or found["first"]) for found in numbers), default=0)
    merged, temporary = folder / f"part-{first:05d}-{last:05d}.parquet", folder / "merged.tmp"
    spill = folder / "merging.tmp"
    try:
        with duckdb.connect(":memory:", config=_limits(spill)) as database:
            database.execute(f"COPY ({query}) TO {quoted(temporary)} (FORMAT parquet, COMPRESSION zstd)")
        temporary.replace(merged)
    except duckdb.Error as error:
        temporary.unlink(missing_ok=True)
        raise OSError(str(error)) from error
    finally:
        shutil.rmtree(spill, ignore_errors=True)
    for path in {*parts, *folder.glob("part-*.parquet")} - {merged}:  # also what a merge that was killed left
        found = NAME.fullmatch(path.name)
        if path in parts or (found is not None and first <= int(found["first"]) <= last):
            path.unlink(missing_ok=True)
    return merged


def _limits(spill: Path) -> dict[str, str | int | list[str]]:
    return {"threads": 2, "memory_limit": _MEMORY, "temp_directory": str(spill), "preserve_insertion_order": "false"}


def reading(parts: list[Path]) -> str:
    """The parts as a table function of SQL."""
    return f"read_parquet([{', '.join(map(quoted, parts))}])"


def quoted(path: Path) -> str:
    """A path as a literal of SQL."""
    return "'" + str(path).replace("'", "''") + "'"
