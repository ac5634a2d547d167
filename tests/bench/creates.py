"""Benchmark `creates`: the load generator beside the least that could do the same, alternating on one cluster."""

from __future__ import annotations

import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from harness.cluster import embedded
from harness.cluster.setup import prepare
from harness.core.handles import Progress
from harness.core.ids import RUN_LABEL, namespace_of, new_run_id
from harness.core.kinds import find
from harness.kube.api import Api
from harness.kube.kubeconfig import ClientFiles, client_files
from harness.kube.rbac import LOADGEN, bind
from tests.bench.details import Details
from tests.bench.rounds import Rounds
from tests.bench.senders import BareLoop, Loadgen, Sent, measure
from tests.bench.sheet import Sheet
from tests.bench.statistics import pair_ratios

COUNT, WARM_UP = 3000, 500
SIZE = (2048, 5120)
CONCURRENCY = 64
_TIMEOUT_S = 60.0
_SLOWEST_PER_S = 50.0
"""Of a large turn: slower than that is a fault."""
SECRET = find("Secret")
RATIO = "rate, load generator / bare loop"
CPU_PER_CREATE = "CPU per create, load generator"
_SIDES: tuple[tuple[str, type[Loadgen | BareLoop]], ...] = (("load generator", Loadgen), ("bare loop", BareLoop))


def problem(sent: Sent, found: int, count: int) -> str | None:
    """Why this was not the whole work; None where it was. `found`: objects that the API then had."""
    if sent.done == count and sent.failed == 0 and found == count:
        return None
    why = f" ({sent.error})" if sent.error else ""
    return f"{sent.done:,} of {count:,} created, {sent.failed:,} failed, {found:,} found in the API{why}"


def plan_of(
    files: ClientFiles,
    run_id: str,
    namespace: str,
    *,
    count: int,
    seed: int,
    size: tuple[int, int] = SIZE,
    timeout_s: float = _TIMEOUT_S,
) -> Mapping[str, Any]:
    """A plan of one phase for either side."""
    return {
        "schema": "harness.plan/v1",
        "run_id": run_id,
        "seed": seed,
        "origin_ns": time.monotonic_ns(),
        "server": files.server,
        "ca_file": str(files.ca_file),
        "cert_file": str(files.cert_file),
        "key_file": str(files.key_file),
        "namespace": namespace,
        "labels": {RUN_LABEL: run_id},
        "phases": [
            {
                "name": "create-Secret",
                "action": "create",
                "kind": SECRET.alias,
                "api_version": SECRET.api_version,
                "object_kind": SECRET.kind,
                "path": SECRET.path(namespace),
                "namespaced": True,
                "count": count,
                "rate": None,
                "concurrency": CONCURRENCY,
                "timeout_s": timeout_s,
                "names": f"secret-{run_id[-5:]}-{{i:05d}}",
                "params": {"size": list(size)},
            }
        ],
    }


class CreatesBenchmark:
    """Creates Secrets, in turn by the load generator and by the bare loop."""

    name = "creates"
    title = f"create {COUNT:,} Secrets of 2-5 KB, {CONCURRENCY} at a time, as fast as it goes"
    method = (
        "harness.experiment.load.LoadGenerator, then tests/bench/bare_loop.py, in turn on one embedded cluster (every second "
        "pair the other way round), each in a fresh process and an empty namespace, emptied again afterwards; ratios pair by "
        f"pair; CPU and memory of the sender's process from /proc; {WARM_UP} creates before the first round do not count"
    )
    rounds = 15
    share = 0.2
    headline = RATIO

    def __init__(self, count: int = COUNT) -> None:
        """`count`: Secrets of each turn."""
        self._count = count

    async def run(self, rounds: Rounds, directory: Path, progress: Progress, sheet: Sheet) -> None:
        """See `Benchmark`."""
        progress.step("creates: a cluster")
        async with sides(directory, progress, timeout_s=max(_TIMEOUT_S, self._count / _SLOWEST_PER_S)) as bench:
            progress.step("creates: warming up")
            _, wrong = await bench.one(BareLoop, "warm-up", WARM_UP, seed=0)
            if wrong is not None:
                sheet.problem(f"warm-up: {wrong}")
                return
            for number in rounds:
                pair: dict[str, Sent] = {}
                # AB BA: what grows or wears off from turn to turn (the store, a warm cache) is no side's advantage.
                for name, kind in _SIDES if number % 2 else reversed(_SIDES):
                    progress.step(f"creates: round {number} of {rounds.wanted}, {name}")
                    sent, wrong = await bench.one(kind, f"{kind.__name__.lower()}-{number}", self._count, seed=number)
                    if wrong is not None:
                        sheet.problem(f"round {number}, {name}: {wrong}")
                        break
                    pair[name] = sent
                if len(pair) == len(_SIDES):
                    _write(sheet, *(pair[name] for name, _ in _SIDES))


class Sides:
    """Where both sides work: one API server, one identity, a namespace of its own for each turn."""

    def __init__(
        self,
        api: Api,
        files: ClientFiles,
        directory: Path,
        kubeconfig: Path,
        *,
        size: tuple[int, int],
        timeout_s: float,
    ) -> None:
        self.api = api
        self.kubeconfig = kubeconfig
        """An administrator's."""
        self.files = files
        self._size = size
        self._timeout_s = timeout_s
        self._directory = directory

    async def one(
        self, kind: type[Loadgen | BareLoop], place: str, count: int, *, seed: int, last: bool = False
    ) -> tuple[Sent, str | None]:
        """One turn of one side: what it did, and what was not complete about it. After the `last` the cluster goes."""
        return await self.turn(functools.partial(measure, kind), place, count, seed=seed, last=last)

    async def turn(
        self, send: Callable[[Mapping[str, Any], Path], Awaitable[Sent]], place: str, count: int, *, seed: int, last: bool = False
    ) -> tuple[Sent, str | None]:  # fmt: skip
        """The same by any sender, which takes the plan and a directory of its own."""
        run_id = new_run_id()
        namespace = namespace_of(run_id)
        await self.api.ensure_namespace(namespace, {RUN_LABEL: run_id})
        plan = plan_of(
            self.files, run_id, namespace, count=count, seed=seed, size=self._size, timeout_s=self._timeout_s
        )
        sent = await send(plan, self.made(place))
        found = len((await self.api.list(SECRET, namespace, metadata_only=True)).items)
        if not last:  # the next turn must not meet a fuller store than this one did
            await self.api.delete_collection(SECRET, namespace)
        return sent, problem(sent, found, count)

    def made(self, place: str) -> Path:
        """A directory for the files of one turn."""
        directory = self._directory / place
        directory.mkdir()
        return directory


@asynccontextmanager
async def sides(
    directory: Path, progress: Progress, *, size: tuple[int, int] = SIZE, timeout_s: float = _TIMEOUT_S
) -> AsyncIterator[Sides]:
    """An embedded cluster with an identity that may load it; it is stopped at the end."""
    run_id = new_run_id()
    cluster = await embedded.start(name="bench", work_dir=directory, run_id=run_id, progress=Details(progress))
    async with cluster, await Api.connect(cluster.kubeconfig) as api:
        await prepare(api, run_id)
        user = await cluster.identity("harness:loadgen")
        await bind(api, "harness:loadgen", LOADGEN, run_id)
        yield Sides(api, client_files(user), directory, cluster.kubeconfig, size=size, timeout_s=timeout_s)


def _write(sheet: Sheet, ours: Sent, bare: Sent) -> None:
    sheet.extend(RATIO, "ratio", pair_ratios([ours.per_s], [bare.per_s]))
    sheet.extend("CPU, load generator / bare loop", "ratio", pair_ratios([ours.cpu_s], [bare.cpu_s]))
    for (name, _), sent in zip(_SIDES, (ours, bare), strict=True):
        sheet.add(f"rate, {name}", "per_second", sent.per_s)
        sheet.add(f"CPU per create, {name}", "seconds", sent.cpu_s / sent.done)
        sheet.add(f"peak RSS, {name}", "bytes", sent.peak_rss_bytes)
    sheet.add("CPU per create, harness reading the rows", "seconds", ours.harness_cpu_s / ours.done)
