"""What the kernel's log says about OOM kills, where it may be read.

It is the one witness that names the limit a process was killed for: the counters of a v1 cgroup cannot tell a kill at
the cgroup's own limit from one by the node.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

KMSG = Path("/dev/kmsg")
_RECORD_BYTES = 8192  # a read returns one record, and fails if it does not fit
_OOM_KILL = re.compile(
    r"oom-kill:constraint=(?P<constraint>\w+),.*?(?:oom_memcg=(?P<limit>[^,]*)|global_oom),"
    r"task_memcg=(?P<victim>[^,]*),task=(?P<task>.*),pid=(?P<pid>\d+),uid=\d+"
)


@dataclass(frozen=True, slots=True)
class OomKill:
    """One kill: `limit` is the cgroup whose limit was exceeded (None: the node's memory), `victim` that of the killed."""

    limit: str | None
    victim: str


def parse(line: str) -> OomKill | None:
    """The kill that a line of the log tells of, if it does."""
    match = _OOM_KILL.search(line)
    return OomKill(match["limit"], match["victim"]) if match else None


class KernelLog:
    """The kernel's log from now on. Without the right to read it there is nothing in it."""

    def __init__(self, path: Path = KMSG) -> None:
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            self._fd = -1
            return
        os.lseek(self._fd, 0, os.SEEK_END)

    def oom_kills(self, cgroup: Path) -> list[OomKill]:
        """Kills in `cgroup` since the last call. Run ids make the last two parts of its path unique on this machine."""
        name = "/" + "/".join(cgroup.parts[-2:])
        kills = [kill for line in self._lines() if (kill := parse(line)) is not None]
        return [kill for kill in kills if kill.victim.endswith(name)]

    def close(self) -> None:
        """Stop reading."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _lines(self) -> list[str]:
        lines: list[str] = []
        while self._fd >= 0:
            try:
                record = os.read(self._fd, _RECORD_BYTES)
            except BrokenPipeError:  # records were overwritten before they were read; the next read goes on
                continue
            except OSError:
                break
            if not record:
                break
            lines.append(record.decode(errors="replace"))
        return lines
