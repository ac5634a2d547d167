"""The memory cgroup this process is in, and how near it is to its limit: what a controller can know of its own end.

Read as the kernel tells it, cgroup v1 and v2, with and without a cgroup namespace (a pod sees its own cgroup as the root).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_NO_LIMIT = 2**60
"""v1 says "no limit" with a number near 2**63; no machine has that much."""


@dataclass(frozen=True, slots=True)
class MemoryCgroup:
    """The nearest cgroup above this process that has a limit."""

    limit: int
    """Bytes."""
    usage_file: Path
    stat_file: Path
    file_field: str

    def working_set(self) -> int:
        """Bytes that count and cannot be reclaimed at once: usage without inactive file pages, as a kubelet counts.

        Raises OSError where the cgroup is gone, ValueError where its files hold something else.
        """
        usage = int(self.usage_file.read_text())
        for line in self.stat_file.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == self.file_field:
                return max(0, usage - int(value))
        return usage


def own(proc: Path = Path("/proc/self")) -> MemoryCgroup | None:
    """The cgroup that limits this process; None where nothing does, or nobody tells."""
    try:
        groups = [line.split(":", 2) for line in (proc / "cgroup").read_text().splitlines()]
        mounts = [line.split() for line in (proc / "mountinfo").read_text().splitlines()]
    except OSError:
        return None
    for number, controllers, path in groups:
        if "memory" in controllers.split(",") and (found := _nearest(_v1(mounts), path, v2=False)):
            return found
        if number == "0" and (found := _nearest(_v2(mounts), path, v2=True)):
            return found
    return None


def _v1(mounts: list[list[str]]) -> tuple[str, str] | None:
    """Root and mount point of the v1 memory hierarchy."""
    for fields in mounts:
        tail = fields[fields.index("-") + 1 :]
        if tail[0] == "cgroup" and "memory" in tail[2].split(","):
            return fields[3], fields[4]
    return None


def _v2(mounts: list[list[str]]) -> tuple[str, str] | None:
    for fields in mounts:
        if fields[fields.index("-") + 1] == "cgroup2":
            return fields[3], fields[4]
    return None


def _nearest(mounted: tuple[str, str] | None, path: str, *, v2: bool) -> MemoryCgroup | None:
    if mounted is None:
        return None
    root, point = mounted
    base = Path(point)
    inside = path.removeprefix(root) if root != "/" else path
    directory = base / inside.strip("/")
    limit_name, usage_name, field = (
        ("memory.max", "memory.current", "inactive_file")
        if v2
        else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    )
    for each in (directory, *directory.parents):
        try:
            limit = int((each / limit_name).read_text())
        except (OSError, ValueError):  # no such file at the root of v2; "max"
            limit = _NO_LIMIT
        if limit < _NO_LIMIT:
            return MemoryCgroup(limit, each / usage_name, each / "memory.stat", field)
        if each == base:
            break
    return None
