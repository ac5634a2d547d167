"""A subject in a pod without a run around it: one image, one program, the collectors that a test wants.

A program goes on when the test says so (`Started.go`), not after a while: what is to be seen of it is looked at first.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import psutil

from harness.core import ids
from harness.core.handles import Launch, Silent
from harness.kube.api import Api
from harness.kube.discovery import NAMESPACE
from harness.subject import pod_manifest, pod_start
from harness.subject.placeholders import Placeholders
from harness.subject.pod import PodSubject
from harness.subject.readiness import Ready
from harness.toolchain import image
from tests.collecting import ListSink
from tests.kind.conftest import Kept

LIMIT = 64 << 20
WAIT = "signal.sigwait({signal.SIGUSR1})\n"
"""In a program: until `Started.go`."""
_BEGIN = "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})\nprint('here', flush=True)\n"
NODES = SimpleNamespace(clock=None)
"""The cluster as collectors need it: its nodes are this machine, and have its clock."""


@dataclass
class Started:
    subject: PodSubject
    sink: ListSink
    api: Api
    log: Path
    token: str
    """In its program's text."""

    def go(self) -> None:
        """The program, which waits for that or soon will, goes on. Its nodes are this machine."""
        for process in psutil.process_iter(["cmdline"]):
            if self.token in (process.info["cmdline"] or [""])[-1] and _first_of_container(process.pid):
                os.kill(process.pid, signal.SIGUSR1)
                return
        raise AssertionError("its first process is not there")


def _first_of_container(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return any(line.startswith("NSpid:") and line.split()[-1] == "1" for line in status.splitlines())


@asynccontextmanager
async def pod(
    kept: Kept, program: str, directory: Path, *, policy: Literal["Never", "Always"] = "Never", **changes: Any
) -> AsyncIterator[Started]:
    """`python3 -c PROGRAM` in a pod with a limit of 64 MiB, ready once it has said so; gone afterwards."""
    run_id = ids.new_run_id()
    namespace, user = pod_manifest.namespace_of(run_id), pod_manifest.user_of(run_id)
    sink = ListSink()
    reference = await image.ensure(Silent())
    async with await Api.connect(kept.kubeconfig) as api:
        await api.ensure_namespace(namespace, {ids.RUN_LABEL: run_id})
        try:
            for manifest in pod_manifest.account(run_id, "https://10.96.0.1:443"):
                await api.apply(manifest)
            fields: dict[str, Any] = {"memory_limit": LIMIT, "restart_policy": policy, **changes}
            spec = pod_manifest.PodSpec(run_id, namespace, 0, reference, **fields)
            launch = Launch(
                run_id=run_id, run_dir=directory, clock=sink.clock, sink=sink,
                command=["python3", "-c", f"{_BEGIN}{program}\n# {run_id}"], env={}, runtime="other", python=None,
                apart="a test",
            )  # fmt: skip
            subject = await pod_start.start(
                launch, spec, api=api, user=user, kubeconfig_of_run=kept.kubeconfig,
                placeholders=Placeholders(kubeconfig=Path(pod_manifest.KUBECONFIG), namespace="none", run_id=run_id),
                ready=Ready(log="^here"),
            )  # fmt: skip
            try:
                yield Started(subject, sink, api, directory / "subject.log", run_id)
            finally:
                await subject.stop(1)
        finally:
            await api.delete(NAMESPACE, namespace)


async def until(what: str, condition: Any, limit_s: float = 90.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 # somebody else's event
            await asyncio.sleep(0.1)
