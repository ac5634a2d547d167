"""Threads that wait in the kernel at a place where any function of the C library may be called on their stack.

`malloc` and the dynamic loader make system calls too (`mmap`, `brk`, `futex` for their locks, `read` of regular files): a
thread in one of these may hold their locks. Those named here are never made by them.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

_WAITS = {
    7: "poll", 271: "ppoll", 23: "select", 270: "pselect6", 232: "epoll_wait", 281: "epoll_pwait", 441: "epoll_pwait2",
    43: "accept", 288: "accept4", 45: "recvfrom", 47: "recvmsg", 35: "nanosleep", 230: "clock_nanosleep", 34: "pause",
    61: "wait4", 247: "waitid", 128: "rt_sigtimedwait", 130: "rt_sigsuspend",
}  # fmt: skip
"""System calls of x86-64 by number that only wait."""

_READ, _FUTEX = 0, 202
_FUTEX_WAIT_BITSET = 9
"""glibc waits so for semaphores and conditions (Python's locks), never for its mutexes."""
_FUTEX_COMMANDS = 127
_ORDINARY = (stat.S_ISREG, stat.S_ISDIR, stat.S_ISBLK)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A thread at rest: its id and the name of the system call."""

    tid: int
    call: str


def of(pid: int, proc: Path = Path("/proc")) -> list[int]:
    """Ids of the threads of a process, main thread first; empty when it is gone."""
    with contextlib.suppress(OSError):
        found = sorted(int(entry.name) for entry in (proc / str(pid) / "task").iterdir())
        return sorted(found, key=lambda tid: tid != pid)
    return []


def waiting(pid: int, proc: Path = Path("/proc")) -> list[Waiting]:
    """Threads that are at rest now, the main thread first: its stack is the largest."""
    found = []
    for tid in of(pid, proc):
        call = at_rest(pid, tid, proc)
        if call is not None:
            found.append(Waiting(tid, call))
    return found


def at_rest(pid: int, tid: int, proc: Path = Path("/proc")) -> str | None:
    """Name of the system call a thread waits in where it is a safe one, else None."""
    task = proc / str(pid) / "task" / str(tid)
    try:
        words = (task / "syscall").read_text().split()
        number = int(words[0])  # `running` while it runs
        arguments = [int(word, 16) for word in words[1:7]]
    except (OSError, ValueError, IndexError):
        return None
    if number in _WAITS:
        return _WAITS[number]
    if number == _FUTEX and len(arguments) > 1 and arguments[1] & _FUTEX_COMMANDS == _FUTEX_WAIT_BITSET:
        return "futex"
    if number == _READ and arguments and _may_block(proc / str(pid) / "fd" / str(arguments[0])):
        return "read"
    return None


def _may_block(descriptor: Path) -> bool:
    """Whether a descriptor is a pipe, a socket or a terminal: the loader reads regular files."""
    try:
        mode = os.stat(descriptor).st_mode  # noqa: PTH116  # follows what /proc links to
    except OSError:
        return False
    return not any(is_kind(mode) for is_kind in _ORDINARY)
