"""What a run needs before its timeline begins: a cluster, the scenario's own manifests, and identities with few rights."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from harness.cluster import flags, provider, setup
from harness.cluster.choice import ETCD_QUOTA, ClusterNeeds
from harness.core.errors import RunFault
from harness.core.handles import JSON, Cluster, RunContext
from harness.core.ids import RUN_LABEL
from harness.core.sinks import RequestRow
from harness.experiment import quota, subjects
from harness.experiment.load import LoadGenerator
from harness.experiment.options import ExternalWorkers
from harness.experiment.stage import SetupRefused, Stage
from harness.kube.api import Api
from harness.kube.kubeconfig import client_files
from harness.kube.manifests import apply_files, load_manifests
from harness.kube.rbac import AGENTS, LOADGEN, WATCHER, grant
from harness.scenario import fanout, plan, registered, rights
from harness.scenario.names import namespaces
from harness.scenario.server import InflightLimits
from harness.scenario.steps import FLEET_CLUSTER
from harness.subject import webhooks
from harness.subject.replicas import RunSubject

_WATCHER_USER = "harness:watcher"
_LOADGEN_USER = "harness:loadgen"
_AT_ONCE = 16
"""Namespaces that are made at the same time."""


async def start_cluster(stage: Stage, stack: AsyncExitStack) -> Cluster:
    """A cluster for this run; it is stopped with `stack`."""
    cluster = await provider.start(
        stage.options.cluster,
        name=stage.facts.run_id,
        run_id=stage.facts.run_id,
        work_dir=stage.directory,
        progress=stage.observer,
        needs=_needs(stage),
    )
    stack.push_async_callback(_stop, stage, cluster)
    stage.facts.cluster = dict(cluster.describe())
    if (said := quota.remark(stage.scenario, stage.options)) is not None:
        stage.writer.event("warning", source="cluster", message=said)
    stage.writer.save_run(stage.facts)
    return cluster


async def _stop(stage: Stage, cluster: Cluster) -> None:
    """Take the cluster away, or what the run made in it. What stayed is a warning: the measurement is not worse for it."""
    stage.observer.step("taking down the cluster" if cluster.throwaway else "removing what the run made")
    for sentence in await cluster.stop():
        stage.writer.event("warning", source="cluster", message=sentence)


async def prepare(stage: Stage, api: Api, cluster: Cluster) -> None:
    """CRDs, roles and the run's namespace: our own way in a cluster of our own, as a guest in any other."""
    run_id = stage.facts.run_id
    if cluster.throwaway:
        await setup.prepare(api, run_id)
        return
    kinds = [*fanout.scenario_kinds(stage.scenario), *stage.scenario.kinds]
    agents = [] if stage.scenario.agents is None else [AGENTS]
    roles = (LOADGEN, WATCHER, stage.options.subject_role or stage.command.role, *agents)
    await setup.prepare_as_guest(api, run_id, kinds, roles=roles, certain=stage.options.cluster.certain)


def _needs(stage: Stage) -> ClusterNeeds:
    """What the scenario says of its API server, the groups that the audit log must show, and who counts against its quotas."""
    inflight, wanted = stage.scenario.apiserver.inflight, stage.scenario.setup
    manifests = [] if wanted is None else load_manifests([stage.base / entry for entry in wanted.apply])
    limited = [flags.QUOTA_CONTROLLER] if any(each["kind"] == "ResourceQuota" for each in manifests) else []
    served = subjects.webhooks(stage.scenario.subject, stage.options)
    admits = served is not None and webhooks.about_pods([stage.base / name for name in served.configurations])
    return ClusterNeeds(
        lift_inflight=inflight == "off",
        inflight=(inflight.mutating, inflight.reading) if isinstance(inflight, InflightLimits) else None,
        etcd_quota=stage.scenario.etcd_quota or ETCD_QUOTA,
        controllers=[*limited, *(flags.WORKLOAD_CONTROLLERS if admits else ())],
    )


async def apply_setup(stage: Stage, api: Api, cluster: Cluster) -> None:
    """Apply the scenario's own manifests. What the API server refuses makes the run invalid, in its words."""
    if stage.scenario.setup is None:
        return
    stage.observer.step("applying the scenario's setup")
    files = [stage.base / entry for entry in stage.scenario.setup.apply]
    try:
        if cluster.throwaway:
            await apply_files(api, files, stage.facts.namespace)
            return
        for name in await setup.add_setup(api, files, stage.facts.run_id):
            stage.writer.event(
                "warning", source="cluster", message=f"setup: {name} was there already, and is used as it is"
            )
    except RunFault as error:
        raise SetupRefused(f"setup: {error}") from error


async def context(stage: Stage, api: Api, cluster: Cluster, subject: RunSubject) -> RunContext:
    """What the collectors may know, with an identity that may only read what the scenario needs."""
    watcher = await cluster.identity(_WATCHER_USER)
    await setup.give(api, cluster, _WATCHER_USER, WATCHER, stage.facts.run_id)
    await grant(api, cluster.username(_WATCHER_USER), "watcher", rights.of_watcher(stage.scenario), stage.facts.run_id)
    return RunContext(
        run_id=stage.facts.run_id,
        namespace=stage.facts.namespace,
        run_dir=stage.directory,
        clock=stage.clock,
        cluster=cluster,
        subject=subject,
        sink=stage.writer,
        watcher_kubeconfig=watcher,
        kinds=fanout.scenario_kinds(stage.scenario),
        expected=[] if stage.facts.observed else fanout.expected(stage.scenario, stage.facts.run_id),
        probes=[] if stage.facts.observed else fanout.probes(stage.scenario, stage.facts.run_id),
        labels=stage.labels,
        beating=[FLEET_CLUSTER] if stage.scenario.agents is not None and stage.scenario.agents.heartbeat else [],
    )


def _external(workers: ExternalWorkers) -> dict[str, JSON]:
    secret = str(workers.secret_file.absolute())
    return {"host": workers.host, "port": workers.port, "secret_file": secret, "wait_s": workers.wait_s}


async def _register_clusters(stage: Stage, api: Api) -> None:
    """The namespaces of the Fleet Clusters that the load will create."""
    wanted = registered.namespaces(stage.scenario, stage.facts.run_id, stage.facts.namespace)
    gate, labels = asyncio.Semaphore(_AT_ONCE), {RUN_LABEL: stage.facts.run_id}

    async def make(name: str, annotations: dict[str, str]) -> None:
        async with gate:
            await api.ensure_namespace(name, labels, annotations)

    await asyncio.gather(*(make(name, annotations) for name, annotations in wanted.items()))


async def start_load(
    stage: Stage,
    stack: AsyncExitStack,
    api: Api,
    cluster: Cluster,
    on_rows: Callable[[list[RequestRow]], None],
) -> LoadGenerator:
    """The load generator with its plan and the namespaces it fills; `on_rows` sees each request as it is done."""
    stage.observer.step("starting the load generator")
    kubeconfig = await cluster.identity(_LOADGEN_USER)
    await setup.give(api, cluster, _LOADGEN_USER, LOADGEN, stage.facts.run_id)
    for namespace in namespaces(stage.scenario, stage.facts.namespace):
        await api.ensure_namespace(namespace, {RUN_LABEL: stage.facts.run_id})
    await _register_clusters(stage, api)
    await grant(api, cluster.username(_LOADGEN_USER), "loadgen", rights.of_load(stage.scenario), stage.facts.run_id)
    external = stage.options.external
    if external is not None and external.account is not None:
        user = "system:serviceaccount:" + ":".join(external.account)
        await setup.give(api, cluster, user, LOADGEN, stage.facts.run_id, account=True)
        await grant(api, user, "load-workers", rights.of_load(stage.scenario), stage.facts.run_id)
    files = client_files(kubeconfig)
    generator = await LoadGenerator.start(
        plan.build_plan(
            stage.scenario,
            run_id=stage.facts.run_id,
            origin_ns=stage.clock.origin_ns,
            server=files.server,
            ca_file=files.ca_file,
            cert_file=files.cert_file,
            key_file=files.key_file,
            token_file=files.token_file,
            namespace=stage.facts.namespace,
            workers=stage.facts.load_workers,
            external=None if external is None else _external(external),
        ),
        wait_s=0.0 if external is None else external.wait_s,
        run_dir=stage.directory,
        sink=stage.writer,
        on_rows=on_rows,
        cpus=stage.facts.pinning.load if stage.facts.pinning else None,
    )
    stack.push_async_callback(generator.stop)
    return generator
