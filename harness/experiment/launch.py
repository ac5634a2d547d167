"""Starting the subject: its identity and rights, what collectors inject, its certificates, and the wait until it is ready."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.cluster import setup
from harness.cluster.choice import KIND
from harness.core.errors import RunFault
from harness.core.handles import Cluster, Launch
from harness.experiment import pods, subjects
from harness.experiment.failover import Electorate
from harness.experiment.prepared import Prepared
from harness.experiment.stage import SetupRefused, Stage
from harness.kube.api import Api
from harness.record.models import EndingFacts, Phase
from harness.scenario.subject_parts import Webhooks
from harness.subject import process, webhooks
from harness.subject.incarnations import Incarnation, Incarnations, Starter
from harness.subject.log import LogKeeper
from harness.subject.placeholders import Placeholders
from harness.subject.process import SubjectNotReady, log_name
from harness.subject.redact import redact_document
from harness.subject.replicas import Replicas, RunSubject
from harness.subject.runtime import detect


async def start_subject(
    stage: Stage, stack: AsyncExitStack, api: Api, cluster: Cluster, electorate: Electorate | None = None
) -> RunSubject:
    """The subject, ready; collectors are prepared and it is stopped with `stack`. Raises SubjectNotReady.

    Of replicas the second starts when the first is leader, for then it is known which one is.
    """
    await subjects.prepare(stage.command, stage.observer)
    if stage.options.cluster.provider == KIND and stage.command.controller and stage.command.replicas > 1:
        said = "the replicas run as processes on this machine: their failover is not measured of pods"
        stage.writer.event("warning", source="subject", message=said)
    stage.observer.step("starting the subject")
    facts = stage.facts.subject
    wanted = subjects.webhooks(stage.scenario.subject, stage.options)
    prepare = pods.prepare if facts.kind == "pod" else _as_process
    prepared = await prepare(stage, stack, api, cluster)
    launch, certificate = prepared.launch, prepared.certificate
    stack.push_async_callback(stage.witnesses.detach)
    await stage.witnesses.prepare(launch)
    started: list[Incarnations] = []
    try:
        for replica in range(stage.scenario.subject.replicas):
            keeper = LogKeeper(stage.directory / log_name(replica), stage.scenario.subject.log_limit, stage.writer)
            stack.push_async_callback(keeper.close)
            keeper.start()
            started.append(await Incarnations.start(prepared.starter(replica)))
            stack.push_async_callback(started[-1].stop)
            if electorate is not None and replica == 0:
                await electorate.first_leader(stage.scenario.subject.ready_timeout)
    except SubjectNotReady as error:
        if error.ending is not None:
            stage.facts.ending = EndingFacts(**asdict(error.ending))
        raise
    subject: RunSubject = started[0] if len(started) == 1 else Replicas(started)
    facts.command = list(subject.command)
    facts.environment = subjects.relevant_environment(launch.env) | redact_document(stage.options.subject_env)
    facts.cgroup_version = None if subject.cgroup is None else subject.cgroup.version
    assert subject.ready_ns is not None
    stage.facts.phases.append(
        Phase(name="start", action="start", started_ns=subject.started_ns, ended_ns=subject.ready_ns)
    )
    stage.observer.phase_ended("start", f"ready after {(subject.ready_ns - subject.started_ns) / 1e9:.1f} s")
    if wanted is not None and certificate is not None:
        try:
            facts.webhooks = await webhooks.install(
                api, _configurations(stage, wanted), prepared.placeholders.port(wanted.port), certificate.ca_pem
            )
        except RunFault as error:
            raise SetupRefused(f"subject.webhooks: {error}") from error
    return subject


async def _as_process(stage: Stage, stack: AsyncExitStack, api: Api, cluster: Cluster) -> Prepared:
    """A process of this machine, with an identity of the cluster."""
    facts = stage.facts.subject
    user = facts.user
    kubeconfig = await cluster.identity(user)
    facts.user = cluster.username(user)
    await setup.give(api, cluster, user, stage.options.subject_role or stage.command.role, stage.facts.run_id)
    identity: dict[str, Any] = {
        "kubeconfig": kubeconfig, "namespace": stage.facts.namespace, "run_id": stage.facts.run_id
    }  # fmt: skip
    placeholders = Placeholders(**identity)
    wanted = subjects.webhooks(stage.scenario.subject, stage.options)
    certificate = None if wanted is None else _certify(stack, placeholders)
    launch = await _plan(stage, placeholders)

    def starter(replica: int) -> Starter:
        # What one run fills in is the same for all replicas, except for their ports.
        fill = placeholders if replica == 0 else Placeholders(**identity)

        async def start(incarnation: int, started: Callable[[Incarnation], None]) -> Incarnation:
            return await process.start(
                launch,
                kubeconfig=kubeconfig,
                user=facts.user,
                namespace=stage.facts.namespace,
                memory_limit=stage.scenario.subject.memory_limit,
                cpu_limit=stage.scenario.subject.cpu_limit,
                metrics_url=stage.command.metrics,
                pprof_url=stage.command.pprof,
                ready=stage.command.ready,
                ready_timeout_s=stage.scenario.subject.ready_timeout,
                placeholders=fill,
                cpus=stage.facts.pinning.subject if stage.facts.pinning else None,
                kubeconfig_of_run=cluster.kubeconfig,
                incarnation=incarnation,
                replica=replica,
                started=started,
            )

        return start

    return Prepared(launch, placeholders, starter, certificate)


async def _plan(stage: Stage, placeholders: Placeholders) -> Launch:
    """How it will be started, before any collector has changed that."""
    env = subjects.base_environment(placeholders.fill_env(stage.command.env, place="subject.env"))
    runtime, python = await detect(stage.command.command, env)
    facts = stage.facts.subject
    facts.runtime = runtime
    facts.runtime_version = None if python is None else ".".join(map(str, python.version))
    return Launch(
        run_id=stage.facts.run_id,
        run_dir=stage.directory,
        clock=stage.clock,
        sink=stage.writer,
        command=list(stage.command.command),
        env=env,
        runtime=runtime,
        python=python,
        labels=stage.labels,
    )


def _certify(stack: AsyncExitStack, placeholders: Placeholders) -> webhooks.Certificate:
    """A certificate for the subject's admission webhooks, outside the record."""
    directory = Path(tempfile.mkdtemp(prefix="hnw-"))
    stack.callback(shutil.rmtree, directory, ignore_errors=True)
    certificate = webhooks.certify(directory)
    placeholders.webhook.update(certificate.files)
    return certificate


def _configurations(stage: Stage, wanted: Webhooks) -> list[dict[str, Any]]:
    return webhooks.load([stage.base / name for name in wanted.configurations])
