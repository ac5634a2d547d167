"""Benchmarks of `tests.bench.scale`: the load shared by one, two and four workers, one event for many watchers, etcd's bytes."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.cluster import embedded
from harness.cluster.embedded import EmbeddedCluster
from harness.cluster.setup import prepare
from harness.core.errors import RunFault
from harness.core.handles import Progress
from harness.core.ids import RUN_LABEL, namespace_of, new_run_id
from harness.core.kinds import Kind, find
from harness.experiment.load import LoadGenerator
from harness.kube.api import Api
from harness.kube.kubeconfig import ClientFiles, client_files
from harness.kube.rbac import LOADGEN, bind
from harness.scenario import storage
from tests.bench import creates, proc
from tests.bench.details import Details
from tests.bench.rounds import Rounds
from tests.bench.senders import Discard
from tests.bench.sheet import Sheet

COUNT = 2000
WORKERS = (1, 2, 4)
WATCHERS = (1, 10, 100)
EVENTS, EVENTS_PER_S = 100, 20.0
STORED = 400
TIMEOUT_S = 240.0
_DRAIN_S = 30.0
_ETCD_SIZE = re.compile(rb"^etcd_mvcc_db_total_size(_in_use|)_in_bytes (\S+)$", re.MULTILINE)
_MARK = find("ConfigMap")
_SETTLING, _COMMIT_S = 4, 0.2
"""Writes, and the time between two: etcd commits every 100 ms."""


@dataclass
class Costs(Discard):
    """A sink that keeps what the load generator says of itself."""

    cpu: list[tuple[int, float]] = field(default_factory=list)
    rss: float = 0.0
    watch_events: float = 0.0

    def sample(
        self, source: str, metric: str, value: float, labels: Mapping[str, str] | None = None, t_ns: int | None = None
    ) -> None:
        """See `Sink`."""
        if metric == "load.cpu":
            self.cpu.append((t_ns or 0, value))
        elif metric == "load.rss":
            self.rss = max(self.rss, value)
        elif metric == "load.watch_events":
            self.watch_events = value

    def spent(self, start_ns: int, end_ns: int) -> float:
        """CPU of all its processes between two borders of phases, at each of which it reports."""
        before = [value for t_ns, value in self.cpu if t_ns <= start_ns] or [0.0]
        return max(value for t_ns, value in self.cpu if t_ns <= end_ns) - before[-1]


@dataclass(slots=True)
class Place:
    """A cluster, and an identity that may load it."""

    cluster: EmbeddedCluster
    api: Api
    files: ClientFiles
    directory: Path

    def cpu_s(self) -> tuple[float, float]:
        """CPU of API server and etcd so far."""
        pids = self.cluster.pids
        return proc.cpu_s(pids["kube-apiserver"], "kube-apiserver"), proc.cpu_s(pids["etcd"], "etcd")

    async def stored(self) -> tuple[int, int]:
        """Bytes of etcd's file, and those of it that are in use, by its own metrics.

        Pages that a write has freed are given back by the next ones only, so a few are made first.
        """
        assert self.cluster.etcd_socket is not None
        for _ in range(_SETTLING):
            await self.api.create(
                _MARK, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "x-"}}, "default"
            )
            await asyncio.sleep(_COMMIT_S)
        reader, writer = await asyncio.open_unix_connection(str(self.cluster.etcd_socket))
        try:
            async with asyncio.timeout(10):
                writer.write(b"GET /metrics HTTP/1.0\r\nHost: etcd\r\n\r\n")
                await writer.drain()
                text = await reader.read()
        finally:
            writer.close()
        found = dict(_ETCD_SIZE.findall(text))
        if len(found) != 2:
            raise RunFault("etcd does not tell its size")
        return round(float(found[b""])), round(float(found[b"_in_use"]))


@asynccontextmanager
async def place(directory: Path, progress: Progress) -> AsyncIterator[Place]:
    """An embedded cluster that is stopped at the end."""
    run_id = new_run_id()
    cluster = await embedded.start(name="scale", work_dir=directory, run_id=run_id, progress=Details(progress))
    async with cluster, await Api.connect(cluster.kubeconfig) as api:
        await prepare(api, run_id)
        user = await cluster.identity("harness:loadgen")
        await bind(api, "harness:loadgen", LOADGEN, run_id)
        yield Place(cluster, api, client_files(user), directory)


@dataclass(slots=True)
class Turn:
    """A load generator at work in a namespace of its own, and what it said."""

    generator: LoadGenerator
    sink: Costs
    namespace: str
    origin_ns: int

    async def run(self, phase: str) -> Mapping[str, Any]:
        """One phase to its end. Raises RunFault where not all of it was done."""
        ended = await self.generator.run_phase(phase, TIMEOUT_S)
        if ended["done"] != ended["requested"]:
            why = f" ({self.sink.complaints[0]})" if self.sink.complaints else ""
            raise RunFault(f"{phase}: {ended['done']:,} of {ended['requested']:,} done{why}")
        return ended


@asynccontextmanager
async def turn(at: Place, name: str, phases: Sequence[Mapping[str, Any]], *, workers: int = 1) -> AsyncIterator[Turn]:
    """A generator with a plan of `phases`, beside what all have in common."""
    run_id = new_run_id()
    namespace = namespace_of(run_id)
    await at.api.ensure_namespace(namespace, {RUN_LABEL: run_id})
    plan = dict(creates.plan_of(at.files, run_id, namespace, count=1, seed=1, timeout_s=TIMEOUT_S))
    common = plan["phases"][0]
    plan |= {"workers": workers, "phases": [{**common, **phase, **_path(phase, namespace, run_id)} for phase in phases]}
    directory = at.directory / name
    directory.mkdir()
    sink = Costs()
    generator = await LoadGenerator.start(plan, run_dir=directory, sink=sink, on_rows=lambda _rows: None)
    try:
        yield Turn(generator, sink, namespace, plan["origin_ns"])
    finally:
        await generator.stop()


def _path(phase: Mapping[str, Any], namespace: str, run_id: str) -> dict[str, Any]:
    kind = find(phase.get("kind", "Secret"))
    return {
        "kind": kind.alias,
        "api_version": kind.api_version,
        "object_kind": kind.kind,
        "path": kind.path(namespace if kind.namespaced else None),
        "namespaced": kind.namespaced,
        "names": f"{kind.kind.lower()}-{run_id[-5:]}-{{i:05d}}",
    }


class WorkersBenchmark:
    """The same Secrets by one, two and four load workers, in turn."""

    name = "workers"
    title = f"create {COUNT:,} Secrets of 2-5 KB, 64 at a time, by {', '.join(map(str, WORKERS))} load workers"
    method = (
        "harness.experiment.load.LoadGenerator with the plan that `harness run --workers N` makes, on one embedded cluster, "
        "in turn (each round begins with another), each in an empty namespace that is emptied again; CPU of all processes of "
        "the generator as they report it, of API server and etcd from /proc"
    )
    rounds = 3
    share = 0.5
    headline = "rate, 1 worker"

    async def run(self, rounds: Rounds, directory: Path, progress: Progress, sheet: Sheet) -> None:
        """See `Benchmark`."""
        async with place(directory, progress) as at:
            async with turn(at, "warm-up", [{"count": 500}]) as warm:
                await warm.run("create-Secret")
            for number in rounds:
                first = number % len(WORKERS)
                for workers in (*WORKERS[first:], *WORKERS[:first]):
                    progress.step(f"workers: round {number} of {rounds.wanted}, {workers}")
                    await self._one(at, f"{number}-{workers}", workers, sheet)

    async def _one(self, at: Place, name: str, workers: int, sheet: Sheet) -> None:
        async with turn(at, name, [{"count": COUNT}], workers=workers) as one:
            before, own = at.cpu_s(), time.thread_time()
            ended = await one.run("create-Secret")
            own = time.thread_time() - own
            after = at.cpu_s()
            spent = one.sink.spent(ended["started_ns"], ended["t_ns"])
            rss = one.sink.rss
            found = len((await at.api.list(creates.SECRET, one.namespace, metadata_only=True)).items)
            await at.api.delete_collection(creates.SECRET, one.namespace)
        if found != COUNT:
            sheet.problem(f"{name}: {found:,} of {COUNT:,} in the API")
            return
        whose = f"{workers} worker{'' if workers == 1 else 's'}"
        sheet.add(f"rate, {whose}", "per_second", ended["achieved_per_s"])
        sheet.add(f"rate per core of the generator, {whose}", "per_second", COUNT / spent)
        sheet.add(f"CPU per create, generator, {whose}", "seconds", spent / COUNT)
        sheet.add(f"CPU per create, API server, {whose}", "seconds", (after[0] - before[0]) / COUNT)
        sheet.add(f"CPU per create, etcd, {whose}", "seconds", (after[1] - before[1]) / COUNT)
        sheet.add(f"CPU per create, harness reading the rows, {whose}", "seconds", own / COUNT)
        sheet.add(f"RSS of the generator's processes, {whose}", "bytes", rss)


class FanoutBenchmark:
    """One event for 1, 10 and 100 watchers."""

    name = "fanout"
    title = f"{EVENTS} Secrets of 2-5 KB at {EVENTS_PER_S:g}/s, watched by {', '.join(map(str, WATCHERS))} watchers of the load"
    method = (
        "the load steps `watch` and `create` of one generator, in a namespace of their own; every watcher must get every event; "
        "CPU of API server and generator while the Secrets are created and until the last event has come"
    )
    rounds = 3
    share = 0.3
    headline = "CPU per event delivered, API server, 100 watchers"

    async def run(self, rounds: Rounds, directory: Path, progress: Progress, sheet: Sheet) -> None:
        """See `Benchmark`."""
        async with place(directory, progress) as at:
            for number in rounds:
                for watchers in WATCHERS if number % 2 else reversed(WATCHERS):
                    progress.step(f"fanout: round {number} of {rounds.wanted}, {watchers}")
                    await self._one(at, f"{number}-{watchers}", watchers, sheet)

    async def _one(self, at: Place, name: str, watchers: int, sheet: Sheet) -> None:
        phases: list[dict[str, object]] = [
            {"name": "watch-Secret", "action": "watch", "count": watchers, "params": {}},
            {"count": EVENTS, "rate": EVENTS_PER_S},
        ]
        async with turn(at, name, phases) as one:
            await one.run("watch-Secret")
            before, began = at.cpu_s(), time.monotonic_ns() - one.origin_ns
            ended = await one.run("create-Secret")
            deadline = time.monotonic() + _DRAIN_S
            while one.sink.watch_events < EVENTS * watchers and time.monotonic() < deadline:  # noqa: ASYNC110 # told once a second
                await asyncio.sleep(0.1)
            after, over = at.cpu_s(), time.monotonic_ns() - one.origin_ns
            delivered = one.sink.watch_events
            generator = one.sink.spent(began, over)
        if delivered != EVENTS * watchers:
            sheet.problem(f"{name}: {delivered:,.0f} of {EVENTS * watchers:,} events came")
            return
        whose = f"{watchers} watcher{'' if watchers == 1 else 's'}"
        sheet.add(f"rate of creates, {whose}", "per_second", ended["achieved_per_s"])
        sheet.add(f"CPU per create, API server, {whose}", "seconds", (after[0] - before[0]) / EVENTS)
        sheet.add(f"CPU per event delivered, API server, {whose}", "seconds", (after[0] - before[0]) / delivered)
        sheet.add(f"CPU per event delivered, generator, {whose}", "seconds", generator / delivered)


class StorageBenchmark:
    """What etcd really takes of objects, against what a run says beforehand."""

    name = "storage"
    title = f"etcd's bytes for {STORED} objects of each sort, and the estimate of a run"
    method = (
        "etcd_mvcc_db_total_size_in_use_in_bytes before and after objects of the load are created, without a controller; the "
        "estimate is harness.scenario.storage's for one written once; above 1 it is one from above, as it should be"
    )
    rounds = 1
    share = 0.2
    headline = "etcd per Secret of 3 KB"
    _TARGETS: Mapping[str, Any] = {"matching": [], "selector": {"env": "prod"}, "other": {"env": "other"}}
    SORTS: Sequence[tuple[str, dict[str, Any]]] = (
        ("Secret of 250 B", {"kind": "Secret", "params": {"size": 250}}),
        ("Secret of 3 KB", {"kind": "Secret", "params": {"size": 3000}}),
        ("Secret of 32 KB", {"kind": "Secret", "params": {"size": 32_000}}),
        ("GitRepo", {"kind": "GitRepo", "params": {"bundles": 1, **_TARGETS}}),
        ("Bundle of 2 KB", {"kind": "Bundle", "params": {"size": 2000, **_TARGETS}}),
        ("management Cluster", {"kind": "Cluster.management.cattle.io", "params": {}}),
        ("Fleet Cluster", {"kind": "Cluster.fleet.cattle.io", "params": {}}),
    )  # fmt: skip

    async def run(self, rounds: Rounds, directory: Path, progress: Progress, sheet: Sheet) -> None:
        """See `Benchmark`."""
        async with place(directory, progress) as at:
            file, used = await at.stored()
            sheet.add("etcd's file before any load", "bytes", file)
            sheet.add("in use of it", "bytes", used)
            for number in rounds:
                for index, (sort, phase) in enumerate(self.SORTS):
                    progress.step(f"storage: {sort}")
                    _, before = await at.stored()
                    async with turn(at, f"{number}-{index}", [{"count": STORED, "name": "create", **phase}]) as one:
                        await one.run("create")
                    _, after = await at.stored()
                    each = (after - before) / STORED
                    kind: Kind = find(phase["kind"])
                    estimate = storage.SLACK * storage.on_disk(storage.of_kind(kind) + phase["params"].get("size", 0))
                    sheet.add(f"etcd per {sort}", "bytes", each)
                    sheet.add(f"estimate / measured, {sort}", "ratio", estimate / each)
