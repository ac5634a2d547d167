"""Starting a subject in a pod: what is injected is put where the pod sees it, ports are forwarded, readiness is awaited."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from harness.core.errors import RunFault
from harness.core.handles import Launch, SharedFolder
from harness.kube.api import Api
from harness.kube.errors import ApiError
from harness.subject.placeholders import Placeholders
from harness.subject.pod import PodSubject
from harness.subject.pod_manifest import INJECTED, PodSpec
from harness.subject.process import LOG_NAME, SubjectNotReady, until_ready
from harness.subject.readiness import Ready, Source, watch_for

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


async def start(
    launch: Launch,
    spec: PodSpec,
    *,
    api: Api,
    user: str,
    kubeconfig_of_run: Path,
    placeholders: Placeholders,
    folder: SharedFolder | None = None,
    metrics_url: str | None = None,
    pprof_url: str | None = None,
    ready: Ready | None = None,
    ready_timeout_s: float = 30.0,
    started: Callable[[PodSubject], None] | None = None,
) -> PodSubject:
    """Create the pod of one incarnation and wait until it is ready; otherwise as `process.start`.

    `spec` is complete but for what `launch` decides: command, environment, folders. `folder` is the run's own on the nodes;
    ports of the placeholders and of the URLs are forwarded from the same ports of this machine's loopback.
    """
    command = placeholders.fill_command(launch.command, place="subject.command")
    arguments = placeholders.fill_command(spec.arguments, place="subject.args")
    metrics_url = metrics_url and placeholders.fill(metrics_url, place="subject.metrics")
    pprof_url = pprof_url and placeholders.fill(pprof_url, place="subject.pprof")
    sign = None if ready is None else ready.filled(lambda text: placeholders.fill(text, place="subject.ready"))
    env, folders = await asyncio.to_thread(_hand_over, launch, folder)
    spec = replace(spec, command=command, arguments=arguments, env=env, folders=folders)
    log = launch.run_dir / LOG_NAME
    source = Source(log, log.stat().st_size if log.exists() else 0, kubeconfig_of_run, metrics_url)
    watch = watch_for(sign, source) if sign else None
    subject = PodSubject(launch, spec, api, user=user, metrics_url=metrics_url, pprof_url=pprof_url)
    ports = {*placeholders.ports.values(), *_ports(metrics_url, pprof_url, sign.http if sign else None)}
    try:
        await subject.create(sorted(ports))
        await subject.running()
        if started is not None:
            started(subject)
        await until_ready(subject, watch, ready_timeout_s)
    except ApiError as error:
        await subject.stop(0)
        raise RunFault(f"the pod was refused: {error.message}", place=f"pod {spec.namespace}/{spec.name}") from error
    except SubjectNotReady as error:
        await subject.stop(0)
        if (why := subject.unreached) is None:
            raise
        cause = f"{error.cause}; its ports were not reached: {why}"
        raise SubjectNotReady(cause, place=error.place or "", remedy=error.remedy or "", ending=error.ending) from error
    except BaseException:
        await subject.stop(0)
        raise
    subject.ready_ns = launch.clock.now_ns()
    return subject


def _hand_over(launch: Launch, folder: SharedFolder | None) -> tuple[dict[str, str], dict[str, str]]:
    """Copy what is injected to where the pod sees it; the pod's environment, and its folders on the node."""
    env = dict(launch.env)
    if folder is None or launch.shared is None:
        return env, {}
    paths = []
    for number, directory in enumerate(launch.inject_dirs):
        target = folder.here / "inject" / str(number)
        if not target.exists():
            shutil.copytree(directory, target, ignore=shutil.ignore_patterns("__pycache__"))
        paths.append(f"{INJECTED}/{number}")
    (folder.here / "inject").mkdir(exist_ok=True)
    if paths:
        env["PYTHONPATH"] = ":".join([*paths, *([env["PYTHONPATH"]] if env.get("PYTHONPATH") else [])])
    return env, {"shared": f"{folder.there}/shared", "inject": f"{folder.there}/inject"}


def _ports(*urls: str | None) -> list[int]:
    """Ports on the loopback that URLs name."""
    parts = [urlsplit(url) for url in urls if url]
    return [part.port for part in parts if part.port is not None and part.hostname in _LOOPBACK]
