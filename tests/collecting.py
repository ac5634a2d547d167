"""What tests of collectors share: a sink that keeps all in lists, subjects that are real processes, run contexts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from harness.core.clock import RunClock
from harness.core.handles import Ending, Launch, PythonRuntime, RunContext, SubjectRuntime
from harness.core.sinks import PropagationRow, RequestRow
from harness.subject.kills import CgroupKills
from harness.subject.replicas import AllKills

RUN_ID = "20260101-000000-tests"
NAMESPACE = f"run-{RUN_ID}"


class Sample(NamedTuple):
    source: str
    metric: str
    value: float
    labels: dict[str, str]
    t_ns: int | None


class ListSink:
    """A sink in memory."""

    def __init__(self) -> None:
        self.clock = RunClock()
        self.samples: list[Sample] = []
        self.rows: list[PropagationRow] = []
        self.events: list[dict[str, Any]] = []

    def sample(
        self, source: str, metric: str, value: float, labels: Mapping[str, str] | None = None, t_ns: int | None = None
    ) -> None:
        self.samples.append(Sample(source, metric, float(value), dict(labels or {}), t_ns))

    def requests(self, rows: Sequence[RequestRow]) -> None:
        raise AssertionError("collectors send no requests")

    def propagation(self, rows: Sequence[PropagationRow]) -> None:
        self.rows.extend(rows)

    def event(self, type_: str, /, **fields: object) -> None:
        self.events.append({"type": type_, **fields})

    def values(self, metric: str, **labels: str) -> list[float]:
        """All values of one series, in order."""
        return [item.value for item in self.samples if item.metric == metric and item.labels == labels]

    def last(self, metric: str, **labels: str) -> float | None:
        """The newest value of one series."""
        values = self.values(metric, **labels)
        return values[-1] if values else None

    def of(self, type_: str) -> list[dict[str, Any]]:
        """All events of a type."""
        return [event for event in self.events if event["type"] == type_]

    @property
    def warnings(self) -> list[str]:
        return [event["message"] for event in self.of("warning")]


class FakeCgroup:
    """A cgroup whose counters a test sets."""

    def __init__(self, limit_bytes: int = 64 << 20) -> None:
        self.version = 1
        self.path = Path("a-fake-cgroup")
        self.limit_bytes = limit_bytes
        self.usage, self.peak, self.kills, self.hits = 1 << 20, 2 << 20, 0, 0
        self.members: list[int] = []
        self.gone = False

    def _check(self, value: int) -> int:
        if self.gone:
            raise FileNotFoundError(self.path)
        return value

    def usage_bytes(self) -> int:
        return self._check(self.usage)

    def peak_bytes(self) -> int | None:
        return self._check(self.peak)

    def oom_kills(self) -> int:
        return self._check(self.kills)

    def limit_hits(self) -> int:
        return self._check(self.hits)

    def pids(self) -> list[int]:
        return list(self.members)


class ProcessSubject:
    """A subject that is a real process of the test, or no process at all."""

    def __init__(self, process: subprocess.Popen[bytes] | None = None, **changes: Any) -> None:
        self.kind = "command"
        self.command: Sequence[str] = ()
        self.user = "nobody"
        self.kubeconfig = Path()
        self.runtime: SubjectRuntime = "python"
        self.started_ns = 0
        self.pid = process.pid if process else 0
        self.cgroup: Any = None
        self.stats: Any = None
        self._kills: Any = None
        self.cpu: Any = None
        self.metrics_url: str | None = None
        self.pprof_url: str | None = None
        self.agent_socket: Path | None = None
        self.memory_limit: int | None = None
        self.replicas: Sequence[Any] = [self]
        self._process = process
        self.ended: Ending | None = None
        for name, value in changes.items():
            assert hasattr(self, name), name
            setattr(self, name, value)

    @property
    def kills(self) -> Any:
        """One witness for each cgroup that the test sets."""
        if self.cgroup is not None and (self._kills is None or self._kills[0] is not self.cgroup):
            several = len(self.replicas) > 1
            witness = AllKills(self.cgroup, self.replicas) if several else CgroupKills(self.cgroup)
            self._kills = (self.cgroup, witness)
        return self._kills and self._kills[1]

    def pids(self) -> list[int]:
        return [self.pid] if self.pid else []

    def ending(self) -> Ending | None:
        if self.ended is None and self._process is not None and self._process.poll() is not None:
            self.ended = Ending("clean", self._process.returncode, 0, "it ended")
        return self.ended


def launch(command: Sequence[str], sink: ListSink, run_dir: Path, *, runtime: Any = "python") -> Launch:
    """A launch of a program of this interpreter."""
    python = PythonRuntime(Path(sys.executable), sys.version_info[:2]) if runtime == "python" else None
    return Launch(
        run_id=RUN_ID,
        run_dir=run_dir,
        clock=sink.clock,
        sink=sink,
        command=list(command),
        env=dict(os.environ),
        runtime=runtime,
        python=python,
        labels={"run_id": RUN_ID, "scenario": "a-test"},
    )


@contextmanager
def started(launch_: Launch) -> Iterator[subprocess.Popen[bytes]]:
    """The launched process with what is injected; killed at the end."""
    env = dict(launch_.env)
    if launch_.inject_dirs:
        env["PYTHONPATH"] = os.pathsep.join(map(str, launch_.inject_dirs))
    with subprocess.Popen(launch_.command, env=env, stdin=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def context(sink: ListSink, subject: Any, run_dir: Path = Path(), **changes: Any) -> RunContext:
    """A run context around a subject."""
    fields: dict[str, Any] = {
        "run_id": RUN_ID,
        "namespace": NAMESPACE,
        "run_dir": run_dir,
        "clock": sink.clock,
        "cluster": None,
        "subject": subject,
        "sink": sink,
        "watcher_kubeconfig": Path(),
        "kinds": (),
        "expected": (),
        "probes": (),
    }
    return RunContext(**{**fields, **changes})
