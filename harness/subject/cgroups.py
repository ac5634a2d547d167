"""Memory cgroups of version 1 and 2: setting a limit and reading the counters.

Files are opened without O_CREAT, as the kernel's are: a controller that is not there fails with a clear error instead
of leaving a plain file behind.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from harness.core.handles import JSON

SWAP_FILE_V1 = "memory.memsw.limit_in_bytes"
SWAP_SLACK_BYTES = 4 * 2**20
"""Memory with swap may exceed memory by this much. Were both limits equal, the former would be hit first, and recent
kernels do not count those hits. Swappiness 0 forbids swapping anyway."""
_ONE_READ = 2048
"""The kernel gives such files by about a page at a time: an answer shorter than this is the whole rest."""


@dataclass(frozen=True, slots=True)
class Counters:
    """What a memory cgroup tells at one moment. Bytes; `oom_kills` and `limit_hits` are cumulative."""

    usage_bytes: int
    peak_bytes: int | None
    oom_kills: int
    limit_hits: int
    limit_bytes: int
    limit_ooms: int | None = None
    """Cumulative times an allocation failed at this very limit; None on v1, where the kernel does not tell."""

    def as_json(self) -> dict[str, JSON]:
        """For the evidence of an ending."""
        return asdict(self)


def write(path: Path, value: str) -> None:
    """Write to a file of the kernel; raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def read(path: Path) -> bytes:
    """A small file of the kernel, without the layers of `open`: these are read many times a second. Raises OSError."""
    fd = os.open(path, os.O_RDONLY)
    try:
        data = more = os.read(fd, 65536)
        while len(more) > _ONE_READ:
            more = os.read(fd, 65536)
            data += more
        return data
    finally:
        os.close(fd)


def read_int(path: Path) -> int:
    """A single number; `max` reads as 2**63 - 1."""
    text = read(path).strip()
    return 2**63 - 1 if text == b"max" else int(text)


def read_table(path: Path) -> dict[str, int]:
    """Lines of `name number`."""
    return {name.decode(): int(value) for name, value in (line.split() for line in read(path).splitlines())}


def major_faults(path: Path) -> int | None:
    """Cumulative faults of a memory cgroup, at `path`, and below for which a disk had to be read; None where it is not told.

    Not one of `Counters`, which are read many times a second: the kernel sums all of `memory.stat` for it.
    """
    try:
        table = read_table(path / "memory.stat")
    except (OSError, ValueError):
        return None
    return table.get("total_pgmajfault", table.get("pgmajfault"))  # v1 has both; v2's includes what is below


class Counted:
    """What can be read one by one of the counters of a memory cgroup."""

    def counters(self) -> Counters:
        """All counters now."""
        raise NotImplementedError

    def usage_bytes(self) -> int:
        """Memory charged now."""
        return self.counters().usage_bytes

    def peak_bytes(self) -> int | None:
        """Highest charge so far, None where the kernel does not tell."""
        return self.counters().peak_bytes

    def oom_kills(self) -> int:
        """Cumulative kills of processes of this cgroup, by whichever limit."""
        return self.counters().oom_kills

    def limit_hits(self) -> int:
        """Cumulative times the limit was reached; reclaim may have made room then."""
        return self.counters().limit_hits


class MemoryCgroup(Counted):
    """A memory cgroup, implementing `core.handles.Cgroup`. After `seal` it answers from the last reading."""

    version: Literal[1, 2]

    def __init__(self, path: Path) -> None:
        self.path = path
        self.limit_bytes = self._limit()
        self._sealed: Counters | None = None

    def counters(self) -> Counters:
        """All counters now. Raises OSError when the cgroup was removed without `seal`."""
        return self._sealed or self._read()

    def seal(self) -> Counters:
        """Keep the counters as they are: the cgroup is about to be removed."""
        if self._sealed is None:
            self._sealed = self._read()
        return self._sealed

    def pids(self) -> list[int]:
        """Processes in it; empty once it is gone."""
        if self._sealed is not None:
            return []
        try:
            return [pid for pid in map(int, read(self.path / "cgroup.procs").split()) if pid > 0]
        except FileNotFoundError:
            return []

    def _limit(self) -> int:
        raise NotImplementedError

    def _read(self) -> Counters:
        raise NotImplementedError


def set_limit(path: Path, version: Literal[1, 2], limit_bytes: int, *, oom_group: bool = False) -> None:
    """Give a fresh cgroup its limit, without swap; raises OSError.

    `oom_group` (v2 only): the kernel kills all processes of the cgroup together, as kubelets have it done.
    """
    if version == 1:
        write(path / "memory.limit_in_bytes", str(limit_bytes))
        if (path / SWAP_FILE_V1).exists():  # after the line above: it may not be below the limit without swap
            write(path / SWAP_FILE_V1, str(limit_bytes + SWAP_SLACK_BYTES))
        write(path / "memory.swappiness", "0")
        return
    write(path / "memory.max", str(limit_bytes))
    if (path / "memory.swap.max").exists():  # absent where the kernel has no swap
        write(path / "memory.swap.max", "0")
    if oom_group:
        write(path / "memory.oom.group", "1")


class MemoryCgroupV1(MemoryCgroup):
    """`memory.limit_in_bytes` and its neighbours."""

    version: Literal[1, 2] = 1

    def usage_bytes(self) -> int:
        """See `Counted`; reads that file alone."""
        return self._sealed.usage_bytes if self._sealed else read_int(self.path / "memory.usage_in_bytes")

    def peak_bytes(self) -> int | None:
        """See `Counted`; reads that file alone."""
        return self._sealed.peak_bytes if self._sealed else read_int(self.path / "memory.max_usage_in_bytes")

    def oom_kills(self) -> int:
        """See `Counted`; reads that file alone."""
        if self._sealed:
            return self._sealed.oom_kills
        return read_table(self.path / "memory.oom_control").get("oom_kill", 0)

    def limit_hits(self) -> int:
        """See `Counted`; reads that file alone."""
        return self._sealed.limit_hits if self._sealed else read_int(self.path / "memory.failcnt")

    def _limit(self) -> int:
        return read_int(self.path / "memory.limit_in_bytes")

    def _read(self) -> Counters:
        return Counters(
            usage_bytes=read_int(self.path / "memory.usage_in_bytes"),
            peak_bytes=read_int(self.path / "memory.max_usage_in_bytes"),
            oom_kills=read_table(self.path / "memory.oom_control").get("oom_kill", 0),
            limit_hits=read_int(self.path / "memory.failcnt"),
            limit_bytes=self.limit_bytes,
        )


class MemoryCgroupV2(MemoryCgroup):
    """`memory.max` and its neighbours."""

    version: Literal[1, 2] = 2

    def usage_bytes(self) -> int:
        """See `Counted`; reads that file alone."""
        return self._sealed.usage_bytes if self._sealed else read_int(self.path / "memory.current")

    def peak_bytes(self) -> int | None:
        """See `Counted`; reads that file alone."""
        return self._sealed.peak_bytes if self._sealed else self._read_peak()

    def oom_kills(self) -> int:
        """See `Counted`; reads that file alone."""
        if self._sealed:
            return self._sealed.oom_kills
        return read_table(self.path / "memory.events").get("oom_kill", 0)

    def limit_hits(self) -> int:
        """See `Counted`; reads that file alone."""
        return self._sealed.limit_hits if self._sealed else read_table(self.path / "memory.events").get("max", 0)

    def _read_peak(self) -> int | None:
        try:
            return read_int(self.path / "memory.peak")  # Linux 5.19
        except FileNotFoundError:
            read_int(self.path / "memory.current")  # raises where the whole cgroup is gone
            return None

    def _limit(self) -> int:
        return read_int(self.path / "memory.max")

    def _read(self) -> Counters:
        events = read_table(self.path / "memory.events")
        return Counters(
            usage_bytes=read_int(self.path / "memory.current"),
            peak_bytes=self._read_peak(),
            oom_kills=events.get("oom_kill", 0),
            limit_hits=events.get("max", 0),
            limit_bytes=self.limit_bytes,
            limit_ooms=events.get("oom", 0),
        )
