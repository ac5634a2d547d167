"""The living part of a run about a process that somebody else has started and loads: collectors, a time, and no more.

No cluster is started, for the process could not know it. What its requests did to whichever cluster it talks to, and what is
inside it, cannot be witnessed from here; the collectors that would are null with that reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from harness.collectors import registry
from harness.core.clock import ClockOffset, RunClock
from harness.core.handles import JSON, Progress, RunContext, SharedFolder
from harness.experiment import outside
from harness.experiment.options import Observer, RunOptions
from harness.experiment.stage import Stage
from harness.experiment.subjects import SubjectCommand
from harness.experiment.witnesses import Witnesses
from harness.record.models import CollectorFacts, EndingFacts, Run
from harness.record.writer import RecordWriter
from harness.scenario.model import Scenario
from harness.subject.foreign import ForeignProcess, find

_NO_IDENTITY = "somebody else started the process: its identity to its API server is not known"
_NO_CLUSTER = "somebody else started the process: the cluster it talks to is not the harness's"
_NO_AGENT = "somebody else started the process: no agent could be put inside"
_TICK_SECONDS = 0.5


@dataclass(slots=True)
class _NoCluster:
    """Implements `core.handles.Cluster`: there is none that the harness knows of."""

    provider: str = "none"
    name: str = "none"
    server: str = ""
    version: str = ""
    kubeconfig: Path = field(default_factory=Path)
    audit_log: Path | None = None
    audit_reason: str | None = _NO_CLUSTER
    clock: ClockOffset | None = None

    @property
    def throwaway(self) -> bool:
        """Nothing is made in it."""
        return False

    @property
    def pids(self) -> Mapping[str, int]:
        """None of it runs here."""
        return {}

    async def identity(self, user: str) -> Path:
        """Never asked for."""
        raise AssertionError(f"no cluster, so no identity for {user}")

    def username(self, user: str) -> str:
        """Never asked for."""
        return user

    async def load_image(self, image: str) -> bool:  # noqa: ARG002
        """It runs no pods."""
        return False

    async def read_images(self, progress: Progress) -> str | None:  # noqa: ARG002
        """It runs no pods."""
        return None

    async def shared_folder(self) -> SharedFolder | None:
        """It runs no pods."""
        return None

    def failure(self) -> str | None:
        """It cannot break down."""
        return None

    async def stop(self) -> Sequence[str]:
        """Nothing is there to be taken away."""
        return ()

    def describe(self) -> Mapping[str, JSON]:
        """Facts for the run record."""
        return {"provider": self.provider}


class ForeignSession:
    """One run about a process that is not ours, while it lives."""

    def __init__(
        self,
        scenario: Scenario,
        facts: Run,
        writer: RecordWriter,
        clock: RunClock,
        command: SubjectCommand,
        options: RunOptions,
        observer: Observer,
    ) -> None:
        names = [*scenario.collect, "host"]
        self._blind = {"latency": _NO_CLUSTER, "apiserver": _NO_CLUSTER}
        if "audit" in names:
            self._blind["audit"] = _NO_IDENTITY
        witnesses = Witnesses(registry.create([name for name in names if name not in self._blind]), writer)
        self._stage = Stage(scenario, facts, writer, clock, command, options, observer, witnesses)
        blind = [CollectorFacts(name=name, state="failed", reason=why) for name, why in self._blind.items()]
        facts.collectors = [*witnesses.facts, *blind]

    @property
    def directory(self) -> Path:
        """The run's record."""
        return self._stage.directory

    async def run(self, stack: AsyncExitStack) -> None:
        """From finding the process to letting go of it; it is left as it was."""
        stage, command, observation = self._stage, self._stage.command, self._stage.options.observe
        assert command.pid is not None
        assert observation is not None
        subject = await find(command.pid, stage.clock, metrics_url=command.metrics, pprof_url=command.pprof)
        stack.callback(subject.close)
        observation.begin()
        self._tell(subject)
        stage.tell_subject(subject)
        stack.push_async_callback(stage.witnesses.detach)
        context = self._context(subject)
        await stage.witnesses.attach(context)
        if stage.options.live is not None:
            stage.options.live.attached(context)
        phase = stage.begin_phase("observe", "observe")
        await stage.witnesses.phase_started("observe")
        waiting = [asyncio.ensure_future(observation.wait()), asyncio.ensure_future(subject.wait_ended())]
        ticker = asyncio.create_task(self._tick_forever(), name="ticker")
        watch = asyncio.create_task(outside.watch(stage, _NoCluster()), name="outside")
        try:
            await asyncio.wait([*waiting, watch], return_when=asyncio.FIRST_COMPLETED)
            for task in (watch, *waiting):
                if task.done():
                    task.result()
        finally:
            for task in (*waiting, ticker, watch):
                task.cancel()
            await asyncio.gather(*waiting, ticker, watch, return_exceptions=True)
        await stage.witnesses.phase_ended("observe")
        stage.end_phase(phase)
        assert phase.ended_ns is not None
        stage.observer.phase_ended("observe", f"{(phase.ended_ns - phase.started_ns) / 1e9:.1f} s")
        self._take_ending(subject)
        end = stage.begin_phase("end", "end")
        if subject.ending() is None:
            await stage.witnesses.settle()
        await stage.witnesses.detach()
        stage.end_phase(end)

    def _tell(self, subject: ForeignProcess) -> None:
        """What was found goes on record; a Python process tells nothing of its inside."""
        stage, facts = self._stage, self._stage.facts
        facts.cluster = dict(_NoCluster().describe())
        facts.subject.command = list(subject.command)
        facts.subject.runtime, facts.subject.runtime_version = subject.runtime, subject.runtime_version
        facts.subject.memory_limit_bytes = subject.memory_limit
        facts.subject.cgroup_version = None if subject.cgroup is None else subject.cgroup.version
        if subject.runtime != "go":
            stage.witnesses.drop("tasks", _NO_AGENT)
        if subject.cgroup is None:
            stage.witnesses.drop("oom", subject.shared or "the process has no memory cgroup of its own")
        stage.observer.phase_ended("process", f"{subject.pid}: {' '.join(subject.command)[:60]}; load it now")

    def _context(self, subject: ForeignProcess) -> RunContext:
        stage = self._stage
        return RunContext(
            run_id=stage.facts.run_id,
            namespace=stage.facts.namespace,
            run_dir=stage.directory,
            clock=stage.clock,
            cluster=_NoCluster(),
            subject=subject,
            sink=stage.writer,
            watcher_kubeconfig=Path(),
            kinds=[],
            expected=[],
            probes=[],
            labels=stage.labels,
        )

    def _take_ending(self, subject: ForeignProcess) -> None:
        ending = subject.ending()
        if ending is not None:
            self._stage.facts.ending = EndingFacts(**asdict(ending))
            self._stage.writer.event("subject_ended", **asdict(ending))
            self._stage.observer.phase_ended("subject ended", ending.sentence)

    async def _tick_forever(self) -> None:
        """Tell the observer twice a second how the run stands."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self._stage.observer.tick(self._stage.status())
