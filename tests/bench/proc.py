"""What a process has used, asked of the kernel from outside: the same witness for all that is compared."""

from __future__ import annotations

from pathlib import Path

from harness.collectors import procfs
from harness.core.errors import RunFault


def rss_bytes(pid: int, name: str) -> int:
    """Resident set now. Raises RunFault if the process is gone."""
    return _use(pid, name).rss_bytes


def cpu_s(pid: int, name: str) -> float:
    """User and system time so far, in steps of 10 ms. Raises RunFault if the process is gone."""
    return _use(pid, name).cpu_s


def peak_rss_bytes(pid: int, name: str) -> int:
    """The highest resident set so far. Raises RunFault if the process is gone or the kernel does not tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        raise _gone(name) from None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise _gone(name)


def lives(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    return procfs.read_process(pid) is not None


def _use(pid: int, name: str) -> procfs.ProcessUse:
    use = procfs.read_process(pid)
    if use is None:
        raise _gone(name)
    return use


def _gone(name: str) -> RunFault:
    return RunFault(f"{name} is gone while it was being measured")
