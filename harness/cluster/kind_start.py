"""Making a kind cluster: the node image, the audit policy, `kind create cluster`."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path

from harness.cluster import kind_config, kind_tools
from harness.cluster.audit_policy import policy
from harness.cluster.choice import ClusterChoice, ClusterNeeds
from harness.cluster.kind_owned import Owned
from harness.cluster.kind_tools import Tools
from harness.core.errors import EnvironmentFault, UsageError
from harness.core.handles import Progress
from harness.core.ids import RUN_ENV
from harness.kube.kubeconfig import write_private
from harness.toolchain import run as tool

KUBECONFIG = "admin.kubeconfig"

_CREATE_LIMIT_S = 600.0
_PULL_LIMIT_S = 600.0
_STEP = re.compile(r"[A-Za-z][^\x1b]*")


class NameTaken(UsageError):
    """Somebody made a cluster of that name just now: it is theirs."""


async def create(
    tools: Tools, owned: Owned, choice: ClusterChoice, needs: ClusterNeeds, *, work_dir: Path, progress: Progress
) -> Path:
    """Make the cluster and return its administrator's kubeconfig (mode 0600), which is in the cluster's own directory.

    kind's output goes to `work_dir/control-plane/kind.log`.
    """
    document = kind_config.load(choice.kind_config)
    image = choice.kind_image or os.environ.get(kind_tools.IMAGE_ENV)
    if image is not None:
        await _have(tools, image, progress)
    progress.step(f"creating the kind cluster {owned.name}")
    directory = Path(owned.directory)
    shared = Path(owned.shared)
    _make(shared)
    write_private(shared / kind_config.POLICY_FILE, json.dumps(policy(needs.audit_groups)).encode())
    # Made by us, so that it stays ours: the API server, root in its container, appends to it.
    write_private(shared / kind_config.LOG_FILE, b"")
    config = directory / "kind.yaml"
    write_private(config, kind_config.complete(document, shared, lift_inflight=needs.lift_inflight).encode())
    log = work_dir / "control-plane" / "kind.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    kubeconfig = directory / KUBECONFIG
    command = [tools.kind, "create", "cluster", "--name", owned.name, "--config", str(config)]
    command += ["--kubeconfig", str(kubeconfig), "--wait", "0s", *(["--image", image] if image else [])]
    lines: list[str] = []

    def on_line(line: str) -> None:
        lines.append(line)
        if step := _STEP.search(line):
            progress.detail(step[0].encode("ascii", "ignore").decode().strip(" ."))

    env = {key: value for key, value in os.environ.items() if key != RUN_ENV}
    try:
        await tool.run(
            command, name="kind create", env=env, cwd=directory, timeout_s=_CREATE_LIMIT_S, remedy="", on_line=on_line
        )
    except EnvironmentFault as error:
        raise _fault(owned.name, lines, image, error, log) from error
    finally:
        log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return kubeconfig


def _make(shared: Path) -> None:
    shared.mkdir(mode=0o700)
    (shared / kind_config.PODS_DIR).mkdir()


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
