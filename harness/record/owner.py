"""Who writes a record, in a form that a recycled pid cannot fake."""

from __future__ import annotations

import os
from pathlib import Path

from harness.record.models import Owner


def _started_ticks(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def this_process() -> Owner:
    """The calling process as an owner."""
    pid = os.getpid()
    return Owner(pid=pid, started_ticks=_started_ticks(pid) or 0, boot_id=_boot_id())


def is_alive(owner: Owner) -> bool:
    """Whether the owner still runs on this machine. A record from another machine has no living owner here."""
    return owner.boot_id == _boot_id() and _started_ticks(owner.pid) == owner.started_ticks
