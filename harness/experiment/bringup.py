"""What a run needs before its timeline begins: a cluster, the scenario's own manifests, and identities with few rights."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack

from harness.cluster import provider
from harness.cluster.embedded import EmbeddedCluster, EmbeddedOptions
from harness.core.errors import RunFault
from harness.core.handles import RunContext
from harness.core.ids import RUN_LABEL
from harness.core.sinks import RequestRow
from harness.experiment.load import LoadGenerator
from harness.experiment.stage import SetupRefused, Stage
from harness.kube.api import Api
from harness.kube.kubeconfig import client_files
from harness.kube.manifests import apply_files
from harness.kube.rbac import LOADGEN, WATCHER, bind, grant
from harness.scenario import fanout, plan, rights
from harness.scenario.names import namespaces
from harness.subject.incarnations import Incarnations

_WATCHER_USER = "harness:watcher"
_LOADGEN_USER = "harness:loadgen"


async def start_cluster(stage: Stage, stack: AsyncExitStack) -> EmbeddedCluster:
    """A cluster for this run; it is stopped with `stack`."""
    cluster = await provider.start(
        stage.options.provider,
        name=stage.facts.run_id,
        run_id=stage.facts.run_id,
        work_dir=stage.directory,
        progress=stage.observer,
        options=EmbeddedOptions(audit_groups=sorted({kind.group for kind in stage.scenario.kinds})),
    )
    stack.push_async_callback(cluster.stop)
    stage.facts.cluster = dict(cluster.describe())
    stage.writer.save_run(stage.facts)
    return cluster


async def apply_setup(stage: Stage, api: Api) -> None:
    """Apply the scenario's own manifests. What the API server refuses makes the run invalid, in its words."""
    setup = stage.scenario.setup
    if setup is None:
        return
    stage.observer.step("applying the scenario's setup")
    try:
        await apply_files(api, [stage.base / entry for entry in setup.apply], stage.facts.namespace)
    except RunFault as error:
        raise SetupRefused(f"setup: {error}") from error


async def context(stage: Stage, api: Api, cluster: EmbeddedCluster, subject: Incarnations) -> RunContext:
    """What the collectors may know, with an identity that may only read what the scenario needs."""
    watcher = await cluster.identity(_WATCHER_USER)
    await bind(api, _WATCHER_USER, WATCHER, stage.facts.run_id)
    await grant(api, _WATCHER_USER, "watcher", rights.of_watcher(stage.scenario), stage.facts.run_id)
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
        expected=fanout.expected(stage.scenario, stage.facts.run_id),
        probes=fanout.probes(stage.scenario, stage.facts.run_id),
        labels=stage.labels,
    )


async def start_load(
    stage: Stage,
    stack: AsyncExitStack,
    api: Api,
    cluster: EmbeddedCluster,
    on_rows: Callable[[list[RequestRow]], None],
) -> LoadGenerator:
    """The load generator with its plan and the namespaces it fills; `on_rows` sees each request as it is done."""
    stage.observer.step("starting the load generator")
    kubeconfig = await cluster.identity(_LOADGEN_USER)
    await bind(api, _LOADGEN_USER, LOADGEN, stage.facts.run_id)
    for namespace in namespaces(stage.scenario, stage.facts.namespace):
        await api.ensure_namespace(namespace, {RUN_LABEL: stage.facts.run_id})
    await grant(api, _LOADGEN_USER, "loadgen", rights.of_load(stage.scenario), stage.facts.run_id)
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
            namespace=stage.facts.namespace,
        ),
        run_dir=stage.directory,
        sink=stage.writer,
        on_rows=on_rows,
        cpus=stage.facts.pinning.load if stage.facts.pinning else None,
    )
    stack.push_async_callback(generator.stop)
    return generator
