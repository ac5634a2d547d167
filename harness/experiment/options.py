"""What the command line decides about a run, beside the scenario."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness.cluster.choice import ClusterChoice
from harness.core.clock import RunClock
from harness.core.handles import RunContext
from harness.core.sinks import Sink
from harness.experiment.observe import Observation
from harness.record.models import OnBusy, Run, Verdict
from harness.record.reader import RunRecord
from harness.scenario.model import Scenario


@dataclass(frozen=True, slots=True)
class ExternalWorkers:
    """Load workers that come by themselves."""

    host: str
    port: int
    """Of the gate; Locust's master listens at the next."""
    secret_file: Path
    wait_s: float = 120.0
    account: tuple[str, str] | None = None
    """Namespace and name of their ServiceAccount, which gets the load's rights for the run; None: they use the run's own
    credentials, which takes the same machine."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of `harness run`."""

    out: Path
    cluster: ClusterChoice = field(default_factory=ClusterChoice)
    profile: str | None = None
    sets: dict[str, str] = field(default_factory=dict)
    subject: str | None = None
    """A command line that replaces the scenario's subject."""
    subject_image: str | None = None
    """An image that replaces the scenario's subject; with `subject`, a command in it."""
    subject_as: str | None = None
    """`process` or `pod`; None: a pod where the cluster runs pods and the subject is, or has, an image."""
    subject_role: str | None = None
    """The ClusterRole to bind to the subject, instead of its own."""
    subject_env: dict[str, str] = field(default_factory=dict)
    """Environment variables added to the subject's."""
    subject_metrics: str | None = None
    """Where a subject of the command line serves Prometheus metrics, placeholders not yet filled."""
    subject_pprof: str | None = None
    """Where it serves Go's pprof."""
    subject_ready: str | None = None
    """The address that answers with 2xx once it is ready."""
    subject_webhooks: tuple[Path, ...] = ()
    """Files with its webhook configurations."""
    memray: str | None = None
    """`launch`, `attach` or `off`; None leaves it to the scenario."""
    memray_since: str | None = None
    """With `attach`: the phase from which memray is in the subject; None: the first of the load."""
    collectors: tuple[str, ...] | None = None
    """Exactly these, to measure what they cost; None: those of the scenario, and those that every run has."""
    pyroscope: str | None = None
    """`on` or a URL; None leaves it to the scenario."""
    report: bool = True
    """Write each run's report.html; `harness report RUN` makes it later too."""
    keep_samples: bool = False
    """Leave all samples of a long run in its record (`record.downsampling`)."""
    observe: Observation | None = None
    """Send no load, and watch; None: the scenario's load is sent."""
    pid: int | None = None
    """A process that runs already replaces the scenario's subject."""
    pin: bool = True
    """Keep subject and load generator on CPUs of their own, where there are enough."""
    load_workers: int = 1
    """Processes that share the load: Locust's workers, under a master from 2 on."""
    external: ExternalWorkers | None = None
    """Where these workers come in from other machines; None: the master starts them on this one."""
    on_busy: OnBusy = "invalid"
    """What a machine too busy to judge times makes of the run."""
    commit: str | None = None
    """The commit the subject was built from; None: that of the working tree."""
    history: Path | None = None
    """The store that each run is added to; None: none."""
    live: Live | None = None
    """Who is told what the record is told, while the run goes on."""


class Live(Sink, Protocol):
    """Whoever serves a run while it goes on. All calls come from the run's event loop and must be cheap."""

    def begin(self, facts: Run, clock: RunClock) -> None:
        """A run begins; `facts` is kept true while it lives."""

    def attached(self, context: RunContext) -> None:
        """Subject and cluster are there, and the collectors attached."""

    def waiting(self, effects: int | None) -> None:
        """So many effects of requests are still awaited; None: nobody counts."""

    def end(self, verdict: Verdict) -> None:
        """The run is sealed and judged; subject and cluster are gone."""


class Observer(Protocol):
    """Shows a person how a run goes. All calls come from the run's event loop and must be cheap."""

    def run_started(self, run_id: str, scenario: Scenario, arm: str | None, directory: Path) -> None:
        """A run begins; its record is in `directory`."""

    def step(self, text: str) -> None:
        """The run does something that is not a phase: starts the cluster, waits for readiness."""

    def detail(self, text: str) -> None:
        """How the current step stands."""

    def phase_started(self, phase: str, requested: int | None) -> None:
        """A phase begins; `requested` requests will be sent in it."""

    def tick(self, status: Status) -> None:
        """Twice a second: how the run stands."""

    def phase_ended(self, phase: str, sentence: str) -> None:
        """A phase is over; `sentence` says what came of it."""

    def run_ended(self, record: RunRecord, verdict: Verdict) -> None:
        """The record is sealed and judged."""


@dataclass(frozen=True, slots=True)
class Status:
    """What the live display shows."""

    phase: str
    done: int
    requested: int | None
    per_s: float | None
    rss_bytes: float | None
    charged_bytes: float | None
    """What the limit counts. RSS has pages in it that are charged elsewhere, and may be above the limit."""
    limit_bytes: int | None
    tasks: float | None
    queue_depth: float | None
    waiting_for: int | None
    """Effects that probes still wait for."""
