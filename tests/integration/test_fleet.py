"""The reference controller `fleet` at work on a real API server, with the rights of its ClusterRole and no others."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest

from harness.cluster.embedded import EmbeddedCluster
from harness.cluster.setup import prepare
from harness.controllers.fleet.names import cluster_namespace
from harness.core.ids import RUN_LABEL, new_run_id, subject_user
from harness.core.kinds import Kind, find
from harness.kube import rbac
from harness.kube.api import Api
from harness.process.ports import claim_port

pytestmark = pytest.mark.cluster

MANAGEMENT, CLUSTER = find("Cluster.management.cattle.io"), find("Cluster.fleet.cattle.io")
GITREPO, BUNDLE, DEPLOYMENT = find("GitRepo"), find("Bundle"), find("BundleDeployment")
SECRET, NAMESPACE = find("Secret"), find("Namespace")

LIMIT_S = 60.0
END_S = 30.0


@dataclass
class Fleet:
    """One controller process, the run it belongs to, and an administrator's view of the cluster."""

    api: Api
    run_id: str
    namespace: str
    command: list[str]
    metrics: str
    log: Path
    user: str
    process: asyncio.subprocess.Process | None = None

    @property
    def labels(self) -> dict[str, str]:
        return {RUN_LABEL: self.run_id}

    def name(self, sort: str, number: int) -> str:
        return f"{sort}-{self.run_id[-5:]}-{number:05d}"

    async def start(self) -> None:
        """Start the process and wait until it is ready."""
        with self.log.open("ab") as stderr:
            process = self.process = await asyncio.create_subprocess_exec(*self.command, stderr=stderr)

        async def ready() -> bool:
            assert process.returncode is None, self.log.read_text()
            try:
                async with session.get(f"{self.metrics}/readyz") as answer:
                    return answer.status == 200
            except aiohttp.ClientConnectionError:
                return False

        async with aiohttp.ClientSession(trust_env=False) as session:
            await until(ready)

    async def end(self, number: signal.Signals) -> int:
        """Send a signal; the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), END_S)

    async def make(self, kind: Kind, name: str, spec: Mapping[str, Any]) -> None:
        body = {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {"name": name, "labels": self.labels},
            "spec": spec,
        }
        await self.api.create(kind, body, self.namespace if kind.namespaced else None)

    async def make_cluster(self, number: int) -> str:
        name = self.name("cluster", number)
        await self.make(MANAGEMENT, name, {"fleetWorkspaceName": self.namespace, "displayName": name})
        return name

    async def make_repo(self, number: int, bundles: int, env: str, **more: Any) -> str:
        name = self.name("repo", number)
        targets = [{"clusterSelector": {"matchLabels": {"env": env}}}]
        paths = [f"b{index:05d}" for index in range(bundles)]
        spec = {"repo": "https://git.invalid/repo", "branch": "main", "paths": paths, "targets": targets, **more}
        await self.make(GITREPO, name, spec)
        return name

    async def flip(self, cluster: str, env: str | None) -> None:
        await self.api.merge_patch(MANAGEMENT, cluster, {"metadata": {"labels": {"env": env}}})

    async def all(self, kind: Kind) -> list[dict[str, Any]]:
        return list((await self.api.list(kind, label_selector=f"{RUN_LABEL}={self.run_id}")).items)

    async def status(self, kind: Kind, name: str) -> dict[str, Any]:
        status: dict[str, Any] = (await self.api.get(kind, name, self.namespace)).get("status") or {}
        return status

    async def numbers(self) -> dict[str, float]:
        async with aiohttp.ClientSession(trust_env=False) as session, session.get(f"{self.metrics}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}

    async def reconciles(self, controller: str) -> int:
        start = f'controller_runtime_reconcile_total{{controller="{controller}"'
        return int(sum(value for name, value in (await self.numbers()).items() if name.startswith(start)))

    async def quiet(self) -> None:
        """Wait until nothing has been queued for a second (summaries wait half of one)."""
        last, since = -1.0, time.monotonic()

        async def rested() -> bool:
            nonlocal last, since
            numbers = await self.numbers()
            work = sum(value for name, value in numbers.items() if name.startswith("workqueue_"))
            busy = sum(value for name, value in numbers.items() if name.startswith("controller_runtime_active_workers"))
            if work != last or busy:  # one that waits for an answer moves no number of its queue
                last, since = work, time.monotonic()
            return time.monotonic() - since > 1.0

        await until(rested)

    def writes(self, audit_log: Path) -> tuple[int, int]:
        """Patches of this controller in the audit log, and those of them that changed nothing."""
        versions: dict[str, str] = {}
        patches = empty = 0
        for line in audit_log.read_text().splitlines():
            event = json.loads(line)
            metadata = (event.get("responseObject") or {}).get("metadata") or {}
            if "uid" not in metadata or "resourceVersion" not in metadata:  # a dry run of another test has none
                continue
            mine = event["user"]["username"] == self.user and event["verb"] == "patch"
            patches += mine
            empty += mine and versions.get(metadata["uid"]) == metadata["resourceVersion"]
            versions[metadata["uid"]] = metadata["resourceVersion"]
        return patches, empty


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


@asynccontextmanager
async def fleet(
    cluster: EmbeddedCluster, directory: Path, *switches: str, kubeconfig: Path | None = None, run_id: str = ""
) -> AsyncIterator[Fleet]:
    """The controller at work for a run of its own, which ends well when told to."""
    run_id = run_id or new_run_id()
    user = subject_user(run_id)
    address = f"127.0.0.1:{claim_port()}"
    async with await Api.connect(cluster.kubeconfig) as api:
        namespace = await prepare(api, run_id)
        identity = await cluster.identity(user)
        await rbac.bind(api, user, "harness-fleet", run_id)
        command = [
            sys.executable, "-m", "harness.controllers.fleet", "--kubeconfig", str(kubeconfig or identity),
            "--namespace", namespace, "--metrics-bind-address", address, *switches,
        ]  # fmt: skip
        run = Fleet(api, run_id, namespace, command, f"http://{address}", directory / "fleet.log", user)
        try:
            await run.start()
            yield run
            assert await run.end(signal.SIGTERM) == 0
        finally:
            if run.process and run.process.returncode is None:
                await run.end(signal.SIGKILL)
            await rbac.unbind(api, run_id)
            await _remove(run)


async def _remove(running: Fleet) -> None:
    for kind in (MANAGEMENT, NAMESPACE):
        for obj in await running.all(kind):
            await running.api.delete(kind, obj["metadata"]["name"])


def is_ready(obj: dict[str, Any]) -> bool:
    conditions = (obj.get("status") or {}).get("conditions") or []
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def test_a_label_reaches_every_bundle_it_concerns_and_leaves_again(embedded: EmbeddedCluster, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with fleet(embedded, tmp_path, "--workers=4", "--workers.bundle=8") as run:
            clusters = [await run.make_cluster(number) for number in range(3)]
            repo, other = await run.make_repo(0, 2, "prod"), await run.make_repo(1, 2, "dev")

            async def set_up() -> bool:
                made = [bool((obj.get("status") or {}).get("namespace")) for obj in await run.all(CLUSTER)]
                return made == [True] * 3 and len(await run.all(BUNDLE)) == 4

            await until(set_up)
            bundle = await run.api.get(BUNDLE, f"{repo}-b00000", run.namespace)
            assert bundle["metadata"]["ownerReferences"][0]["name"] == repo
            assert bundle["spec"]["resources"][0]["content"]
            assert await run.all(DEPLOYMENT) == []

            for name in clusters[:2]:
                await run.flip(name, "prod")

            async def deployed() -> bool:
                deployments = await run.all(DEPLOYMENT)
                return len(deployments) == 4 and all(map(is_ready, deployments))

            await until(deployed)
            places = {
                (
                    obj["metadata"]["namespace"],
                    obj["metadata"]["labels"]["fleet.cattle.io/cluster"],
                    obj["metadata"]["labels"]["fleet.cattle.io/bundle-name"],
                )
                for obj in await run.all(DEPLOYMENT)
            }
            assert places == {
                (cluster_namespace(run.namespace, name), name, f"{repo}-{path}")
                for name in clusters[:2]
                for path in ("b00000", "b00001")
            }

            async def summed_up() -> bool:
                sums = [
                    (await run.status(BUNDLE, f"{repo}-b00000")).get("summary"),
                    (await run.status(GITREPO, repo)).get("summary"),
                    (await run.status(GITREPO, other)).get("summary"),
                    (await run.status(CLUSTER, clusters[0])).get("summary"),
                    (await run.status(CLUSTER, clusters[2])).get("summary"),
                ]
                return sums == [{"desiredReady": n, "ready": n} for n in (2, 4, 0, 2, 0)]

            await until(summed_up)

            await run.flip(clusters[0], None)  # a label that goes is copied too
            await until(lambda: _count(run, DEPLOYMENT, 2))
            await run.api.delete(GITREPO, other, run.namespace)
            await until(lambda: _count(run, BUNDLE, 2))
            await run.api.delete(MANAGEMENT, clusters[1])
            await until(lambda: _count(run, CLUSTER, 2))
            await until(lambda: _count(run, DEPLOYMENT, 0))
            await run.flip(clusters[2], "prod")
            await until(lambda: _count(run, DEPLOYMENT, 2))
            await run.api.delete(BUNDLE, f"{repo}-b00000", run.namespace)  # its GitRepo makes it anew
            await until(deployed_anew(run, f"{repo}-b00000", bundle["metadata"]["uid"]))
            await run.api.delete(GITREPO, repo, run.namespace)
            await until(lambda: _count(run, BUNDLE, 0))
            await until(lambda: _count(run, DEPLOYMENT, 0))

            await run.quiet()
            numbers = await run.numbers()
            errors = {name: value for name, value in numbers.items() if "reconcile_errors_total" in name and value}
            assert not errors, run.log.read_text()
            assert "forbidden" not in run.log.read_text()
            assert numbers['controller_runtime_max_concurrent_reconciles{controller="bundle"}'] == 8
            assert numbers['controller_runtime_max_concurrent_reconciles{controller="gitrepo"}'] == 4

    asyncio.run(scenario())


async def _count(run: Fleet, kind: Kind, count: int) -> bool:
    return len(await run.all(kind)) == count


def deployed_anew(run: Fleet, name: str, old_uid: str) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        made = [obj for obj in await run.all(BUNDLE) if obj["metadata"]["name"] == name]
        deployments = await run.all(DEPLOYMENT)
        return (
            len(made) == 1
            and made[0]["metadata"]["uid"] != old_uid
            and len(deployments) == 2
            and all(map(is_ready, deployments))
        )

    return check


@pytest.mark.parametrize("mode", ["always", "changed"])
def test_needless_status_writes_are_sent_or_not(embedded: EmbeddedCluster, tmp_path: Path, mode: str) -> None:
    async def scenario() -> tuple[int, int]:
        async with fleet(embedded, tmp_path, f"--status_patch={mode}") as run:
            cluster = await run.make_cluster(0)
            for number in range(4):
                await run.make_repo(number, 5, "prod" if number == 0 else "other")
            await until(lambda: _count(run, BUNDLE, 20))
            await run.quiet()
            await run.flip(cluster, "prod")
            await until(lambda: _count(run, DEPLOYMENT, 5))
            await run.quiet()
            assert embedded.audit_log is not None
            return run.writes(embedded.audit_log)

    patches, empty = asyncio.run(scenario())
    if mode == "always":
        assert empty >= 2 * 15  # each Bundle that does not match is reconciled for nothing, and says so twice
    else:
        assert empty == 0
    assert patches > empty


@pytest.mark.parametrize("mapping", ["all", "matching"])
def test_a_flip_queues_all_bundles_or_the_matching_ones(
    embedded: EmbeddedCluster, tmp_path: Path, mapping: str
) -> None:
    async def scenario() -> int:
        async with fleet(embedded, tmp_path, f"--event_mapping={mapping}", "--status_patch=changed") as run:
            cluster = await run.make_cluster(0)
            for number in range(4):
                await run.make_repo(number, 10, "prod" if number == 0 else "other")
            await until(lambda: _count(run, BUNDLE, 40))
            await run.quiet()
            before = await run.reconciles("bundle")
            await run.flip(cluster, "prod")
            await until(lambda: _count(run, DEPLOYMENT, 10))
            await run.quiet()
            return await run.reconciles("bundle") - before

    reconciles = asyncio.run(scenario())
    if mapping == "all":
        assert reconciles >= 40
    else:
        assert 10 <= reconciles < 40


@pytest.mark.parametrize("cache", ["full", "metadata", "none"])
def test_a_repo_waits_for_its_secret(embedded: EmbeddedCluster, tmp_path: Path, cache: str) -> None:
    async def scenario() -> None:
        async with fleet(embedded, tmp_path, f"--cache.Secret={cache}") as run:
            repo = await run.make_repo(0, 1, "prod", clientSecretName="credentials")

            async def refused() -> bool:
                conditions = (await run.status(GITREPO, repo)).get("conditions") or []
                return [(item["type"], item["status"]) for item in conditions] == [("Accepted", "False")]

            await until(refused)
            assert await run.all(BUNDLE) == []
            body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "credentials"}, "stringData": {"a": "b"}}
            await run.api.create(SECRET, body, run.namespace)
            await until(lambda: _count(run, BUNDLE, 1))

    asyncio.run(scenario())


def test_it_goes_on_where_it_was_when_the_api_server_is_back(embedded: EmbeddedCluster, tmp_path: Path) -> None:
    async def scenario() -> None:
        run_id = new_run_id()
        through = tmp_path / "relayed.kubeconfig"
        identity = await embedded.identity(subject_user(run_id))
        async with Relay(embedded.server) as relay:
            through.write_text(identity.read_text().replace(embedded.server, relay.server))
            through.chmod(0o600)
            async with fleet(embedded, tmp_path, kubeconfig=through, run_id=run_id) as run:
                cluster = await run.make_cluster(0)
                await run.make_repo(0, 2, "prod")
                await until(lambda: _count(run, BUNDLE, 2))
                await relay.cut()
                await run.flip(cluster, "prod")
                await asyncio.sleep(1)
                assert await run.all(DEPLOYMENT) == []
                await relay.open()
                await until(lambda: _count(run, DEPLOYMENT, 2))
                text = run.log.read_text()
                assert "listing anew" not in text  # each watch went on where it had been
                assert "Traceback" not in text

    asyncio.run(scenario())


def test_it_takes_away_what_became_an_orphan_while_it_was_dead(embedded: EmbeddedCluster, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with fleet(embedded, tmp_path) as run:
            await run.flip(await run.make_cluster(0), "prod")
            await run.make_repo(0, 2, "prod")
            doomed = await run.make_repo(1, 2, "prod")
            await until(lambda: _count(run, DEPLOYMENT, 4))
            assert await run.end(signal.SIGKILL) == -signal.SIGKILL
            await run.api.delete(GITREPO, doomed, run.namespace)
            await until(lambda: _count(run, BUNDLE, 2))  # the owner reference: Kubernetes collects them
            assert await _count(run, DEPLOYMENT, 4)
            await run.start()
            await until(lambda: _count(run, DEPLOYMENT, 2))

    asyncio.run(scenario())


class Relay:
    """A TCP relay in front of the API server, which can be cut as a network can; TLS passes through untouched."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.removeprefix("https://").rpartition(":")
        self._target_port, self._port = int(port), claim_port()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def server(self) -> str:
        return f"https://{self._host}:{self._port}"

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.cut()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, self._host, self._port)

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        while self._tasks:  # one that is still connecting has its pumps, and its connections, only later
            for writer in self._writers:
                writer.transport.abort()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.current_task()
        assert serving is not None
        self._watch(serving)
        self._writers.add(writer)
        up_reader, up_writer = await asyncio.open_connection(self._host, self._target_port)
        self._writers.add(up_writer)
        for source, sink in ((reader, up_writer), (up_reader, writer)):
            self._watch(asyncio.create_task(self._pump(source, sink)))

    def _watch(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass
        finally:
            sink.close()
