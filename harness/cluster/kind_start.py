"""Making a kind cluster: the node image, the audit policy, `kind create cluster`."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from harness.cluster import kind_config, kind_owned, kind_tools, readiness
from harness.cluster.audit_policy import policy
from harness.cluster.choice import ClusterChoice, ClusterNeeds
from harness.cluster.isolation import Isolated, isolate
from harness.cluster.kind_owned import Owned
from harness.cluster.kind_tools import Tools
from harness.core.errors import EnvironmentFault, HarnessError, UsageError
from harness.core.handles import Progress
from harness.core.ids import RUN_ENV
from harness.kube.api import Api
from harness.kube.kubeconfig import write_private
from harness.toolchain import run as tool

KUBECONFIG = "admin.kubeconfig"

_CREATE_LIMIT_S = 600.0
_PULL_LIMIT_S = 600.0
_UNDO_SETTLE_S = 1.0
_TRIES = 2
_KUBEADM = "error execution phase"
"""kubeadm's own deadlines, 10 s for one request, are too short for a machine that is busy with something else."""
_STEP = re.compile(r"[A-Za-z][^\x1b]*")


class NameTaken(UsageError):
    """Somebody made a cluster of that name just now: it is theirs."""


async def create(
    tools: Tools, owned: Owned, choice: ClusterChoice, needs: ClusterNeeds, *, work_dir: Path, progress: Progress
) -> Path:
    """Make the cluster and return its administrator's kubeconfig (mode 0600), which is in the cluster's own directory.

    kind's output goes to `work_dir/control-plane/kind.log`.
    """
    image = choice.kind_image or os.environ.get(kind_tools.IMAGE_ENV)
    if image is not None:
        await _have(tools, image, progress)
    progress.step(f"creating the kind cluster {owned.name}")
    directory = Path(owned.directory)
    config = _share(owned, kind_config.load(choice.kind_config), needs)
    log = work_dir / "control-plane" / "kind.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    kubeconfig = directory / KUBECONFIG
    command = [tools.kind, "create", "cluster", "--name", owned.name, "--config", str(config)]
    command += ["--kubeconfig", str(kubeconfig), "--wait", "0s", *(["--image", image] if image else [])]
    for attempt in range(1, _TRIES + 1):
        lines: list[str] = []
        try:
            await _kind(command, directory, lines, progress)
        except EnvironmentFault as error:
            if attempt == _TRIES or not any(_KUBEADM in line for line in lines):
                raise _fault(owned.name, lines, image, error, log) from error
            progress.detail("kubeadm gave up; once more")  # kind has taken away what it made
        else:
            break
        finally:
            with log.open("a", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
    return kubeconfig


async def _kind(command: list[str], directory: Path, lines: list[str], progress: Progress) -> None:
    """Run `kind create`, collecting what it writes; EnvironmentFault where it fails."""

    def on_line(line: str) -> None:
        lines.append(line)
        if step := _STEP.search(line):
            progress.detail(step[0].encode("ascii", "ignore").decode().strip(" ."))

    env = {key: value for key, value in os.environ.items() if key != RUN_ENV}
    await tool.run(
        command, name="kind create", env=env, cwd=directory, timeout_s=_CREATE_LIMIT_S, remedy="", on_line=on_line
    )


def _share(owned: Owned, document: dict[str, Any], needs: ClusterNeeds) -> Path:
    """Make the directory that the control plane mounts; the configuration's file."""
    shared = Path(owned.shared)
    shared.mkdir(mode=0o700)
    (shared / kind_config.PODS_DIR).mkdir()
    write_private(shared / kind_config.POLICY_FILE, json.dumps(policy()).encode())
    # Made by us, so that it stays ours: the API server, root in its container, appends to it.
    write_private(shared / kind_config.LOG_FILE, b"")
    config = Path(owned.directory) / "kind.yaml"
    inflight = (0, 0) if needs.lift_inflight else needs.inflight
    write_private(
        config, kind_config.complete(document, shared, inflight=inflight, etcd_quota=needs.etcd_quota).encode()
    )
    return config


@contextmanager
def undone(owned: Owned) -> Iterator[None]:
    """Delete what was made of a cluster where making it fails; one that is somebody else's is let be."""
    try:
        yield
    except NameTaken:
        shutil.rmtree(owned.directory, ignore_errors=True)
        kind_owned.forget(owned)
        raise
    except BaseException:
        with suppress(HarnessError):  # Docker may be what failed: `harness clean` finds it
            kind_owned.delete(owned, settle_s=_UNDO_SETTLE_S)
        raise


async def ready(tools: Tools, name: str, kubeconfig: Path, directory: Path, progress: Progress) -> tuple[Isolated, str]:
    """Wait until pods run in it; its isolated kubeconfig in `directory`, and its version."""
    progress.detail("waiting for nodes and CoreDNS")
    isolated = isolate(kubeconfig, None, directory)
    containers = await asyncio.to_thread(kind_tools.nodes, tools.docker, name)
    async with await Api.connect(isolated.kubeconfig) as api:
        await readiness.wait(api, nodes=len(containers), place=name, progress=progress)
        return isolated, await api.version()


async def keep(choice: ClusterChoice, name: str, *, work_dir: Path, progress: Progress) -> tuple[Isolated, str]:
    """Make a cluster that stays until `kind_owned.delete`, for `harness cluster up`; its kubeconfig and version."""
    tools = await asyncio.to_thread(kind_tools.find)
    if name in await asyncio.to_thread(kind_tools.clusters, tools):
        raise UsageError(f"there is a kind cluster {name!r} already", remedy="choose another --name")
    directory = work_dir / "kind"
    shutil.rmtree(directory, ignore_errors=True)  # of one that was deleted behind our back
    directory.mkdir(mode=0o700, parents=True)
    owned = kind_owned.begin(name, f"cluster-{name}", directory, None)
    with undone(owned):
        kubeconfig = await create(tools, owned, choice, ClusterNeeds(), work_dir=work_dir, progress=progress)
        return await ready(tools, name, kubeconfig, directory, progress)


async def _have(tools: Tools, image: str, progress: Progress) -> None:
    """Have the image on this machine; EnvironmentFault where it neither is nor can be pulled."""
    if await asyncio.to_thread(kind_tools.has_image, tools.docker, image):
        return
    progress.step(f"pulling the node image {image}")
    try:
        await asyncio.to_thread(kind_tools.output, [tools.docker, "pull", "--quiet", image], _PULL_LIMIT_S)
    except EnvironmentFault as error:
        raise _no_image(image, error.cause) from error


def _no_image(image: str, words: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"the node image is not on this machine and cannot be pulled: {words}",
        place=image,
        remedy=f"name one that is there with --kind-image or {kind_tools.IMAGE_ENV}, {kind_tools.OR_EMBEDDED}",
    )


def _fault(
    name: str, lines: list[str], image: str | None, error: EnvironmentFault, log: Path
) -> EnvironmentFault | UsageError:
    """What made `kind create` fail, in one line."""
    text = "\n".join(lines)
    if "already exist for a cluster with the name" in text:
        return NameTaken(f"the kind cluster {name!r} came to be just now", remedy="run it again to use it")
    if "failed to pull image" in text or "Unable to find image" in text:
        return _no_image(image or "the node image of this kind", kind_tools.last_words(text))
    words = kind_tools.last_words(text) if text.strip() else error.cause
    return EnvironmentFault(
        f"kind could not create the cluster: {words}", place=str(log), remedy=kind_tools.OR_EMBEDDED[3:]
    )
