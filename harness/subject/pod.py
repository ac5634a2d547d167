"""A subject that is a pod: the kubelet starts it, limits it and tells how it ended; the harness looks on from outside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.core.errors import HarnessError
from harness.core.handles import JSON, Ending, Launch, SubjectRuntime
from harness.kube.api import Api
from harness.kube.errors import ApiError
from harness.kube.portforward import PortForward
from harness.kube.workloads import POD
from harness.subject import pod_cgroup, pod_ending, pod_manifest
from harness.subject.cpu import CpuCgroup
from harness.subject.ending import Witness
from harness.subject.pod_cgroup import ContainerCgroup
from harness.subject.pod_container import Container
from harness.subject.pod_kills import PodKills
from harness.subject.pod_log import PodLog
from harness.subject.pod_manifest import CONTAINER, KUBECONFIG, PodSpec
from harness.subject.pod_stats import KubeletStats
from harness.subject.pod_watch import STUCK, PodWatch, Termination
from harness.subject.process import LOG_NAME, STOP_GRACE_S, SubjectNotReady, log_tail
from harness.subject.redact import redact

START_LIMIT_S = 120.0
"""From the pod's creation to a running container: scheduling, and pulling an image that the node has not."""
_GONE_MARGIN_S = 30.0
"""Beyond the grace: how long the kubelet may take to report the end and the API server to forget the pod."""
_LOG_END_S = 5.0
_TICK_S = 1.0
_POLL_S = 0.05
_NOT_FOUND = 404


class PodSubject:
    """One incarnation of a subject in a pod, implementing `core.handles.Subject`. Made by `start`; `stop` it in a `finally`.

    With restart policy `Always` the kubelet replaces its container after each ending; then the subject lives until it is
    stopped or evicted, and its cgroup and pids are those of the container that runs now.
    """

    kind = "pod"

    def __init__(
        self, launch: Launch, spec: PodSpec, api: Api, *, user: str, metrics_url: str | None, pprof_url: str | None
    ) -> None:
        self.command: Sequence[str] = redact([*spec.command, *spec.arguments])
        self.user = user
        self.kubeconfig = Path(KUBECONFIG)
        self.runtime: SubjectRuntime = launch.runtime
        self.started_ns = launch.clock.now_ns()
        self.ready_ns: int | None = None
        self.metrics_url = metrics_url
        self.pprof_url = pprof_url
        self.agent_socket = launch.agent_socket
        self.memory_limit = spec.memory_limit
        self.incarnation = spec.incarnation
        self.log = launch.run_dir / LOG_NAME
        self.thrashed_s = 0.0
        self.spec = spec
        self.stats = KubeletStats(api, spec.namespace, spec.name)
        self.watch = PodWatch(api, spec.namespace, spec.name)
        self._launch = launch
        self._api = api
        self._forward = PortForward(api, spec.namespace, spec.name)
        self._containers: dict[str, Container] = {}
        self._current: Container | None = None
        self.kills = PodKills(spec, self.watch, self._containers)
        self._ending: Ending | None = None
        self._ended = asyncio.Event()
        self._sent: list[int] = []
        self._asked_ns = 2**63
        self._tasks: list[asyncio.Task[None]] = []
        self._unseen = 0
        self._restarts = 0

    # -- the handle ----------------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """Main process of the current container as this machine numbers it, 0 where it is not seen."""
        return self._current.pid if self._current else 0

    @property
    def cgroup(self) -> ContainerCgroup | None:
        """The memory cgroup of the current container, None where this machine does not see it."""
        return self._current.cgroup if self._current else None

    @property
    def cpu(self) -> CpuCgroup | None:
        """The CPU limit of the current container, None without one or where it is not seen."""
        return self._current.cpu if self._current else None

    @property
    def replicas(self) -> Sequence[PodSubject]:
        """Itself: it is the only one."""
        return [self]

    def pids(self) -> list[int]:
        """Every live process of the container, its first one first; empty where they are not seen."""
        if self._ending is not None or self.cgroup is None:
            return []
        return sorted(self.cgroup.pids(), key=lambda pid: pid != self.pid)

    def ending(self) -> Ending | None:
        """How it ended; None while it lives, or is being restarted by the kubelet."""
        return self._ending

    async def wait_ended(self, timeout: float | None = None) -> Ending:
        """Wait until it has ended for good. Raises TimeoutError after `timeout` seconds."""
        async with asyncio.timeout(timeout):
            await self._ended.wait()
        assert self._ending is not None
        return self._ending

    def send_signal(self, number: int) -> None:
        """Signal its main process, where this machine may; else the kubelet is asked to end it, as `stop` does."""
        self._sending(number)
        with contextlib.suppress(OSError):
            if self.pid:
                os.kill(self.pid, number)
                return
        self._spawn(self._delete(1 if number == signal.SIGKILL else STOP_GRACE_S), "pod-delete")

    @property
    def unreached(self) -> str | None:
        """Why its ports could not be forwarded when that was tried last; None where they could."""
        return self._forward.failure

    def log_tail(self) -> str:
        """The last lines of its log on one line, secrets hidden."""
        return log_tail(self.log)

    def describe(self) -> dict[str, JSON]:
        """Facts of the pod for the run record."""
        return {
            "namespace": self.spec.namespace,
            "name": self.spec.name,
            "node": self.watch.node,
            "image": self.spec.image,
            "image_id": self.watch.image_id,
            "restart_policy": self.spec.restart_policy,
            "cgroup_seen": self.cgroup is not None,
        }

    async def stop(self, grace_s: float = STOP_GRACE_S) -> Ending:
        """Delete the pod and wait until it is gone; again is harmless."""
        try:
            if not self.watch.gone:
                if self._ending is None and signal.SIGTERM not in self._sent:
                    self._sending(signal.SIGTERM)
                with contextlib.suppress(HarnessError):  # the API server may be gone: then so is all else
                    await self._delete(grace_s)
                    async with asyncio.timeout(grace_s + _GONE_MARGIN_S):
                        while not self.watch.gone:  # noqa: ASYNC110 # `_track` takes the news
                            await asyncio.sleep(_POLL_S)
        except TimeoutError:
            self._warn(f"pod {self.spec.name} is still being deleted")
        finally:
            await self._close()
        self._finish()
        assert self._ending is not None
        return self._ending

    # -- what happens to it --------------------------------------------------------------------------------------------

    async def create(self, ports: Iterable[int]) -> None:
        """Create the pod, listen for it, and begin to look on."""
        await self._forward.listen(ports)
        await self._api.create(POD, pod_manifest.pod(self.spec), self.spec.namespace)
        self._spawn(self.watch.run(), "pod-watch")
        self._spawn(self._track(), "pod-track")

    async def running(self) -> None:
        """Return once its container runs, or has ended already. Raises SubjectNotReady where none comes."""
        deadline = time.monotonic() + START_LIMIT_S
        while self._current is None and not self._ended.is_set():
            self._check_tasks()
            reason, message = self.watch.waiting or ("", "")  # of no container, or of a pod that no node takes
            late = time.monotonic() > deadline
            if late or reason in STUCK:
                said = f"{reason}: {message}".strip(": ") or f"phase {self.watch.phase}"
                limit = f" within {START_LIMIT_S:g} s" if late else ""
                raise SubjectNotReady(
                    f"its container did not start{limit}: {said}", place=f"pod {self.spec.namespace}/{self.spec.name}",
                    remedy=f"image {self.spec.image}: is it on the node, or can it be pulled?", ending=None,
                )  # fmt: skip
            await asyncio.sleep(_POLL_S)

    async def _track(self) -> None:
        while not self.watch.gone:
            await self.watch.wait_changed(_TICK_S)
            await self._look()

    async def _look(self) -> None:
        """Take in what the kubelet has said since."""
        watch = self.watch
        self.stats.node = watch.node
        for identity, termination in list(watch.terminations.items()):
            container = self._containers.get(identity)
            if container is not None and container.termination is None:
                container.ended(termination)
                self._tell(termination)
        running = watch.container_id
        if running is not None and running not in self._containers:
            await self._adopt(running)
        if watch.unseen > self._unseen:
            self._unseen = watch.unseen
            self._warn(f"{watch.unseen} restarts of the container passed unseen: how these ended is unknown")
        if self._current is not None and self._current.outlived_a_kill():
            self._warn(
                "a process of the container was OOM-killed while its main process lives on: the kubelet tells nothing of that"
            )
        if watch.over or (self.spec.restart_policy == "Never" and watch.terminations):
            self._finish()

    async def _adopt(self, identity: str) -> None:
        """A container runs that was not there before."""
        if self._current is not None:
            await self._current.close(_LOG_END_S)
        found = await asyncio.to_thread(pod_cgroup.find, identity, self.spec.cpu_limit)
        cgroup, cpu = found or (None, None)
        log = PodLog(self._api, self.spec.namespace, self.spec.name, CONTAINER, self.log)
        log.start()
        first = self._current is None
        self._current = self._containers[identity] = Container(identity, cgroup, cpu, log)
        if first:
            self.started_ns = self._launch.clock.now_ns()
        else:
            self._launch.sink.event(
                "restart", by="kubelet", count=max(1, self.watch.restart_count - self._restarts), container_id=identity
            )
        self._restarts = self.watch.restart_count
        self._launch.sink.event(
            "container_started", pod=self.spec.name, container_id=identity, restart_count=self.watch.restart_count,
            cgroup=None if cgroup is None else str(cgroup.path), pid=self._current.pid or None,
        )  # fmt: skip

    def _tell(self, termination: Termination) -> None:
        container = self._containers[termination.container_id]
        t_ns = self._launch.clock.from_monotonic_ns(container.died_ns or termination.seen_ns)
        self._launch.sink.event(
            "container_ended", pod=self.spec.name, at_ns=t_ns, restart_count=self.watch.restart_count, kills=container.kills,
            **termination.as_json(),
        )  # fmt: skip

    def _finish(self) -> None:
        """It has ended for good."""
        if self._ending is not None:
            return
        watch, container = self.watch, self._current
        termination = container.termination if container else next(reversed(watch.terminations.values()), None)
        seen_ns = termination.seen_ns if termination else time.monotonic_ns()
        t_monotonic_ns = (container.died_ns if container else None) or seen_ns
        self._ending = pod_ending.judge(
            termination,
            container.witness() if container else Witness(),
            t_ns=self._launch.clock.from_monotonic_ns(t_monotonic_ns),
            t_monotonic_ns=t_monotonic_ns,
            sent=tuple(self._sent),
            thrashed_s=self.thrashed_s,
            waited=self.spec.restart_policy == "Always" and termination is not None and seen_ns < self._asked_ns,
            pod_reason=watch.reason,
            pod_message=watch.message,
        )
        self._ended.set()

    # -- small parts ---------------------------------------------------------------------------------------------------

    def _sending(self, number: int) -> None:
        self._sent.append(number)
        self._asked_ns = min(self._asked_ns, time.monotonic_ns())

    async def _delete(self, grace_s: float) -> None:
        path = POD.path(self.spec.namespace, self.spec.name)
        query: dict[str, str | int] = {"gracePeriodSeconds": max(1, round(grace_s))}
        try:
            await self._api.transport.request("DELETE", path, query=query)
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise
            self.watch.gone = True

    async def _close(self) -> None:
        if self._current is not None:
            self._current.seal()
        for container in self._containers.values():
            await container.close(_LOG_END_S)
            if (why := container.log.failure) is not None:
                self._warn(f"there is no log of the subject: {why}")
                container.log.failure = None
        await self._forward.close()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _warn(self, message: str) -> None:
        self._launch.sink.event("warning", source="subject", message=message)

    def _spawn(self, work: object, name: str) -> None:
        self._tasks.append(asyncio.create_task(work, name=name))  # type: ignore[arg-type] # a coroutine

    def _check_tasks(self) -> None:
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error
