"""Benchmark `agents` of `tests.bench.scale`: fake agents of thousands of Clusters, and the audit log as their witness."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from pathlib import Path

from harness.core.handles import Progress
from harness.core.ids import new_run_id
from harness.experiment.agents import SCHEMA, FakeAgents
from harness.kube.kubeconfig import client_files
from harness.kube.rbac import AGENTS, bind
from tests.bench import creates
from tests.bench.rounds import Rounds
from tests.bench.scaling import TIMEOUT_S, Place, place, turn
from tests.bench.sheet import Sheet
from tests.collecting import ListSink

FLEETS = (1000, 5000)
_DEPLOYMENT = """
apiVersion: fleet.cattle.io/v1alpha1
kind: BundleDeployment
metadata:
  labels:
    fleet.cattle.io/bundle-name: "one"
    fleet.cattle.io/cluster: "cluster-{{ tail }}-{{ '%05d' % i }}"
    fleet.cattle.io/cluster-namespace: {{ namespace }}
spec: {deploymentID: "s-1", stagedDeploymentID: "s-1"}
"""


class AgentsBenchmark:
    """Fake agents of 1,000 and of 5,000 Clusters, without a controller: a BundleDeployment for each, a status for each."""

    name = "agents"
    title = f"fake agents of {' and '.join(f'{count:,}' for count in FLEETS)} Clusters, a BundleDeployment each"
    method = (
        "Fleet Clusters are created and then a BundleDeployment for each, as fast as it goes; the agents answer after 0.2 s. The "
        "API server's audit log must hold exactly one successful write of theirs for each; CPU and memory as the process tells"
    )
    rounds = 1
    share = 0.4
    headline = f"CPU per answer, {FLEETS[-1]:,} Clusters"

    async def run(self, rounds: Rounds, directory: Path, progress: Progress, sheet: Sheet) -> None:
        """See `Benchmark`."""
        for number in rounds:
            for count in FLEETS:
                progress.step(f"agents: round {number} of {rounds.wanted}, {count:,} Clusters")
                place_of = directory / f"{number}-{count}"
                place_of.mkdir()
                async with place(place_of, progress) as at:  # a new one, for the audit log is read whole
                    await self._one(at, count, sheet)

    async def _one(self, at: Place, count: int, sheet: Sheet) -> None:
        template = {"name": "deployment.yaml", "text": _DEPLOYMENT, "params": {}}
        phases = [
            {"name": "clusters", "kind": "Cluster.fleet.cattle.io", "count": count, "params": {}},
            {"name": "deployments", "kind": "BundleDeployment", "count": count, "params": {"template": template}},
        ]
        run_id = new_run_id()
        await bind(at.api, "harness:agents", AGENTS, run_id)
        files = client_files(await at.cluster.identity("harness:agents"))
        async with turn(at, f"load-{count}", phases) as one:
            plan = creates.plan_of(files, one.namespace.removeprefix("run-"), one.namespace, count=1, seed=1)
            document = {
                "schema": SCHEMA, "plan": {**plan, "phases": []}, "delay": {"min_s": 0.2, "max_s": 0.2}, "heartbeat_s": 60.0,
                "not_ready": 0, "offline": 0, "conflicts": 0, "concurrency": 64,
            }  # fmt: skip
            sink = ListSink()
            await one.run("clusters")
            agents = await FakeAgents.start(document, run_dir=at.directory, sink=sink, cpus=None)
            try:
                began, spent = time.monotonic(), sink.last("agents.cpu") or 0.0
                await one.run("deployments")
                async with asyncio.timeout(TIMEOUT_S):
                    while (sink.last("agents.answered") or 0) < count:  # noqa: ASYNC110 # told ten times a second
                        await asyncio.sleep(0.1)
                seconds = time.monotonic() - began
            finally:
                await agents.stop()
        (told,) = sink.of("agents")
        wrong = not_once(at.cluster.audit_log, count)
        if wrong is not None:
            sheet.problem(f"{count:,} Clusters: {wrong}")
            return
        whose = f"{count:,} Clusters"
        sheet.add(f"answers a second, {whose}", "per_second", count / seconds)
        sheet.add(f"CPU per answer, {whose}", "seconds", ((sink.last("agents.cpu") or 0.0) - spent) / count)
        sheet.add(f"late, p99, {whose}", "seconds", told["late_p99_s"])
        sheet.add(f"peak RSS, {whose}", "bytes", max(sink.values("agents.rss")))


def not_once(log: Path | None, count: int) -> str | None:
    """Why the audit log does not show one status of the agents for each of so many BundleDeployments; None where it does."""
    assert log is not None
    written: Counter[str] = Counter()
    with log.open("rb") as lines:
        for line in lines:
            if b'"harness:agents"' not in line or b'"bundledeployments"' not in line:
                continue
            event = json.loads(line)
            if (
                event["verb"] == "patch"
                and event["stage"] == "ResponseComplete"
                and event["responseStatus"]["code"] == 200
            ):
                written[event["objectRef"]["name"]] += 1
    often = sum(number > 1 for number in written.values())
    if len(written) == count and not often:
        return None
    return f"the audit log shows statuses of {len(written):,} of {count:,} BundleDeployments, {often:,} more than once"
