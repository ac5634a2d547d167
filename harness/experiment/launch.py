"""Starting the subject: its identity and rights, what collectors inject, its certificates, and the wait until it is ready."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.cluster.embedded import EmbeddedCluster
from harness.core.handles import Launch
from harness.experiment import subjects
from harness.experiment.stage import Stage
from harness.kube.api import Api
from harness.kube.rbac import bind
from harness.record.models import EndingFacts, Phase
from harness.scenario.subject_parts import Webhooks
from harness.subject import process, webhooks
from harness.subject.incarnations import Incarnations
from harness.subject.log import LogKeeper
from harness.subject.placeholders import Placeholders
from harness.subject.process import LOG_NAME, ProcessSubject, SubjectNotReady
from harness.subject.runtime import detect


async def start_subject(stage: Stage, stack: AsyncExitStack, api: Api, cluster: EmbeddedCluster) -> Incarnations:
    """The subject, ready; collectors are prepared and it is stopped with `stack`. Raises SubjectNotReady."""
    await subjects.prepare(stage.command, stage.observer)
    stage.observer.step("starting the subject")
    facts = stage.facts.subject
    kubeconfig = await cluster.identity(facts.user)
    await bind(api, facts.user, stage.command.role, stage.facts.run_id)
    placeholders = Placeholders(kubeconfig=kubeconfig, namespace=stage.facts.namespace, run_id=stage.facts.run_id)
    wanted = stage.scenario.subject.webhooks
    certificate = None if wanted is None else _certify(stack, placeholders)
    launch = await _plan(stage, placeholders)
    stack.push_async_callback(stage.witnesses.detach)
    await stage.witnesses.prepare(launch)

    async def starter(incarnation: int, started: Callable[[ProcessSubject], None]) -> ProcessSubject:
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
            placeholders=placeholders,
            cpus=stage.facts.pinning.subject if stage.facts.pinning else None,
            kubeconfig_of_run=cluster.kubeconfig,
            incarnation=incarnation,
            started=started,
        )

    keeper = LogKeeper(stage.directory / LOG_NAME, stage.scenario.subject.log_limit, stage.writer)
    stack.push_async_callback(keeper.close)
    keeper.start()
    try:
        subject = await Incarnations.start(starter)
    except SubjectNotReady as error:
        if error.ending is not None:
            stage.facts.ending = EndingFacts(**asdict(error.ending))
        raise
    stack.push_async_callback(subject.stop)
    facts.command = list(subject.command)
    facts.environment = subjects.relevant_environment(launch.env)
    facts.cgroup_version = None if subject.cgroup is None else subject.cgroup.version
    assert subject.ready_ns is not None
    stage.facts.phases.append(
        Phase(name="start", action="start", started_ns=subject.started_ns, ended_ns=subject.ready_ns)
    )
    stage.observer.phase_ended("start", f"ready after {(subject.ready_ns - subject.started_ns) / 1e9:.1f} s")
    if wanted is not None and certificate is not None:
        facts.webhooks = await webhooks.install(
            api, _configurations(stage, wanted), placeholders.port(wanted.port), certificate.ca_pem
        )
    return subject


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
