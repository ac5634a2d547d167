"""A subject that is a local process with a memory limit of its own."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Protocol

from harness import process
from harness.core.errors import RunFault
from harness.core.handles import Ending, KillWitness, Launch, Stats, SubjectRuntime
from harness.core.ids import RUN_ENV
from harness.subject import limits
from harness.subject.cgroups import MemoryCgroup
from harness.subject.cpu import CpuCgroup
from harness.subject.ending import classify
from harness.subject.kills import CgroupKills
from harness.subject.placeholders import Placeholders
from harness.subject.readiness import Ready, Source, Watch, watch_for
from harness.subject.redact import redact, redact_text
from harness.subject.rest import at_rest
from harness.subject.witness import Observation

LOG_NAME = "subject.log"
LOG_TAIL_LINES = 5
LOG_TAIL_BYTES = 8192
STOP_GRACE_S = 10.0
"""Between SIGTERM and SIGKILL: a controller gives up its lease and closes its watches meanwhile."""
_WALK_S = 1.0


def log_name(replica: int) -> str:
    """The file of the record that a replica writes to; the first one's is that of a subject without others."""
    return LOG_NAME if replica == 0 else f"subject-replica-{replica}.log"


class SubjectNotReady(RunFault):
    """The subject ended or its time ran out before it was ready. `ending` is None in the latter case."""

    def __init__(self, cause: str, *, place: str, remedy: str, ending: Ending | None) -> None:
        super().__init__(cause, place=place, remedy=remedy)
        self.ending = ending


class ProcessSubject:
    """One incarnation of the subject, implementing `core.handles.Subject`. Made by `start`; `stop` it in a `finally`."""

    kind = "process"

    def __init__(
        self, child: process.Child, launch: Launch, observation: Observation, *, command: Sequence[str], kubeconfig: Path,
        user: str, cgroup: MemoryCgroup | None, memory_limit: int | None, metrics_url: str | None, pprof_url: str | None,
        started_ns: int, incarnation: int, cpu: CpuCgroup | None = None, replica: int = 0,
    ) -> None:  # fmt: skip
        self.command: Sequence[str] = redact(command)
        self.user = user
        self.kubeconfig = kubeconfig
        self.runtime: SubjectRuntime = launch.runtime
        self.started_ns = started_ns
        self.ready_ns: int | None = None
        """Run time at which it was ready."""
        self.pid = child.pid
        self.cgroup: MemoryCgroup | None = cgroup
        self.kills: KillWitness | None = None if cgroup is None else CgroupKills(cgroup)
        self.stats: Stats | None = None
        self.cpu = cpu
        self.metrics_url = metrics_url
        self.pprof_url = pprof_url
        self.agent_socket = launch.agent_socket
        self.memory_limit = memory_limit
        self.incarnation = incarnation
        self.log = launch.run_dir / log_name(replica)
        self.thrashed_s = 0.0
        """Set by whoever stops it because of thrashing: for how long it had gone on."""
        self._child = child
        self._clock = launch.clock
        self._observation = observation
        self._ending: Ending | None = None
        self._outside: list[int] = []
        self._walked_s = -math.inf

    @property
    def replicas(self) -> Sequence[ProcessSubject]:
        """Itself: it is the only one."""
        return [self]

    def pids(self) -> list[int]:
        """Every live process of the subject, `pid` first.

        Its cgroup lists them. The tree is walked too, for those that have left the cgroup, but once a second only, for that is
        the dearest of all that is read of a subject; one that has gone since reads as none.
        """
        if self._ending is not None:
            return []
        if self.cgroup is None:
            found = process.descendants(self._child.supervisor_pid)
        else:
            found = self.cgroup.pids()
            if time.monotonic() - self._walked_s >= _WALK_S:
                self._walked_s = time.monotonic()
                below = process.descendants(self._child.supervisor_pid)
                self._outside = [pid for pid in below if pid not in found]
            found += [pid for pid in self._outside if pid not in found]
        return sorted(found, key=lambda pid: pid != self.pid)

    def ending(self) -> Ending | None:
        """How it ended; None while it lives."""
        exit_ = self._child.returned()
        if self._ending is None and exit_ is not None:
            t_ns = self._clock.from_monotonic_ns(exit_.t_monotonic_ns)
            self._ending = classify(exit_, self._observation.witness(), t_ns=t_ns, thrashed_s=self.thrashed_s)
            self._observation.close()
        return self._ending

    async def wait_ended(self, timeout: float | None = None) -> Ending:
        """Wait until the main process has ended. Raises TimeoutError after `timeout` seconds."""
        await self._child.wait(timeout)
        ending = self.ending()
        assert ending is not None
        return ending

    def send_signal(self, number: int) -> None:
        """Signal its main process, if it lives; the ending then tells that it was the harness."""
        self._child.send_signal(number)

    async def stop(self, grace_s: float = STOP_GRACE_S) -> Ending:
        """End it with all its processes, keep the last counters, remove its cgroup; again is harmless."""
        try:
            await self._child.end(grace_s)
            return await self.wait_ended()
        finally:
            for limit in (self.cgroup, self.cpu):
                if limit is not None:
                    limit.seal()
            await self._child.release()

    def log_tail(self) -> str:
        """The last lines of its log on one line, secrets hidden; empty when it wrote none."""
        return log_tail(self.log)


async def start(
    launch: Launch,
    *,
    kubeconfig: Path,
    user: str,
    namespace: str,
    memory_limit: int | None = None,
    metrics_url: str | None = None,
    pprof_url: str | None = None,
    ready: Ready | None = None,
    ready_timeout_s: float = 30.0,
    placeholders: Placeholders | None = None,
    incarnation: int = 0,
    replica: int = 0,
    cwd: Path | None = None,
    cpus: Collection[int] | None = None,
    cpu_limit: float | None = None,
    kubeconfig_of_run: Path | None = None,
    started: Callable[[ProcessSubject], None] | None = None,
) -> ProcessSubject:
    """Start the subject under its memory limit (bytes; None: none) and wait until it is ready.

    Placeholders in the command and the URLs are filled; pass the run's `placeholders`, or ports differ from those filled
    in elsewhere. What it writes goes to `subject.log` in the run's directory. `incarnation` counts the restarts: each has a
    fresh cgroup, and so has each `replica`, whose log is its own too (`log_name`). `cpus` are those it may run
    on, None all. `kubeconfig_of_run` is the identity that looks for a Lease (default: the subject's own); `started` is
    told of the subject as soon as its process is there.

    Raises SubjectNotReady (a RunFault) when it does not become ready, UsageError for a command that cannot be executed,
    EnvironmentFault where no limit can be set. Nothing of it is left then.
    """
    fill = placeholders or Placeholders(kubeconfig=kubeconfig, namespace=namespace, run_id=launch.run_id)
    command = fill.fill_command(launch.command, place="subject.command")
    metrics_url = metrics_url and fill.fill(metrics_url, place="subject.metrics")
    pprof_url = pprof_url and fill.fill(pprof_url, place="subject.pprof")
    log = launch.run_dir / log_name(replica)
    place = str(incarnation) if replica == 0 else f"{incarnation}-replica-{replica}"
    source = Source(log, log.stat().st_size if log.exists() else 0, kubeconfig_of_run or kubeconfig, metrics_url)
    watch = watch_for(ready.filled(lambda text: fill.fill(text, place="subject.ready")), source) if ready else None
    cgroup = limits.create(launch.run_id, place, memory_limit) if memory_limit is not None else None
    observation = Observation(cgroup)
    started_ns = launch.clock.now_ns()
    cpu: CpuCgroup | None = None
    try:
        cpu = limits.limit_cpu(launch.run_id, place, cpu_limit, cgroup) if cpu_limit is not None else None
        remove = [*(limits.paths_to_remove(cgroup) if cgroup else ()), *(limits.paths_to_remove(cpu) if cpu else ())]
        child = await process.spawn(
            command, name="subject", env=environment(launch, kubeconfig), cwd=cwd, cpus=cpus,
            stdout=log, stderr=process.STDOUT,
            cgroup=list(dict.fromkeys(limit.path for limit in (cgroup, cpu) if limit)),
            remove=list(dict.fromkeys(remove)),
        )  # fmt: skip
    except BaseException:
        observation.close()
        for limit in (cgroup, cpu):
            if limit is not None:
                limits.discard(limit)
        raise
    subject = ProcessSubject(
        child, launch, observation, command=command, kubeconfig=kubeconfig, user=user, cgroup=cgroup,
        memory_limit=memory_limit, metrics_url=metrics_url, pprof_url=pprof_url, started_ns=started_ns,
        incarnation=incarnation, cpu=cpu, replica=replica,
    )  # fmt: skip
    if started is not None:
        started(subject)
    try:
        await until_ready(subject, watch, ready_timeout_s)
    except BaseException:
        await subject.stop(0)
        raise
    subject.ready_ns = launch.clock.now_ns()
    return subject


def log_tail(log: Path) -> str:
    """The last lines of a log on one line, secrets hidden; empty where there are none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    said = [line.strip() for line in lines if line.strip()]
    return redact_text(" | ".join(said[-LOG_TAIL_LINES:]))


def environment(launch: Launch, kubeconfig: Path) -> dict[str, str]:
    """The whole environment of the subject: the launch's, its marks, and what is injected in front of PYTHONPATH."""
    env = {**launch.env, "KUBECONFIG": str(kubeconfig), RUN_ENV: launch.run_id}
    if launch.inject_dirs:
        existing = (
            [env["PYTHONPATH"]] if env.get("PYTHONPATH") else []
        )  # an empty entry would mean the working directory
        env["PYTHONPATH"] = os.pathsep.join([*map(str, launch.inject_dirs), *existing])
    return env


class Startable(Protocol):
    """What is asked of a subject while it starts."""

    log: Path

    def pids(self) -> list[int]:
        """Its live processes."""

    async def wait_ended(self) -> Ending:
        """Wait until it has ended."""

    def log_tail(self) -> str:
        """The last lines of its log."""


async def until_ready(subject: Startable, watch: Watch | None, timeout_s: float) -> None:
    """Return once the sign is there, or raise SubjectNotReady."""
    waiting = asyncio.create_task(watch.until_ready() if watch else at_rest(subject.pids, timeout_s))
    ended = asyncio.create_task(subject.wait_ended())
    try:
        done, _ = await asyncio.wait({waiting, ended}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (waiting, ended):
            task.cancel()
        results = await asyncio.gather(waiting, ended, return_exceptions=True)
    said = subject.log_tail()
    log = f"last lines of {subject.log}: {said}" if said else f"it wrote nothing to {subject.log}"
    if ended in done:
        ending = ended.result()
        raise SubjectNotReady(f"{ending.sentence} before it was ready", place="subject", remedy=log, ending=ending)
    if waiting not in done:
        asked = f"; {watch.what}: {watch.last}" if watch else ""
        cause = f"not ready within {timeout_s:g} s{asked}"
        raise SubjectNotReady(cause, place="subject", remedy=log, ending=None)
    if isinstance(results[0], BaseException):
        raise results[0]
