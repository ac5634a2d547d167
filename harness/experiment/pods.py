"""A subject in a pod: its image, its identity and rights, the folder it shares with the harness, and how it is started."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from harness.cluster import setup
from harness.core.handles import Cluster, Launch, PythonRuntime, SharedFolder, SubjectRuntime
from harness.core.ids import RUN_LABEL
from harness.experiment.prepared import Prepared
from harness.experiment.stage import Stage
from harness.kube.api import Api
from harness.kube.workloads import SERVICE
from harness.process.child import open_log
from harness.record.models import Pinning
from harness.subject import pod_manifest, pod_start
from harness.subject.incarnations import Incarnation
from harness.subject.placeholders import Placeholders
from harness.subject.pod_manifest import PodSpec
from harness.subject.process import LOG_NAME
from harness.toolchain import image as controllers
from harness.toolchain import image_facts
from harness.toolchain.image_facts import ImageFacts

_APART = "the subject is in a pod, and its node shares no folder with this machine"


async def prepare(stage: Stage, stack: AsyncExitStack, api: Api, cluster: Cluster) -> Prepared:
    """Everything but the pod itself; what is on this machine for it is removed with `stack`."""
    facts, command, run_id = stage.facts.subject, stage.command, stage.facts.run_id
    reference = command.image or await controllers.ensure(stage.observer)
    image = await image_facts.read(reference)
    if image is not None:
        stage.observer.step("loading the subject's image into the cluster")
        await cluster.load_image(reference)
    if (unread := await cluster.read_images(stage.observer)) is not None:
        stage.writer.event("warning", source="cluster", message=unread)
    facts.image = reference
    namespace = pod_manifest.namespace_of(run_id)
    await api.ensure_namespace(namespace, {RUN_LABEL: run_id})
    for manifest in pod_manifest.account(run_id, await _server_inside(api)):
        await api.apply(manifest)
    facts.user = pod_manifest.user_of(run_id)
    role = stage.options.subject_role or command.role
    await setup.give(api, cluster, facts.user, role, run_id, account=True)
    if stage.facts.pinning is not None:
        reason = "the subject is in a pod: its CPUs are the node's affair"
        stage.facts.pinning = Pinning(load=stage.facts.pinning.load, reason=reason)
    placeholders = Placeholders(
        kubeconfig=Path(pod_manifest.KUBECONFIG), namespace=stage.facts.namespace, run_id=run_id
    )
    stage.shared = folder = await _folder(stack, cluster, run_id)
    launch = await _plan(stage, placeholders, folder, image)
    os.close(open_log(stage.directory / LOG_NAME))  # its size is looked at from now on
    spec = PodSpec(
        run_id=run_id,
        namespace=namespace,
        incarnation=0,
        image=reference,
        arguments=command.args,
        memory_limit=stage.scenario.subject.memory_limit,
        cpu_limit=stage.scenario.subject.cpu_limit,
        restart_policy=stage.scenario.subject.restart_policy,
        hardened=command.image is None,
    )

    async def starter(incarnation: int, started: Callable[[Incarnation], None]) -> Incarnation:
        subject = await pod_start.start(
            launch,
            spec.incarnated(incarnation),
            api=api,
            user=facts.user,
            kubeconfig_of_run=cluster.kubeconfig,
            placeholders=placeholders,
            folder=folder,
            metrics_url=command.metrics,
            pprof_url=command.pprof,
            ready=command.ready,
            ready_timeout_s=stage.scenario.subject.ready_timeout,
            started=started,
        )
        facts.pod = dict(subject.describe())
        return subject

    return Prepared(launch, placeholders, lambda _: starter)  # one replica: more are refused beforehand


async def _server_inside(api: Api) -> str:
    """The API server's URL inside the cluster, by address: a subject should not depend on the cluster's DNS."""
    spec = (await api.get(SERVICE, "kubernetes", "default"))["spec"]
    address = spec["clusterIP"]
    return f"https://{f'[{address}]' if ':' in address else address}:{spec['ports'][0]['port']}"


async def _folder(stack: AsyncExitStack, cluster: Cluster, run_id: str) -> SharedFolder | None:
    """A folder of the run's own in the one that nodes share; closed to other users of this machine by the one above it."""
    shared = await cluster.shared_folder()
    if shared is None:
        return None
    own = SharedFolder(shared.here / run_id, f"{shared.there}/{run_id}")
    stack.callback(shutil.rmtree, own.here, ignore_errors=True)
    for name in ("shared", "inject"):
        (own.here / name).mkdir(parents=True)
    (own.here / "shared").chmod(0o777)
    return own


async def _plan(
    stage: Stage, placeholders: Placeholders, folder: SharedFolder | None, image: ImageFacts | None
) -> Launch:
    """How it will be started, before any collector has changed that. Nothing of this machine's environment is passed on."""
    command, facts = stage.command, stage.facts.subject
    words = list(command.command)
    if command.controller is not None:
        words[0] = "python3"  # of the image, not of this machine
    env = placeholders.fill_env(command.env, place="subject.env")
    runtime: SubjectRuntime = "other"
    python: PythonRuntime | None = None
    if image is not None:
        if "PYTHONPATH" in image.env:  # what is injected stands in front of it
            env.setdefault("PYTHONPATH", image.env["PYTHONPATH"])
        runtime, python = await image_facts.runtime(image, words or [*image.entrypoint, *image.command])
    facts.runtime = runtime
    facts.runtime_version = None if python is None else ".".join(map(str, python.version))
    return Launch(
        run_id=stage.facts.run_id,
        run_dir=stage.directory,
        clock=stage.clock,
        sink=stage.writer,
        command=words,
        env=env,
        runtime=runtime,
        python=python,
        labels=stage.labels,
        shared=None if folder is None else SharedFolder(folder.here / "shared", pod_manifest.SHARED),
        apart=_APART if folder is None else None,
    )
