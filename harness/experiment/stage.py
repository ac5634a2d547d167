"""What every part of a living run shares: its facts, its record, its clock, and the phases it is made of."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from harness.core.clock import RunClock
from harness.core.errors import RunFault
from harness.core.handles import SharedFolder, Subject
from harness.experiment.options import Observer, RunOptions, Status
from harness.experiment.subjects import SubjectCommand
from harness.experiment.witnesses import Witnesses
from harness.record.models import EndingFacts, Phase, PhaseAction, Run
from harness.record.writer import RecordWriter
from harness.scenario.model import Scenario
from harness.subject.replicas import RunSubject


class SetupRefused(RunFault):
    """The cluster does not take what the scenario brings along: nothing can be measured, and the scenario is at fault."""


@dataclass(slots=True)
class Stage:
    """One run while it lives. `facts` is kept true all the time and saved at every phase."""

    scenario: Scenario
    facts: Run
    writer: RecordWriter
    clock: RunClock
    command: SubjectCommand
    options: RunOptions
    observer: Observer
    witnesses: Witnesses
    shared: SharedFolder | None = None
    """The run's own folder on the nodes, where its subject is in a pod and they share one with this machine."""
    directory: Path = field(init=False)

    def __post_init__(self) -> None:
        self.directory = self.writer.directory.absolute()
        self.facts.collectors = self.witnesses.facts

    @property
    def labels(self) -> dict[str, str]:
        """Tags of the run's profiles; the phase comes with each of them."""
        labels = {"run_id": self.facts.run_id, "scenario": self.scenario.name}
        more = {"arm": self.scenario.arm, "commit": self.facts.source.commit if self.facts.source else None}
        return labels | {name: value for name, value in more.items() if value is not None}

    @property
    def base(self) -> Path:
        """The directory that file names in the scenario are relative to."""
        return Path(self.facts.scenario.path).parent

    def begin_phase(
        self, name: str, action: PhaseAction, kind: str | None = None, requested: int | None = None
    ) -> Phase:
        """A phase begins now."""
        phase = Phase(name=name, action=action, kind=kind, requested=requested, started_ns=self.clock.now_ns())
        self.facts.phases.append(phase)
        self.writer.phase = name
        self.writer.event("phase", state="started", name=name)
        self.writer.save_run(self.facts)
        self.observer.phase_started(name, requested)
        return phase

    def end_phase(self, phase: Phase, t_ns: int | None = None) -> None:
        """A phase is over, now or since `t_ns`; idempotent."""
        if phase.ended_ns is None:
            phase.ended_ns = self.clock.now_ns() if t_ns is None else t_ns
            self.writer.event("phase", state="ended", name=phase.name)
            self.writer.save_run(self.facts)

    def status(
        self,
        done: Callable[[str], int] | None = None,
        limit_bytes: int | None = None,
        waiting_for: int | None = None,
    ) -> Status:
        """How the run stands, for the live display; `done` tells how many requests of a phase have succeeded."""
        phase = next((each for each in self.facts.phases if each.ended_ns is None), self.facts.phases[-1])
        count = done(phase.name) if done else 0
        seconds = (self.clock.now_ns() - phase.started_ns) / 1e9
        return Status(
            phase=phase.name,
            done=count,
            requested=phase.requested,
            per_s=count / seconds if phase.requested and seconds > 0 else None,
            rss_bytes=self.writer.latest("memory.rss"),
            charged_bytes=self.writer.latest("memory.cgroup"),
            limit_bytes=limit_bytes,
            tasks=self.writer.latest("tasks"),
            queue_depth=self.writer.latest("queue.depth"),
            waiting_for=waiting_for,
        )

    def tell_subject(self, subject: Subject) -> None:
        """Its process is ready, for the first time or after a restart: who wants to look into it finds it by this."""
        self.writer.event(
            "subject_started", pid=subject.pid or None, runtime=subject.runtime, pprof=subject.pprof_url,
            in_pod=self.facts.subject.kind == "pod", folder=None if self.shared is None else str(self.shared.here),
            monotonic_ns=time.monotonic_ns(),
        )  # fmt: skip

    def take_ending(self, subject: RunSubject) -> None:
        """Keep how the subject ended, if it did so before we stopped it."""
        ending = subject.ending()
        if ending is None or ending.kind == "our_signal" or self.facts.ending is not None:
            return
        self.facts.ending = EndingFacts(**asdict(ending))
        self.writer.event("subject_ended", **asdict(ending))
        self.observer.phase_ended("subject ended", ending.sentence)
