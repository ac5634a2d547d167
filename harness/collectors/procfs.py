"""What Linux tells of a process, read from /proc as cheaply as it can be (two small files, about 30 µs)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_DEAD = frozenset({"Z", "X", "x"})


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """Resources of one process. `anon_bytes` is the kernel's RssAnon: resident pages that belong to no file."""

    pid: int
    started_ticks: int
    """Tells a process from a later one with the same pid."""
    rss_bytes: int
    anon_bytes: int
    threads: int
    cpu_s: float


def read_process(pid: int, proc: Path = Path("/proc")) -> ProcessUse | None:
    """What process `pid` uses now; None where it is gone or a zombie (its memory is already given back)."""
    try:
        stat = (proc / str(pid) / "stat").read_text()
        statm = (proc / str(pid) / "statm").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(")") + 2 :].split()  # the name before may hold blanks and brackets
    resident, shared = int(statm[1]), int(statm[2])
    if fields[0] in _DEAD or resident == 0:
        return None
    return ProcessUse(
        pid=pid,
        started_ticks=int(fields[19]),
        rss_bytes=resident * _PAGE,
        anon_bytes=(resident - shared) * _PAGE,
        threads=int(fields[17]),
        cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS,
    )


def count_fds(pid: int, proc: Path = Path("/proc")) -> int | None:
    """Open file descriptors of process `pid`; None where it is gone or may not be looked into."""
    try:
        return len(os.listdir(proc / str(pid) / "fd"))  # noqa: PTH208  # iterdir makes a Path per descriptor, 10 times a second
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None


def fd_sorts(pid: int, proc: Path = Path("/proc")) -> dict[str, int]:
    """Open descriptors of process `pid` by what they are: `socket`, `pipe`, `anon_inode:[eventpoll]`, `file`."""
    found: dict[str, int] = {}
    try:
        numbers = os.listdir(proc / str(pid) / "fd")  # noqa: PTH208  # see above
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return found
    for number in numbers:
        try:
            target = str((proc / str(pid) / "fd" / number).readlink())
        except OSError:  # closed since, or the descriptor of the listing itself
            continue
        sort = (
            "file" if target.startswith("/") else target if target.startswith("anon_inode:") else target.split(":")[0]
        )
        found[sort] = found.get(sort, 0) + 1
    return found


def children_of(pid: int, proc: Path = Path("/proc")) -> list[int]:
    """Direct children of process `pid`, by looking at every process; those that vanish meanwhile are left out."""
    found = []
    for entry in os.listdir(proc):  # noqa: PTH208  # see above
        if not entry.isdigit():
            continue
        try:
            stat = (proc / entry / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(stat[stat.rindex(")") + 2 :].split(maxsplit=2)[1]) == pid:
            found.append(int(entry))
    return found
