"""What Linux tells of a process, read from /proc as cheaply as it can be (two small files, without the layers of `open`)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_DEAD = frozenset({b"Z", b"X", b"x"})


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
        stat = _read(f"{proc}/{pid}/stat")
        statm = _read(f"{proc}/{pid}/statm").split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()  # the name before may hold blanks and brackets
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


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY)
    try:
        return b"".join(iter(lambda: os.read(fd, 65536), b""))
    finally:
        os.close(fd)


def count_fds(pid: int, proc: Path = Path("/proc")) -> int | None:
    """Open file descriptors of process `pid`; None where it is gone or may not be looked into."""
    try:
        return len(os.listdir(f"{proc}/{pid}/fd"))  # noqa: PTH208  # iterdir makes a Path per descriptor, 10 times a second
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
    """Direct children of process `pid`: as the kernel lists them, else by looking at every process."""
    try:
        lists = [_read(f"{proc}/{pid}/task/{task}/children") for task in os.listdir(f"{proc}/{pid}/task")]  # noqa: PTH208  # see above
        return [child for children in lists for child in map(int, children.split())]
    except (FileNotFoundError, ProcessLookupError):  # it is gone, a thread of it is, or CONFIG_PROC_CHILDREN is not set
        return _children_by_parent(pid, proc)


def _children_by_parent(pid: int, proc: Path) -> list[int]:
    """Those that vanish meanwhile are left out."""
    found = []
    for entry in os.listdir(proc):  # noqa: PTH208  # see above
        if not entry.isdigit():
            continue
        try:
            stat = _read(f"{proc}/{entry}/stat")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(stat[stat.rindex(b")") + 2 :].split(maxsplit=2)[1]) == pid:
            found.append(int(entry))
    return found
