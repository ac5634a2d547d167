"""The living part of a run: cluster, subject, collectors and load on one timeline."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar, cast

from harness.cluster import provider
from harness.cluster.embedded import EmbeddedCluster, EmbeddedOptions
from harness.cluster.setup import prepare
from harness.collectors import registry
from harness.collectors.base import Collector
from harness.collectors.latency import LatencyCollector
from harness.collectors.metrics import MetricsCollector
from harness.core.clock import RunClock
from harness.core.errors import RunFault
from harness.core.handles import Launch, RunContext
from harness.core.ids import RUN_ENV, RUN_LABEL
from harness.core.sinks import RequestRow
from harness.experiment import subjects
from harness.experiment.hook import run_hook
from harness.experiment.leases import Leases
from harness.experiment.load import LoadGenerator
from harness.experiment.options import Observer, RunOptions, Status
from harness.experiment.settle import settle
from harness.experiment.thrash import ThrashGuard
from harness.experiment.witnesses import Witnesses
from harness.kube.api import Api
from harness.kube.kubeconfig import client_files
from harness.kube.manifests import apply_files
from harness.kube.rbac import LOADGEN, WATCHER, bind, grant
from harness.record.models import EndingFacts, Phase, PhaseAction, Run
from harness.record.writer import RecordWriter
from harness.scenario import fanout, plan, rights
from harness.scenario.model import Create, Flip, Hook, Restart, Scenario, Settle
from harness.scenario.names import AnyStep, groups, namespaces
from harness.scenario.names import Phase as Planned
from harness.scenario.rates import Changing, words
from harness.scenario.traffic import Pause, Traffic
from harness.subject import process, webhooks
from harness.subject.incarnations import Incarnations
from harness.subject.log import LogKeeper
from harness.subject.placeholders import Placeholders
from harness.subject.process import LOG_NAME, ProcessSubject, SubjectNotReady
from harness.subject.runtime import detect

IDLE_SECONDS = 2.0
SETTLED_SECONDS = 2.0
"""Windows over which idle and settled values are averaged; the second is part of the definition of "settled"."""

_TICK_SECONDS = 0.5
_WATCHER_USER = "harness:watcher"
_LOADGEN_USER = "harness:loadgen"
_T = TypeVar("_T")


class SetupRefused(RunFault):
    """The cluster does not take what the scenario brings along: nothing can be measured, and the scenario is at fault."""


class SubjectGone(Exception):
    """The subject ended while something waited for it to work; not an error, but the end of the timeline."""


class StepFailed(Exception):
    """A step of the user's own failed; the reason is in its phase, and the run is invalid."""


def _collectors(scenario: Scenario, options: RunOptions, observer: Observer) -> list[Collector]:
    """The scenario's collectors, and always those without which nobody knows when the system is settled (`latency`) or
    whether the run can be trusted (`host`, `apiserver`)."""
    pyroscope = options.pyroscope or scenario.pyroscope
    return registry.create(
        [*scenario.collect, "latency", "host", "apiserver"],
        memray=(options.memray or scenario.memray) == "launch",
        pyroscope=None if pyroscope == "off" else pyroscope,
        progress=observer,
    )


class Session:
    """One run while it lives. `facts` is kept true all the time and saved at every phase."""

    def __init__(
        self,
        scenario: Scenario,
        facts: Run,
        writer: RecordWriter,
        clock: RunClock,
        command: subjects.SubjectCommand,
        options: RunOptions,
        observer: Observer,
    ) -> None:
        self.directory = writer.directory.absolute()
        self._scenario = scenario
        self._facts = facts
        self._writer = writer
        self._clock = clock
        self._command = command
        self._options = options
        self._observer = observer
        self._witnesses = Witnesses(_collectors(scenario, options, observer), writer)
        facts.collectors = self._witnesses.facts
        self._generator: LoadGenerator | None = None
        self._requested: dict[str, int] = {}
        self._leases: Leases | None = None

    async def run(self, stack: AsyncExitStack) -> None:
        """From nothing to detached; what must be taken down is pushed on `stack` as it comes up."""
        cluster = await self._start_cluster(stack)
        api = await stack.enter_async_context(await Api.connect(cluster.kubeconfig))
        await prepare(api, self._facts.run_id)
        await self._apply_setup(api)
        self._leases = Leases(api)
        await self._leases.remember()
        subject = await self._start_subject(stack, api, cluster)
        watch = asyncio.create_task(self._watch_cluster(cluster), name="cluster-watch")
        stack.callback(watch.cancel)
        timeline = asyncio.create_task(self._timeline(stack, api, cluster, subject), name="timeline")
        stack.callback(timeline.cancel)
        await asyncio.wait({watch, timeline}, return_when=asyncio.FIRST_COMPLETED)
        if watch.done():
            watch.result()
        await timeline

    # -- coming up -----------------------------------------------------------------------------------------------------

    async def _start_cluster(self, stack: AsyncExitStack) -> EmbeddedCluster:
        cluster = await provider.start(
            self._options.provider,
            name=self._facts.run_id,
            run_id=self._facts.run_id,
            work_dir=self.directory,
            progress=self._observer,
            options=EmbeddedOptions(audit_groups=sorted({kind.group for kind in self._scenario.kinds})),
        )
        stack.push_async_callback(cluster.stop)
        self._facts.cluster = dict(cluster.describe())
        self._writer.save_run(self._facts)
        return cluster

    async def _apply_setup(self, api: Api) -> None:
        """Apply the scenario's own manifests. What the API server refuses makes the run invalid, in its words."""
        setup = self._scenario.setup
        if setup is None:
            return
        self._observer.step("applying the scenario's setup")
        base = Path(self._facts.scenario.path).parent
        try:
            await apply_files(api, [base / entry for entry in setup.apply], self._facts.namespace)
        except RunFault as error:
            raise SetupRefused(f"setup: {error}") from error

    async def _start_subject(self, stack: AsyncExitStack, api: Api, cluster: EmbeddedCluster) -> Incarnations:
        self._observer.step("starting the subject")
        facts = self._facts.subject
        kubeconfig = await cluster.identity(facts.user)
        await bind(api, facts.user, self._command.role, self._facts.run_id)
        placeholders = Placeholders(kubeconfig=kubeconfig, namespace=self._facts.namespace, run_id=self._facts.run_id)
        certificate = self._certify(stack, placeholders)
        env = subjects.base_environment(placeholders.fill_env(self._command.env, place="subject.env"))
        runtime, python = await detect(self._command.command, env)
        facts.runtime = runtime
        facts.runtime_version = None if python is None else ".".join(map(str, python.version))
        launch = Launch(
            run_id=self._facts.run_id,
            run_dir=self.directory,
            clock=self._clock,
            sink=self._writer,
            command=list(self._command.command),
            env=env,
            runtime=runtime,
            python=python,
            labels=self._labels(),
        )
        stack.push_async_callback(self._witnesses.detach)
        await self._witnesses.prepare(launch)

        async def starter(incarnation: int, started: Callable[[ProcessSubject], None]) -> ProcessSubject:
            return await process.start(
                launch,
                kubeconfig=kubeconfig,
                user=facts.user,
                namespace=self._facts.namespace,
                memory_limit=self._scenario.subject.memory_limit,
                cpu_limit=self._scenario.subject.cpu_limit,
                metrics_url=self._command.metrics,
                pprof_url=self._command.pprof,
                ready=self._command.ready,
                ready_timeout_s=self._scenario.subject.ready_timeout,
                placeholders=placeholders,
                cpus=self._facts.pinning.subject if self._facts.pinning else None,
                kubeconfig_of_run=cluster.kubeconfig,
                incarnation=incarnation,
                started=started,
            )

        keeper = LogKeeper(self.directory / LOG_NAME, self._scenario.subject.log_limit, self._writer)
        stack.push_async_callback(keeper.close)
        keeper.start()
        try:
            subject = await Incarnations.start(starter)
        except SubjectNotReady as error:
            if error.ending is not None:
                self._facts.ending = EndingFacts(**asdict(error.ending))
            raise
        stack.push_async_callback(subject.stop)
        facts.command = list(subject.command)
        facts.environment = subjects.relevant_environment(launch.env)
        facts.cgroup_version = None if subject.cgroup is None else subject.cgroup.version
        assert subject.ready_ns is not None
        self._facts.phases.append(
            Phase(name="start", action="start", started_ns=subject.started_ns, ended_ns=subject.ready_ns)
        )
        self._observer.phase_ended("start", f"ready after {(subject.ready_ns - subject.started_ns) / 1e9:.1f} s")
        if certificate is not None:
            facts.webhooks = await webhooks.install(
                api, self._configurations(), placeholders.port(self._webhook_port()), certificate.ca_pem
            )
        return subject

    def _certify(self, stack: AsyncExitStack, placeholders: Placeholders) -> webhooks.Certificate | None:
        """A certificate for the subject's admission webhooks, outside the record; None where it serves none."""
        if self._scenario.subject.webhooks is None:
            return None
        directory = Path(tempfile.mkdtemp(prefix="hnw-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        certificate = webhooks.certify(directory)
        placeholders.webhook.update(certificate.files)
        return certificate

    def _webhook_port(self) -> str:
        assert self._scenario.subject.webhooks is not None
        return self._scenario.subject.webhooks.port

    def _configurations(self) -> list[dict[str, Any]]:
        assert self._scenario.subject.webhooks is not None
        base = Path(self._facts.scenario.path).parent
        return webhooks.load([base / name for name in self._scenario.subject.webhooks.configurations])

    async def _context(self, api: Api, cluster: EmbeddedCluster, subject: Incarnations) -> RunContext:
        watcher = await cluster.identity(_WATCHER_USER)
        await bind(api, _WATCHER_USER, WATCHER, self._facts.run_id)
        await grant(api, _WATCHER_USER, "watcher", rights.of_watcher(self._scenario), self._facts.run_id)
        return RunContext(
            run_id=self._facts.run_id,
            namespace=self._facts.namespace,
            run_dir=self.directory,
            clock=self._clock,
            cluster=cluster,
            subject=subject,
            sink=self._writer,
            watcher_kubeconfig=watcher,
            kinds=fanout.scenario_kinds(self._scenario),
            expected=fanout.expected(self._scenario, self._facts.run_id),
            probes=fanout.probes(self._scenario, self._facts.run_id),
            labels=self._labels(),
        )

    def _labels(self) -> dict[str, str]:
        labels = {"run_id": self._facts.run_id, "scenario": self._scenario.name}
        return labels if self._scenario.arm is None else labels | {"arm": self._scenario.arm}

    async def _start_load(self, stack: AsyncExitStack, api: Api, cluster: EmbeddedCluster) -> LoadGenerator:
        self._observer.step("starting the load generator")
        kubeconfig = await cluster.identity(_LOADGEN_USER)
        await bind(api, _LOADGEN_USER, LOADGEN, self._facts.run_id)
        for namespace in namespaces(self._scenario, self._facts.namespace):
            await api.ensure_namespace(namespace, {RUN_LABEL: self._facts.run_id})
        await grant(api, _LOADGEN_USER, "loadgen", rights.of_load(self._scenario), self._facts.run_id)
        files = client_files(kubeconfig)
        document = plan.build_plan(
            self._scenario,
            run_id=self._facts.run_id,
            origin_ns=self._clock.origin_ns,
            server=files.server,
            ca_file=files.ca_file,
            cert_file=files.cert_file,
            key_file=files.key_file,
            namespace=self._facts.namespace,
        )
        self._requested = {phase["name"]: phase["count"] for phase in cast("list[dict[str, Any]]", document["phases"])}
        generator = await LoadGenerator.start(
            document,
            run_dir=self.directory,
            sink=self._writer,
            on_rows=self._on_rows,
            cpus=self._facts.pinning.load if self._facts.pinning else None,
        )
        stack.push_async_callback(generator.stop)
        return generator

    def _on_rows(self, rows: list[RequestRow]) -> None:
        latency = self._witnesses.find(LatencyCollector)
        if latency is None:
            return
        for row in rows:
            if row.error is None:
                latency.cause(row.phase, row.name, row.intended_ns, row.sent_ns, row.done_ns)

    # -- the timeline --------------------------------------------------------------------------------------------------

    async def _timeline(self, stack: AsyncExitStack, api: Api, cluster: EmbeddedCluster, subject: Incarnations) -> None:
        await self._witnesses.attach(await self._context(api, cluster, subject))
        helpers = [
            asyncio.create_task(self._tick_forever(subject), name="ticker"),
            asyncio.create_task(ThrashGuard(subject, self._writer, self._progress).watch(), name="thrash-guard"),
        ]
        try:
            await self._witnesses.settle()
            await self._rest("idle", IDLE_SECONDS, subject)
            self._generator = await self._start_load(stack, api, cluster)
            for group in groups(self._scenario):
                await self._group(group, subject, cluster)
            await self._settled(subject)
        except (SubjectGone, StepFailed):
            for phase in self._facts.phases:
                self._end_phase(phase)
        finally:
            for helper in helpers:
                helper.cancel()
        self._take_ending(subject)
        self._begin_phase("end", "end")
        if self._generator is not None:
            await self._generator.stop()
        self._observer.step("detaching the collectors")
        await self._witnesses.detach(subject_ended=False)
        self._take_ending(subject)
        self._observer.step("stopping the subject")
        await subject.stop()
        self._observer.step("reading the profiles")
        await self._witnesses.detach()
        self._end_phase(self._facts.phases[-1])

    async def _group(self, group: list[Planned[AnyStep]], subject: Incarnations, cluster: EmbeddedCluster) -> None:
        """One step, or those that run at the same time."""
        name, step = group[0].name, group[0].step
        match step:
            case Settle():
                await self._settle(name, step, subject)
            case Pause():
                await self._rest(name, step.seconds, subject)
                self._observer.phase_ended(name, f"{step.seconds:g} s")
            case Restart():
                await self._restart(name, step, subject)
            case Hook():
                await self._hook(name, step, subject, cluster.kubeconfig)
            case _:
                await self._requests([(each.name, each.step) for each in group], subject)

    async def _requests(self, steps: list[tuple[str, AnyStep]], subject: Incarnations) -> None:
        """Phases of the load generator, at the same time."""
        assert self._generator is not None
        phases: dict[str, Phase] = {}
        timeouts: dict[str, float] = {}
        for name, step in steps:
            assert isinstance(step, Create | Flip | Traffic)
            action = cast("PhaseAction", step.action)
            phase = self._begin_phase(name, action, kind=step.resource.alias, requested=self._requested[name])
            phase.requested_per_s = step.rate if isinstance(step.rate, float) else None
            phase.schedule = words(step.rate)
            phase.until_failure = isinstance(step.rate, Changing) and step.rate.until_failure
            phases[name], timeouts[name] = phase, step.timeout
            await self._witnesses.phase_started(name)
        # Samples belong to one phase: of several to the first.
        self._writer.phase = steps[0][0]
        work = self._generator.run_phases(timeouts, lambda message: self._take_end(phases[message["phase"]], message))
        try:
            await self._while_alive(work, subject)
        except SubjectGone:
            for name, phase in phases.items():
                if phase.done is None:
                    phase.done, phase.failed = min(self._generator.done(name), phase.requested or 0), 0
            raise
        for name in phases:
            self._writer.phase = name  # what is read at the end of a phase is its own
            await self._witnesses.phase_ended(name)

    def _take_end(self, phase: Phase, message: dict[str, Any]) -> None:
        """The load generator has ended a phase."""
        phase.started_ns = message["started_ns"] or phase.started_ns
        phase.requested, phase.done, phase.failed = message["requested"], message["done"], message["failed"]
        phase.requested_per_s, phase.achieved_per_s = message["requested_per_s"], message["achieved_per_s"]
        phase.sustained_per_s, phase.failed_at_per_s = message.get("sustained_per_s"), message.get("failed_at_per_s")
        self._end_phase(phase, message["t_ns"])
        of_asked = "" if phase.requested_per_s is None else f" of {phase.requested_per_s:,.0f}/s"
        kept = f", kept {phase.sustained_per_s or 0:,.0f}/s" if phase.until_failure else ""
        failed = f", {phase.failed} failed" if phase.failed else ""
        self._observer.phase_ended(
            phase.name,
            f"{phase.done:,}/{phase.requested:,} at {phase.achieved_per_s or 0:,.0f}/s{of_asked}{kept}{failed}",
        )

    async def _settle(self, name: str, step: Settle, subject: Incarnations) -> None:
        latency = self._witnesses.find(LatencyCollector)
        if latency is None:
            raise RunFault("cannot tell when the system is settled: the latency collector does not work")
        phase = self._begin_phase(name, "settle")
        await self._witnesses.phase_started(name)
        quiet = settle(latency, self._witnesses.find(MetricsCollector), quiet_for=step.quiet_for, timeout=step.timeout)
        phase.settled = await self._while_alive(quiet, subject)
        await self._witnesses.phase_ended(name)
        self._end_phase(phase)
        assert phase.ended_ns is not None
        seconds = (phase.ended_ns - phase.started_ns) / 1e9
        how = "quiet" if phase.settled else f"not quiet within {step.timeout:.0f} s"
        self._observer.phase_ended(name, f"{how} after {seconds:.1f} s")

    async def _restart(self, name: str, step: Restart, subject: Incarnations) -> None:
        phase = self._begin_phase(name, "restart")
        await self._witnesses.phase_started(name)
        await self._witnesses.restarting()
        assert self._leases is not None
        leases, cleared = self._leases, list[str]()

        async def between() -> None:
            cleared.extend(await leases.clear())

        before = subject.incarnation
        try:
            ending = await subject.restart(signal.SIGTERM if step.signal == "TERM" else signal.SIGKILL, between)
        except SubjectNotReady as error:
            phase.failure = str(error)
            await self._witnesses.phase_ended(name)
            self._observer.phase_ended(name, phase.failure)
            raise SubjectGone from error
        finally:
            if subject.incarnation != before:
                self._writer.event(
                    "restart", incarnation=subject.incarnation, signal=step.signal, started_ns=subject.started_ns,
                    ready_ns=subject.ready_ns, leases_cleared=cleared,
                )  # fmt: skip
        if subject.incarnation == before:  # it had died of something else, just then
            raise SubjectGone
        await self._witnesses.restarted()
        await self._witnesses.phase_ended(name)
        self._end_phase(phase)
        assert subject.ready_ns is not None
        seconds = (subject.ready_ns - subject.started_ns) / 1e9
        self._observer.phase_ended(name, f"{ending.sentence}; ready again after {seconds:.1f} s")

    async def _hook(self, name: str, step: Hook, subject: Incarnations, kubeconfig: Path) -> None:
        phase = self._begin_phase(name, "hook")
        await self._witnesses.phase_started(name)
        env = {**os.environ, "KUBECONFIG": str(kubeconfig), RUN_ENV: self._facts.run_id}
        log = self.directory / f"{name}.log"
        hook = run_hook(step.command, env=env, log=log, timeout_s=step.timeout)
        phase.failure = await self._while_alive(hook, subject)
        await self._witnesses.phase_ended(name)
        self._end_phase(phase)
        self._observer.phase_ended(name, phase.failure or "done")
        if phase.failure is not None:
            raise StepFailed

    async def _settled(self, subject: Incarnations) -> None:
        """The last measurement: force a collection, then rest; only where the system did become quiet."""
        last = plan.steps(self._scenario)[-1:]
        if not last or not isinstance(last[0][1], Settle):
            await self._settle("settle", Settle(), subject)
        if self._facts.phases[-1].settled:
            await self._witnesses.settle()
            await self._rest("settled", SETTLED_SECONDS, subject)

    async def _rest(self, name: str, seconds: float, subject: Incarnations) -> None:
        action: PhaseAction = "idle" if name == "idle" else "settled" if name == "settled" else "pause"
        phase = self._begin_phase(name, action)
        await self._while_alive(asyncio.sleep(seconds), subject)
        self._end_phase(phase)

    # -- small parts ---------------------------------------------------------------------------------------------------

    async def _while_alive(self, work: Coroutine[Any, Any, _T], subject: Incarnations) -> _T:
        """The result of `work`, or SubjectGone as soon as the subject ends."""
        task = asyncio.ensure_future(work)
        ended = asyncio.ensure_future(subject.wait_ended())
        try:
            await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise SubjectGone
        finally:
            task.cancel()
            ended.cancel()
            await asyncio.gather(task, ended, return_exceptions=True)

    async def _watch_cluster(self, cluster: EmbeddedCluster) -> None:
        """Ends, with an error, when the API server or etcd goes away: nothing measured after that means anything."""
        while (reason := cluster.failure()) is None:  # noqa: ASYNC110 # asks several children; ten times a second is soon enough
            await asyncio.sleep(_TICK_SECONDS)
        raise RunFault(f"the cluster broke down: {reason}", place=str(self.directory / "control-plane"))

    async def _tick_forever(self, subject: Incarnations) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            phase = next((each for each in self._facts.phases if each.ended_ns is None), self._facts.phases[-1])
            done = self._generator.done(phase.name) if self._generator else 0
            seconds = (self._clock.now_ns() - phase.started_ns) / 1e9
            latency = self._witnesses.find(LatencyCollector)
            self._observer.tick(
                Status(
                    phase=phase.name,
                    done=done,
                    requested=phase.requested,
                    per_s=done / seconds if phase.requested and seconds > 0 else None,
                    rss_bytes=self._writer.latest("memory.rss"),
                    charged_bytes=self._writer.latest("memory.cgroup"),
                    limit_bytes=subject.memory_limit,
                    tasks=self._writer.latest("tasks"),
                    queue_depth=self._writer.latest("queue.depth"),
                    waiting_for=latency.missing() if latency else None,
                )
            )

    def _progress(self) -> float | None:
        """A counter that grows while the subject gets work done, None where nobody counts."""
        return self._writer.latest("reconciles.total")

    def _begin_phase(
        self, name: str, action: PhaseAction, kind: str | None = None, requested: int | None = None
    ) -> Phase:
        phase = Phase(name=name, action=action, kind=kind, requested=requested, started_ns=self._clock.now_ns())
        self._facts.phases.append(phase)
        self._writer.phase = name
        self._writer.event("phase", state="started", name=name)
        self._writer.save_run(self._facts)
        self._observer.phase_started(name, requested)
        return phase

    def _end_phase(self, phase: Phase, t_ns: int | None = None) -> None:
        if phase.ended_ns is None:
            phase.ended_ns = self._clock.now_ns() if t_ns is None else t_ns
            self._writer.event("phase", state="ended", name=phase.name)
            self._writer.save_run(self._facts)

    def _take_ending(self, subject: Incarnations) -> None:
        """Keep how the subject ended, if it did so before we stopped it."""
        ending = subject.ending()
        if ending is None or ending.kind == "our_signal" or self._facts.ending is not None:
            return
        self._facts.ending = EndingFacts(**asdict(ending))
        self._writer.event("subject_ended", **asdict(ending))
        self._observer.phase_ended("subject ended", ending.sentence)
