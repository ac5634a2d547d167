"""The embedded control plane and the API client, against each other."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness.cluster import bringup
from harness.cluster import embedded as provider
from harness.cluster.embedded import EmbeddedCluster, EmbeddedOptions
from harness.cluster.pki import Authority
from harness.cluster.setup import prepare
from harness.core.errors import EnvironmentFault
from harness.core.handles import Silent
from harness.core.ids import RUN_LABEL, new_run_id, subject_user
from harness.core.kinds import find
from harness.kube import rbac
from harness.kube.api import Api
from harness.kube.errors import ApiError, ApiUnreachable
from harness.kube.kubeconfig import client_files
from harness.kube.watch import WatchEvent, watch

pytestmark = pytest.mark.cluster

SECRET, CONFIG_MAP, CLUSTER = find("Secret"), find("ConfigMap"), find("Cluster.management.cattle.io")


def secret(name: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": {"test": "yes"}},
        "stringData": {"payload": "do-not-log-me"},
    }


def config_map(name: str, value: str = "1") -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value}}


def audit_text(cluster: EmbeddedCluster) -> str:
    return Path(str(cluster.audit_log)).read_text()


def audit_lines(cluster: EmbeddedCluster, user: str) -> list[dict[str, Any]]:
    events = map(json.loads, audit_text(cluster).splitlines())
    return [event for event in events if event["user"]["username"] == user]


async def eventually(condition: Callable[[], Awaitable[bool]], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_identity_has_no_rights_until_bound_and_is_named_in_the_audit_log(embedded: EmbeddedCluster) -> None:
    run_id = new_run_id()
    user = subject_user(run_id)

    async def scenario() -> str:
        async with await Api.connect(embedded.kubeconfig) as admin:
            namespace = await prepare(admin, run_id)
            async with await Api.connect(await embedded.identity(user)) as api:
                with pytest.raises(ApiError, match="forbidden") as refusal:
                    await api.create(SECRET, secret("mine"), namespace)
                assert refusal.value.status == 403
                await rbac.bind(admin, user, rbac.LOADGEN, run_id)
                await api.create(SECRET, secret("mine"), namespace)
                with pytest.raises(ApiError, match="forbidden"):
                    await api.list(find("ImageScan"), namespace)
                made = await api.create(CLUSTER, {
                    "apiVersion": CLUSTER.api_version, "kind": CLUSTER.kind, "metadata": {"name": f"c-{run_id}"}, "spec": {}
                })  # fmt: skip
                same = await api.merge_patch(CLUSTER, f"c-{run_id}", {"spec": {}})
                assert same["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
            return namespace

    asyncio.run(scenario())
    events = audit_lines(embedded, user)
    seen = [(e["verb"], e["objectRef"]["resource"], e["responseStatus"]["code"], e["level"]) for e in events]
    assert seen == [
        ("create", "secrets", 403, "Metadata"),
        ("create", "secrets", 201, "Metadata"),
        ("list", "imagescans", 403, "Metadata"),
        ("create", "clusters", 201, "RequestResponse"),
        ("patch", "clusters", 200, "RequestResponse"),
    ]
    versions = {e["responseObject"]["metadata"]["resourceVersion"] for e in events[-2:]}
    assert len(versions) == 1, "a patch that changes nothing shows by its resource version"
    assert "do-not-log-me" not in json.dumps(events)
    assert "managedFields" not in json.dumps(events)


def test_an_audit_line_is_there_when_the_answer_is(embedded: EmbeddedCluster) -> None:
    name = f"prompt-{new_run_id()}"

    async def scenario() -> None:
        async with await Api.connect(embedded.kubeconfig) as api:
            await api.create(CONFIG_MAP, config_map(name), "default")
            assert name in audit_text(embedded)

    asyncio.run(scenario())


def test_files_are_private_and_etcd_has_no_port(embedded: EmbeddedCluster) -> None:
    private = embedded.kubeconfig.parent.parent
    assert mode(private) == 0o700
    assert mode(embedded.kubeconfig) == 0o600
    assert all(mode(key) == 0o600 for key in private.rglob("*.key"))
    assert (private / "etcd.sock").is_socket()
    inodes = {fd.readlink().name for fd in Path(f"/proc/{embedded.pids['etcd']}/fd").iterdir()}
    listening = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    assert not [row for row in listening if row[3] == "0A" and f"socket:[{row[9]}]" in inodes]


def test_without_a_certificate_nobody_is_let_in(embedded: EmbeddedCluster, tmp_path: Path) -> None:
    files = client_files(embedded.kubeconfig)
    anonymous = tmp_path / "anonymous.kubeconfig"
    anonymous.write_text(
        json.dumps({
            "clusters": [{"name": "c", "cluster": {"server": files.server, "certificate-authority": str(files.ca_file)}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        })
    )  # fmt: skip

    async def scenario() -> None:
        async with await Api.connect(anonymous) as api:
            with pytest.raises(ApiError) as refusal:
                await api.version()
            assert refusal.value.status == 401

    asyncio.run(scenario())


def test_only_the_clusters_own_authority_is_trusted(
    embedded: EmbeddedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The usual variables point at the right CA, the kubeconfig at another: the kubeconfig must win, and fail."""
    files = client_files(embedded.kubeconfig)
    other = Authority(tmp_path / "other")
    for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(variable, str(files.ca_file))
    text = embedded.kubeconfig.read_text().replace(str(files.ca_file), str(other.ca_file))
    (tmp_path / "wrong.kubeconfig").write_text(text)

    async def scenario() -> None:
        async with await Api.connect(tmp_path / "wrong.kubeconfig") as api:
            with pytest.raises(ApiUnreachable, match="certificate verify failed"):
                await api.version()
        monkeypatch.setenv("SSL_CERT_FILE", str(other.ca_file))
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        async with await Api.connect(embedded.kubeconfig) as api:
            assert await api.version() == embedded.version

    asyncio.run(scenario())


def test_watch_tells_of_everything_once_and_survives_a_lost_connection(embedded: EmbeddedCluster) -> None:
    run_id = new_run_id()

    async def scenario() -> None:
        seen: list[WatchEvent] = []

        async with await Api.connect(embedded.kubeconfig) as api, await Api.connect(embedded.kubeconfig) as eyes:
            namespace = await prepare(api, run_id)
            for index in range(3):
                await api.create(SECRET, secret(f"s{index}"), namespace)

            async def follow() -> None:
                async with aclosing(watch(eyes, SECRET, namespace)) as events:
                    async for event in events:
                        seen.append(event)  # noqa: PERF401 - the test looks at it meanwhile

            async def until(count: int) -> None:
                async def reached() -> bool:
                    return len(seen) >= count

                await eventually(reached)

            following = asyncio.create_task(follow())
            await until(4)
            assert [event.type for event in seen] == ["ADDED"] * 3 + ["SYNCED"]
            assert "data" not in seen[0].object
            before_ns = time.monotonic_ns()
            await api.merge_patch(SECRET, "s0", {"metadata": {"labels": {"a": "b"}}}, namespace)
            await until(5)
            assert seen[4].type == "MODIFIED"
            assert before_ns < seen[4].received_ns < time.monotonic_ns()
            # Every connection of the watcher's pool is cut; meanwhile something happens.
            connector = (await eyes.transport._client.session()).connector
            assert connector is not None
            for connections in list(connector._acquired):
                assert connections.transport is not None
                connections.transport.abort()
            await api.delete(SECRET, "s1", namespace)
            await api.create(SECRET, secret("s3"), namespace)
            await until(7)
            assert [(e.type, e.object["metadata"]["name"]) for e in seen[5:]] == [("DELETED", "s1"), ("ADDED", "s3")]
            following.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(following, 2)

    asyncio.run(scenario())


def test_watch_lists_again_when_the_server_has_forgotten_its_version(
    embedded: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first watch asks from version 1, which is compacted or older than the window; objects changed meanwhile."""
    run_id = new_run_id()

    async def scenario() -> list[tuple[str, str]]:
        seen: list[tuple[str, str]] = []
        async with await Api.connect(embedded.kubeconfig) as api, await Api.connect(embedded.kubeconfig) as eyes:
            namespace = await prepare(api, run_id)
            for index in range(3):
                await api.create(SECRET, secret(f"s{index}"), namespace)
            lines, asked = eyes.transport.lines, list[str | int]()

            async def forgetful(path: str, query: dict[str, str | int], accept: str, silence_s: float) -> object:
                if not asked:
                    asked.append(query["resourceVersion"])
                    await api.delete(SECRET, "s0", namespace)
                    await api.merge_patch(SECRET, "s1", {"metadata": {"labels": {"a": "b"}}}, namespace)
                    await api.create(SECRET, secret("s3"), namespace)
                    raise ApiError(410, "Expired", "too old resource version", place=path)
                return await lines(path, query, accept, silence_s)

            monkeypatch.setattr(eyes.transport, "lines", forgetful)
            async with asyncio.timeout(20), aclosing(watch(eyes, SECRET, namespace)) as events:
                async for event in events:
                    seen.append((event.type, event.object["metadata"].get("name", "")))
                    if [type_ for type_, _ in seen].count("SYNCED") == 2:
                        return seen
        return seen

    seen = asyncio.run(scenario())
    assert seen[:4] == [("ADDED", "s0"), ("ADDED", "s1"), ("ADDED", "s2"), ("SYNCED", "")]
    assert sorted(seen[4:]) == [("ADDED", "s3"), ("DELETED", "s0"), ("MODIFIED", "s1"), ("SYNCED", "")]


def test_watch_says_so_when_it_is_refused(embedded: EmbeddedCluster) -> None:
    async def scenario() -> None:
        async with (
            await Api.connect(await embedded.identity("nobody-in-particular")) as api,
            aclosing(watch(api, SECRET)) as events,
        ):
            with pytest.raises(ApiError, match="cannot list resource"):
                await anext(events)

    asyncio.run(scenario())


def test_lists_come_in_pages_and_collections_go(embedded: EmbeddedCluster) -> None:
    run_id = new_run_id()

    async def scenario() -> None:
        async with await Api.connect(embedded.kubeconfig) as api:
            namespace = await prepare(api, run_id)
            await asyncio.gather(*(api.create(SECRET, secret(f"s{index:02d}"), namespace) for index in range(25)))
            pages = [len(page.items) async for page in api.pages(SECRET, namespace, page_size=10, metadata_only=True)]
            assert pages == [10, 10, 5]
            whole = await api.list(SECRET, namespace, label_selector="test=yes", page_size=7)
            assert sorted(item["metadata"]["name"] for item in whole.items) == [f"s{index:02d}" for index in range(25)]
            assert (await api.get(SECRET, "s00", namespace, metadata_only=True)).keys() == {
                "kind",
                "apiVersion",
                "metadata",
            }
            await api.delete_collection(SECRET, namespace, label_selector="test=yes")
            assert not (await api.list(SECRET, namespace)).items
            assert not await api.delete(SECRET, "s00", namespace)

    asyncio.run(scenario())


def test_controllers_collect_garbage_and_finish_namespaces(embedded: EmbeddedCluster) -> None:
    run_id = new_run_id()

    async def scenario() -> None:
        async with await Api.connect(embedded.kubeconfig) as api:
            namespace = await prepare(api, run_id)
            owner = await api.create(CONFIG_MAP, config_map("owner"), namespace)
            reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
            dependent = config_map("dependent")
            dependent["metadata"] = {"name": "dependent", "ownerReferences": [reference]}
            await api.create(CONFIG_MAP, dependent, namespace)
            await api.delete(CONFIG_MAP, "owner", namespace)

            async def collected() -> bool:
                return not (await api.list(CONFIG_MAP, namespace)).items

            await eventually(collected)
            await api.delete(find("Namespace"), namespace)
            await api.wait_namespace_gone(namespace, 30)

    asyncio.run(scenario())


def test_run_namespace_carries_the_runs_label_and_applying_again_is_harmless(embedded: EmbeddedCluster) -> None:
    run_id = new_run_id()

    async def scenario() -> None:
        async with await Api.connect(embedded.kubeconfig) as api:
            namespace = await prepare(api, run_id)
            assert await prepare(api, run_id) == namespace
            found = await api.list(find("Namespace"), label_selector=f"{RUN_LABEL}={run_id}")
            assert [item["metadata"]["name"] for item in found.items] == [namespace]

    asyncio.run(scenario())


def test_a_busy_port_that_the_user_named_is_one_line(tmp_path: Path) -> None:
    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            options = EmbeddedOptions(port=port)
            with pytest.raises(EnvironmentFault, match=rf"^127\.0\.0\.1:{port}: port {port} is in use.*--port"):
                await provider.start(name="b", work_dir=tmp_path, run_id="r", progress=Silent(), options=options)

    asyncio.run(scenario())


def test_two_side_by_side_on_a_lost_port_race(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second cluster is told to take a port on which somebody has begun to listen: it takes another."""

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            ports = iter([taken.getsockname()[1]])
            claim = bringup.claim_port
            monkeypatch.setattr(bringup, "claim_port", lambda: next(ports, None) or claim())
            options = EmbeddedOptions(lift_inflight=True)
            start = provider.start(name="two", work_dir=tmp_path, run_id="r", progress=Silent(), options=options)
            async with await start as cluster, await Api.connect(cluster.kubeconfig) as api:
                assert not cluster.server.endswith(str(taken.getsockname()[1]))
                assert await api.version() == cluster.version
                assert cluster.failure() is None
        private = cluster.kubeconfig.parent.parent
        assert not private.exists()
        assert sorted(path.name for path in (tmp_path / "control-plane").iterdir()) == [
            "etcd.log", "kube-apiserver.log", "kube-controller-manager.log"
        ]  # fmt: skip

    asyncio.run(scenario())


def test_a_server_that_does_not_start_shows_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.cluster.flags.ISSUER", ":not-a-url")

    async def scenario() -> None:
        with pytest.raises(EnvironmentFault, match=r"kube-apiserver ended \(exit code 1\).*service-account-issuer"):
            await provider.start(name="b", work_dir=tmp_path, run_id="r", progress=Silent())

    asyncio.run(scenario())


ORPHAN = """
import asyncio, json, sys
from pathlib import Path
from harness.cluster import embedded
class Silent:
    step = detail = lambda self, text: None
async def main():
    cluster = await embedded.start(name="orphan", work_dir=Path(sys.argv[1]), run_id="orphan", progress=Silent())
    supervisors = [child.supervisor_pid for child in cluster.children.values()]
    print(json.dumps([*cluster.pids.values(), *supervisors]), cluster.kubeconfig.parent.parent, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


def test_nothing_is_left_when_the_harness_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ORPHAN, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as harness:
        assert harness.stdout is not None
        pids_text, private = harness.stdout.readline().rsplit(" ", 1)
        harness.send_signal(signal.SIGKILL)
        harness.wait(10)
    pids = json.loads(pids_text)
    assert len(pids) == 6
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and (alive := [pid for pid in pids if Path(f"/proc/{pid}").exists()]):
        time.sleep(0.05)
    assert not alive
    assert not Path(private.strip()).exists()


def test_audit_times_are_this_machines(embedded: EmbeddedCluster) -> None:
    line = json.loads(Path(str(embedded.audit_log)).read_text().splitlines()[0])
    stamp = datetime.fromisoformat(line["stageTimestamp"])
    assert abs((datetime.now(UTC) - stamp).total_seconds()) < 3600


def test_a_detached_cluster_outlives_its_command_and_goes_without_a_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path))

    def harness(*arguments: str) -> str:
        command = [sys.executable, "-m", "harness.cli.main", "cluster", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        return f"{done.returncode} {done.stdout or done.stderr}"

    assert harness("up", "--name", "kept").startswith("0 cluster kept is up: Kubernetes v1.")
    try:
        assert re.match(
            r"2 harness: the cluster 'kept' is already up.*harness cluster down kept", harness("up", "--name", "kept")
        )
        (row,) = json.loads(harness("status", "--json")[2:])
        assert (row["name"], row["alive"]) == ("kept", True)
        kubeconfig = Path(harness("kubeconfig", "kept")[2:].strip())
        assert harness("kubeconfig", "kept", "--raw") == f"0 {kubeconfig.read_text()}"

        async def scenario() -> str:
            async with await Api.connect(kubeconfig) as api:
                return await api.version()

        assert asyncio.run(scenario()) == row["version"]
    finally:
        assert harness("down", "kept") == "0 cluster kept is down\n"
    assert not kubeconfig.parent.parent.exists()
    assert harness("status", "--json") == "0 []\n"
    assert harness("down", "kept").startswith("2 harness: no cluster 'kept' is up")
