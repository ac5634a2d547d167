"""A process that somebody else has started: it is measured, and never ended, limited or changed.

The cgroup it happens to be in is read where that is one of its own. How it ends only its parent learns; here it is seen that
it did, and whether the kernel counted an OOM kill in its cgroup.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
from collections.abc import Sequence
from pathlib import Path

from harness import process
from harness.core.clock import RunClock
from harness.core.errors import EnvironmentFault, UsageError
from harness.core.handles import Ending, KillWitness, Stats, SubjectRuntime
from harness.subject.cgroups import Counters, MemoryCgroup, MemoryCgroupV1, MemoryCgroupV2
from harness.subject.ending import Witness
from harness.subject.kills import CgroupKills
from harness.subject.limits import Kernel, find_hierarchy
from harness.subject.redact import redact
from harness.subject.runtime import detect

UNLIMITED_BYTES = 2**60
"""A cgroup without a limit names a number like this or higher."""
POLL_S = 0.1
EXEC_S = 2.0
"""How long a process may take from becoming another program to telling its words."""
_KTHREADD = 2


class ForeignProcess:
    """Implements `core.handles.Subject`. Made by `find`; `close` it in a `finally`."""

    kind = "foreign"

    def __init__(
        self, pid: int, pidfd: int, clock: RunClock, *, command: Sequence[str], runtime: SubjectRuntime, version: str | None,
        metrics_url: str | None, pprof_url: str | None,
    ) -> None:  # fmt: skip
        self.pid = pid
        self.command: Sequence[str] = redact(command)
        self.user = ""
        self.kubeconfig = Path()
        self.runtime: SubjectRuntime = runtime
        self.runtime_version = version
        self.started_ns = clock.now_ns()
        """When it was found, not when it was started: that was before the run."""
        self.metrics_url = metrics_url
        self.pprof_url = pprof_url
        self.agent_socket: Path | None = None
        self.shared: str | None = None
        """Why its cgroup is not read: it shares it, and what is charged there is not only its own. None where it is read."""
        self.cgroup: MemoryCgroup | None = cgroup_of(pid)
        self._pidfd = pidfd
        self._clock = clock
        self._ending: Ending | None = None
        self._first: Counters | None = None
        if self.cgroup is not None and (others := set(self.cgroup.pids()) - {pid, *process.descendants(pid)}):
            self.shared = f"it shares its memory cgroup {self.cgroup.path} with {len(others)} other processes"
            self.cgroup = None
        limit = None if self.cgroup is None else self.cgroup.limit_bytes
        self.memory_limit = None if limit is None or limit >= UNLIMITED_BYTES else limit
        self.kills: KillWitness | None = None if self.cgroup is None else CgroupKills(self.cgroup)
        self.stats: Stats | None = None
        self.cpu = None
        self._first = self.cgroup.counters() if self.cgroup else None
        self._last = self._first

    @property
    def replicas(self) -> Sequence[ForeignProcess]:
        """Itself: it is the only one."""
        return [self]

    def pids(self) -> list[int]:
        """The process and what it has started, while it lives."""
        return [] if self.ending() is not None else [self.pid, *process.descendants(self.pid)]

    def ending(self) -> Ending | None:
        """That it ended, and whether it was OOM-killed; None while it lives."""
        if self._ending is None:
            with contextlib.suppress(OSError):  # its cgroup may go with it
                self._last = self.cgroup.counters() if self.cgroup else None
            if _has_ended(self._pidfd, self.pid):
                self._ending = self._judge()
        return self._ending

    async def wait_ended(self) -> Ending:
        """Wait until it has ended."""
        while (ending := self.ending()) is None:  # noqa: ASYNC110 # its cgroup's counters must be read while they are there
            await asyncio.sleep(POLL_S)
        return ending

    def close(self) -> None:
        """Let go of it. Idempotent."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def _judge(self) -> Ending:
        witness = Witness((self._first, self._last) if self._first and self._last else None)
        t_ns = self._clock.now_ns()
        if witness.kills and witness.limit_reached:
            sentence = f"OOM-killed at its memory limit: {witness.kills} OOM kills counted in its cgroup"
            return Ending("oom_limit", 137, t_ns, sentence, witness.as_json())
        sentence = f"process {self.pid} has ended; how, only its parent knows"
        return Ending("gone", None, t_ns, sentence, witness.as_json())


def check(pid: int, proc: Path = Path("/proc")) -> None:
    """Raises UsageError or EnvironmentFault, each one line, for a process that cannot be measured."""
    place = f"pid {pid}"
    if pid == os.getpid():
        raise UsageError("that is the harness itself", place=place, remedy="name the controller's process")
    try:
        stat = (proc / str(pid) / "stat").read_text()
        owner = _owner(proc / str(pid))
    except OSError:
        raise UsageError("there is no such process", place=place, remedy="`pgrep -f NAME` tells the pid") from None
    fields = stat[stat.rindex(")") + 2 :].split()
    if fields[0] in "ZXx":
        raise UsageError("it has ended already; its parent has not taken notice", place=place)
    if int(fields[1]) == _KTHREADD or pid == _KTHREADD:
        raise UsageError("it is a thread of the kernel", place=place, remedy="name the controller's process")
    if os.geteuid() not in (0, owner):
        raise EnvironmentFault(
            f"it belongs to {_name(owner)}: only they and root can measure it",
            place=place,
            remedy="run the harness as they do",
        )


async def find(
    pid: int, clock: RunClock, *, metrics_url: str | None = None, pprof_url: str | None = None
) -> ForeignProcess:
    """The running process `pid`. Raises as `check`."""
    check(pid)
    try:
        pidfd = os.pidfd_open(pid)
    except OSError as error:
        raise UsageError("there is no such process any more", place=f"pid {pid}") from error
    try:
        command = await _words(pid)
        program = os.readlink(f"/proc/{pid}/exe")  # noqa: PTH115 # as the kernel tells it
        runtime, python = await detect([program], dict(os.environ))
        version = None if python is None else ".".join(map(str, python.version))
        return ForeignProcess(
            pid,
            pidfd,
            clock,
            command=command,
            runtime=runtime,
            version=version,
            metrics_url=metrics_url,
            pprof_url=pprof_url,
        )
    except OSError as error:
        os.close(pidfd)
        raise UsageError(f"it cannot be looked at: {error.strerror}", place=f"pid {pid}") from error
    except BaseException:
        os.close(pidfd)
        raise


def command_line(pid: int, proc: Path = Path("/proc")) -> list[str]:
    """The words it was started with; empty where it is gone, or has them no more or not yet (see `_words`)."""
    try:
        words = (proc / str(pid) / "cmdline").read_bytes().rstrip(b"\0")
    except OSError:
        return []
    return [word.decode(errors="replace") for word in words.split(b"\0")] if words else []


async def _words(pid: int, proc: Path = Path("/proc")) -> list[str]:
    """`command_line`, waited for: the kernel has none for a moment within exec, when who started it goes on already."""
    deadline = asyncio.get_running_loop().time() + EXEC_S
    while not (words := command_line(pid, proc)) and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 # a file
        await asyncio.sleep(0.01)
    return words


def cgroup_of(pid: int) -> MemoryCgroup | None:
    """The memory cgroup that it is in; None where that is the root, which is charged for the whole machine."""
    hierarchy = find_hierarchy(Kernel(), who=str(pid))
    if hierarchy is None or hierarchy.own == hierarchy.mount:
        return None
    try:
        found = MemoryCgroupV1(hierarchy.own) if hierarchy.version == 1 else MemoryCgroupV2(hierarchy.own)
        found.counters()
    except (OSError, ValueError):
        return None
    return found


def _has_ended(pidfd: int, pid: int) -> bool:
    """By the process itself, not by its number, which another may have by now."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    if stat[stat.rindex(")") + 2] in "ZXx":
        return True
    try:
        return b"Pid:\t-1" in Path(f"/proc/self/fdinfo/{pidfd}").read_bytes()
    except OSError:
        return True


def _owner(process: Path) -> int:
    return process.stat().st_uid


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
