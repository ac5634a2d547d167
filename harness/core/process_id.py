"""A process of this machine, named so that no other can be taken for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessId:
    """By pid, start and boot: pids are used again, also after a reboot."""

    pid: int
    started_ticks: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The process that has this pid now; None if there is none, or no more than a zombie."""
        try:
            # The command name, in parentheses, may hold spaces and parentheses itself.
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except OSError:
            return None
        return None if fields[0] in "ZX" else cls(pid, int(fields[19]), boot_id)

    def lives(self) -> bool:
        """Whether this very process still runs."""
        return ProcessId.of(self.pid) == self
