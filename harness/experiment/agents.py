"""The fake agents of a scenario, seen from the harness: a child process that answers, and tells what waits, and its cost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from harness.cluster import setup
from harness.core.errors import RunFault
from harness.core.handles import Cluster
from harness.core.ids import RUN_ENV
from harness.core.sinks import Sink
from harness.experiment import quota
from harness.experiment.stage import Stage
from harness.kube.api import Api
from harness.kube.kubeconfig import client_files
from harness.kube.rbac import AGENTS
from harness.process import PIPE, Child, last_words, spawn
from harness.record.writer import write_atomically
from harness.scenario import plan

SCHEMA = "harness.agents/v1"
_USER = "harness:agents"
_READY_SECONDS = 60.0
_STOP_SECONDS = 5.0
_COSTS = (("agents.cpu", "cpu_s"), ("agents.rss", "rss_bytes"), ("agents.loop_lag", "loop_lag_s"))
_COUNTS = ("seen", "answered", "waiting", "conflicts", "failed", "late", "heartbeats")


class FakeAgents:
    """A running `python -m loadgen.agents`. `waiting` is kept true as it tells."""

    def __init__(self, child: Child, sink: Sink, log: Path) -> None:
        self.waiting = 0
        """BundleDeployments that were seen and are still to be answered."""
        self.full: quota.StorageFull | None = None
        """Why the run cannot go on, once etcd takes no more writes."""
        self._child = child
        self._sink = sink
        self._log = log
        self._ready = asyncio.Event()
        self._ending = False
        self._told = False
        self._words = ""
        self._reader = asyncio.create_task(self._read(), name="agents-stream")

    @classmethod
    async def start(
        cls, document: Mapping[str, Any], *, run_dir: Path, sink: Sink, cpus: Collection[int] | None
    ) -> FakeAgents:
        """Start them, and wait until they watch. Raises RunFault with their last words otherwise."""
        path, log = run_dir / "agents.json", run_dir / "agents.log"
        write_atomically(path, json.dumps(document, indent=1) + "\n")
        env = {**os.environ, RUN_ENV: str(document["plan"]["run_id"])}
        command = [sys.executable, "-P", "-m", "loadgen.agents", str(path)]
        child = await spawn(command, name="agents", env=env, stdin=PIPE, stdout=PIPE, stderr=log, cpus=cpus)
        agents = cls(child, sink, log)
        ready = asyncio.create_task(agents._ready.wait())
        try:
            await asyncio.wait({ready, agents._reader}, timeout=_READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                words = (
                    agents._last_words() if agents._reader.done() else f"they said nothing for {_READY_SECONDS:.0f} s"
                )
                raise RunFault(f"the fake agents did not start: {words}", place=str(log))
        except BaseException:
            await agents.stop()
            raise
        finally:
            ready.cancel()
        return agents

    async def stop(self) -> None:
        """End them; what they counted is on record. Idempotent."""
        self._ending = True
        with contextlib.suppress(OSError, RuntimeError):
            assert self._child.stdin is not None
            self._child.stdin.write(b'{"stop": true}\n')
        with contextlib.suppress(TimeoutError):
            await self._child.wait(_STOP_SECONDS)
        await self._child.stop(1.0)
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            await asyncio.wait_for(self._reader, _STOP_SECONDS)

    async def _read(self) -> None:
        assert self._child.stdout is not None
        async for line in self._child.stdout:
            self._take(json.loads(line))
        self.waiting = 0
        if not self._ending or not self._told:
            said = (
                f"the fake agents ended before the run: {self._last_words()}; what they had not answered nobody answers"
            )
            self._sink.event("agents_lost", message=said)

    def _take(self, message: dict[str, Any]) -> None:
        match message.pop("type"):
            case "ready":
                self._ready.set()
            case "self":
                for metric, field in _COSTS:
                    if message.get(field) is not None:
                        self._sink.sample("agents", metric, message[field], t_ns=message["t_ns"])
            case "agents":
                self._count(message)
            case "agents-end":
                self._told = True
                self._count(message)
                self._sink.event("agents", **{key: value for key, value in message.items() if key != "t_ns"})
            case "error" if message["fatal"]:
                self._words = message["message"]
            case "error":
                full = quota.told(message["message"], self._sink)
                self.full = self.full or full
                if full is None:
                    self._sink.event("warning", source="agents", message=f"agents: {message['message']}")

    def _count(self, message: Mapping[str, Any]) -> None:
        self.waiting = message["waiting"]
        for name in _COUNTS:
            self._sink.sample("agents", f"agents.{name}", message[name], t_ns=message["t_ns"])

    def _last_words(self) -> str:
        return self._words or last_words(self._log)


async def start(stage: Stage, stack: AsyncExitStack, api: Api, cluster: Cluster) -> FakeAgents | None:
    """The agents that the scenario asks for, watching, with an identity and rights of their own; they end with `stack`."""
    wanted = stage.scenario.agents
    if wanted is None:
        return None
    stage.observer.step("starting the fake agents")
    run_id = stage.facts.run_id
    kubeconfig = await cluster.identity(_USER)
    await setup.give(api, cluster, _USER, AGENTS, run_id)
    files = client_files(kubeconfig)
    connection = plan.build_plan(
        stage.scenario,
        run_id=run_id,
        origin_ns=stage.clock.origin_ns,
        server=files.server,
        ca_file=files.ca_file,
        cert_file=files.cert_file,
        key_file=files.key_file,
        token_file=files.token_file,
        namespace=stage.facts.namespace,
    )
    agents = await FakeAgents.start(
        {"schema": SCHEMA, "plan": {**connection, "phases": []}, **wanted.planned()},
        run_dir=stage.directory,
        sink=stage.writer,
        cpus=stage.facts.pinning.load if stage.facts.pinning else None,
    )
    stack.push_async_callback(agents.stop)
    return agents
