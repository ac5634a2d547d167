"""Handles: what the runner, the collectors and the subject know of each other.

These are protocols and plain data only. `cluster/` and `subject/` implement them, `collectors/` read them, so the
three packages need not import each other.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from harness.core.clock import ClockOffset, RunClock
from harness.core.kinds import Kind
from harness.core.sinks import Sink

JSON = str | int | float | bool | None | Sequence["JSON"] | Mapping[str, "JSON"]

SubjectRuntime = Literal["python", "go", "other"]


class Progress(Protocol):
    """Shows a person that something long is going on. Calls are cheap and may come from any task."""

    def step(self, text: str) -> None:
        """A new step begins, such as `building the control plane`."""

    def detail(self, text: str) -> None:
        """How the current step stands, such as `132 of 480 packages`; may be shown over the last detail."""


class Silent:
    """Progress that nobody watches."""

    def step(self, text: str) -> None:
        """Nothing is shown."""

    def detail(self, text: str) -> None:
        """Nothing is shown."""


@dataclass(frozen=True, slots=True)
class SharedFolder:
    """A folder of this machine that a cluster's nodes see as `there`."""

    here: Path
    there: str


class Cluster(Protocol):
    """A running Kubernetes API that one run may use. One file of `cluster/` each: embedded, kind, kubeconfig."""

    provider: str
    name: str
    server: str
    version: str
    kubeconfig: Path
    """Of an administrator, mode 0600; its one context is this cluster's, so that nothing else can be meant by it."""
    audit_log: Path | None
    """The API server's audit log where it can be read (JSON lines, policy of `cluster.audit_policy`)."""
    audit_reason: str | None
    """Why there is no audit log; None where there is one."""
    clock: ClockOffset | None
    """How far the clock of its API server is from this machine's; None where they are the same clock."""

    @property
    def throwaway(self) -> bool:
        """Whether it was made for this run and is deleted whole. Else what the run makes is removed by its run id, and
        nothing else is touched."""

    @property
    def pids(self) -> Mapping[str, int]:
        """Processes of the cluster on this machine by program, such as `kube-apiserver`; empty where it is elsewhere."""

    async def identity(self, user: str) -> Path:
        """A kubeconfig (mode 0600) by which the holder is `username(user)` to the API server; no rights until bound."""

    def username(self, user: str) -> str:
        """What the API server calls the holder of `identity(user)`: `user` itself, or a ServiceAccount's name for it."""

    async def load_image(self, image: str) -> bool:
        """Put an image of this machine's Docker on every node; False where the nodes must pull it."""

    async def read_images(self, progress: Progress) -> str | None:
        """Have the nodes read the files of their images: whoever reads a file first has its pages charged, otherwise a pod.

        Why they could not, in a sentence; None where they did, or where that is not ours to do.
        """

    async def shared_folder(self) -> SharedFolder | None:
        """A folder that all nodes share with this machine; None where there is none."""

    def failure(self) -> str | None:
        """One sentence if it broke down by itself, after which nothing measured means anything; None while it lives."""

    def describe(self) -> Mapping[str, JSON]:
        """Facts for the run record: provider, version, flags that matter. Never credentials."""

    async def stop(self) -> Sequence[str]:
        """Take away the cluster, or what the run made in it; again is harmless. One sentence for each thing that stayed."""


class Cgroup(Protocol):
    """The memory cgroup of one incarnation of the subject."""

    @property
    def version(self) -> Literal[1, 2]:
        """The cgroup version it belongs to."""

    @property
    def path(self) -> Path:
        """Its directory."""

    @property
    def limit_bytes(self) -> int:
        """Its memory limit."""

    def usage_bytes(self) -> int:
        """Memory charged now."""

    def peak_bytes(self) -> int | None:
        """Highest charge so far, None where the kernel does not tell."""

    def oom_kills(self) -> int:
        """Cumulative kills of processes of this cgroup."""

    def limit_hits(self) -> int:
        """Cumulative times the limit was reached (v1 failcnt, v2 memory.events max)."""

    def pids(self) -> list[int]:
        """Processes in it."""


@dataclass(frozen=True, slots=True)
class KillReading:
    """What is known at one moment of kills for memory. `limit_hits` and `usage_bytes` are None where nobody can tell."""

    kills: int
    """Cumulative kills of the subject's processes."""
    limit_hits: int | None
    """Cumulative times the limit was reached."""
    usage_bytes: int | None
    pids: Sequence[int] = ()
    by_replica: Sequence[int] = ()
    """Kills of each replica, where there are several."""
    evidence: Mapping[str, JSON] = field(default_factory=dict)
    """Where the numbers come from."""


class KillWitness(Protocol):
    """Counts kills for memory of one incarnation of the subject."""

    limit_bytes: int | None

    def read(self) -> KillReading:
        """The counts now; raises OSError where they are gone for good."""

    def peak_bytes(self) -> int | None:
        """Highest charge so far, None where nobody can tell."""


@dataclass(frozen=True, slots=True)
class ContainerStats:
    """One sample of a kubelet about a container, taken at `at` by the node's clock. None: it does not tell."""

    at: datetime
    working_set_bytes: int | None
    usage_bytes: int | None
    rss_bytes: int | None
    cpu_s: float | None


class Stats(Protocol):
    """Asks a kubelet what it knows of the subject."""

    failure: str | None
    """Why the newest question got no answer."""

    async def read(self) -> ContainerStats | None:
        """Its newest sample, None where there is none that was not read before."""


class Throttling(Protocol):
    """Cumulative counters of a CPU limit."""

    @property
    def periods(self) -> int:
        """Periods in which the limit was used up."""

    @property
    def seconds(self) -> float:
        """Time for which processes that wanted to run were held back, summed over CPUs."""


class CpuLimit(Protocol):
    """The CPU limit of one incarnation of the subject."""

    @property
    def cpus(self) -> float:
        """How many CPUs it may use."""

    def throttling(self) -> Throttling:
        """The counters now; raises OSError when its cgroup is gone."""


EndKind = Literal["oom_limit", "oom_node", "thrashing", "crash", "our_signal", "clean", "gone"]
"""`gone`: a process that is nobody of ours has ended, and only its parent knows how."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How the subject ended, with the evidence for it.

    `exit_code` follows the shell: 128 + signal for a death by signal; None where only its parent knows. `evidence` holds the
    counters before and after.
    """

    kind: EndKind
    exit_code: int | None
    t_ns: int
    sentence: str
    evidence: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def abrupt(self) -> bool:
        """It ended in the midst of its work: what it had allocated and not freed by then is what it held."""
        killed = self.exit_code == 128 + signal.SIGKILL or self.evidence.get("signal") is not None
        return self.kind in {"oom_limit", "oom_node", "crash"} or (self.kind == "thrashing" and killed)


class Subject(Protocol):
    """The running controller under test."""

    kind: str
    command: Sequence[str]
    """With placeholders filled; secrets redacted."""
    user: str
    kubeconfig: Path
    runtime: SubjectRuntime
    started_ns: int
    """Run time at which its process was started."""
    metrics_url: str | None
    pprof_url: str | None
    agent_socket: Path | None
    """Unix socket the injected agent connects to; the tasks collector listens on it. None where nothing is injected."""
    memory_limit: int | None

    @property
    def pid(self) -> int:
        """Its main process as this machine numbers it; 0 where that is not seen from here."""

    @property
    def replicas(self) -> Sequence[Subject]:
        """Each of its replicas, limited by itself; only itself where there is one."""

    @property
    def cgroup(self) -> Cgroup | None:
        """The memory cgroup of the running incarnation, None without a limit."""

    @property
    def kills(self) -> KillWitness | None:
        """Who counts kills for memory of the running incarnation; None where nobody can."""

    @property
    def stats(self) -> Stats | None:
        """The kubelet, of a subject in a pod."""

    @property
    def cpu(self) -> CpuLimit | None:
        """The CPU limit of the running incarnation, None without one."""

    def pids(self) -> list[int]:
        """Every live process of the subject, `pid` first."""

    def ending(self) -> Ending | None:
        """How it ended; None while it lives."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What must come to exist because of the load, computed from the scenario alone.

    `count` objects of `kind` in all, each in `namespace` (None: any) and carrying `labels` (equality). Used for
    completeness. `remaining`: they must still be there at the end; else it is enough that they have come. `final`: the load
    deletes some, so that what counts is what is there at the end, no fewer and no more.
    """

    kind: Kind
    count: int
    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    final: bool = False
    remaining: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """One object that a cause must bring about, found by equality of `labels` (and `name`, where known beforehand).

    `owner` is kind and name of one of its ownerReferences, by which it is found where it has neither.
    """

    cause_id: str
    labels: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None
    owner: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """One latency probe: each cause (a request of the load, by object name) must have its effect on each of its targets.

    `condition` asks for a status condition with status True, `jsonpath` for a value there (`equals` it, where given), and
    `deleted` that the object is gone; with none of them it need only exist.
    """

    name: str
    phase: str
    kind: Kind
    condition: str | None
    targets: Sequence[Target]
    jsonpath: str | None = None
    equals: str | None = None
    deleted: bool = False

    @property
    def needs_content(self) -> bool:
        """Whether metadata alone does not tell."""
        return self.condition is not None or self.jsonpath is not None


@dataclass(frozen=True, slots=True)
class PythonRuntime:
    """The interpreter of a Python subject: what may be injected depends on it."""

    executable: Path
    version: tuple[int, int]


@dataclass(slots=True)
class Launch:
    """How the subject is about to be started. Collectors may change `command` and `env` in their `prepare`."""

    run_id: str
    run_dir: Path
    clock: RunClock
    sink: Sink
    command: list[str]
    env: dict[str, str]
    """The whole environment of the subject."""
    runtime: SubjectRuntime
    python: PythonRuntime | None
    inject_dirs: list[Path] = field(default_factory=list)
    """Directories put in front of PYTHONPATH, in order."""
    agent_socket: Path | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    shared: SharedFolder | None = None
    """Of a subject that does not see this machine's files: the folder that it sees, as `there`."""
    apart: str | None = None
    """Why nothing can be handed to the subject, nor taken from it, by files; None where it can."""

    @property
    def in_pod(self) -> bool:
        """Whether it will run in a pod: with a file system and a loopback of its own."""
        return self.shared is not None or self.apart is not None

    def folder(self, name: str) -> Path:
        """A directory for files that the subject writes and the harness reads, or the other way round."""
        if self.shared is None:
            directory = self.run_dir / name
            directory.mkdir(parents=True, exist_ok=True)
            return directory
        directory = self.shared.here / name
        directory.mkdir(exist_ok=True)
        directory.chmod(0o777)  # the subject's user is unknown here; the folder above is closed to everybody else
        return directory

    def inside(self, path: Path) -> str:
        """What the subject calls a path of ours."""
        if self.shared is None or not path.is_relative_to(self.shared.here):
            return str(path)
        return f"{self.shared.there}/{path.relative_to(self.shared.here)}"


@dataclass(frozen=True, slots=True)
class RunContext:
    """All that a collector may know of the run it watches."""

    run_id: str
    namespace: str
    run_dir: Path
    clock: RunClock
    cluster: Cluster
    subject: Subject
    sink: Sink
    watcher_kubeconfig: Path
    """A read-only identity of the harness's own."""
    kinds: Sequence[Kind]
    """The scenario's kinds: watched for quiet and completeness."""
    expected: Sequence[Expected]
    probes: Sequence[ProbeSpec]
    labels: Mapping[str, str] = field(default_factory=dict)
    """Tags for profiles: scenario, arm, run_id."""
    beating: Sequence[Kind] = ()
    """Kinds whose status somebody writes all the time to say that he is alive: no sign that anything moves."""
