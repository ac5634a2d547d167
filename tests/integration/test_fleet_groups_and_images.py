"""ClusterGroups and ImageScans of the reference controller `fleet`, and watches that a server has forgotten."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from harness.cluster.embedded import EmbeddedCluster
from harness.controllers.fleet.names import cluster_namespace
from harness.core.ids import new_run_id, subject_user
from tests.integration.controller_process import Running, controller, until
from tests.integration.fleet_objects import (
    BUNDLE,
    GITREPO,
    GROUP,
    PROD,
    SCAN,
    bundle,
    cluster,
    deployed,
    label,
    manifest,
    remove_clusters,
    repo,
    there_are,
)
from tests.integration.test_fleet import DEPLOYMENT, Relay, _count, fleet

pytestmark = pytest.mark.cluster


def test_a_cluster_group_counts_its_clusters_and_is_deployed_to(embedded: EmbeddedCluster, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller(embedded, tmp_path, "fleet", "--workers.clustergroup=2") as run:
            await cluster(run, "c", env="prod")
            await cluster(run, "d", env="none")
            await bundle(run, "by-name", {"clusterGroup": "g"}, manifest("one", "x"))
            await bundle(run, "by-label", {"clusterGroupSelector": {"matchLabels": {"tier": "gold"}}})
            selector = {"matchLabels": {"env": "prod"}}
            await run.make(GROUP, "g", spec={"selector": selector}, metadata={"labels": {"tier": "gold"}})
            await until(there_are(run, 2))
            assert await places(run) == {cluster_namespace(run.namespace, "c")}
            await until(lambda: group_is(run, 1, 2))
            await label(run, "d", env="prod")
            await until(there_are(run, 4))
            await until(lambda: group_is(run, 2, 4))
            await run.api.merge_patch(
                GROUP, "g", {"spec": {"selector": {"matchLabels": {"env": "none"}}}}, run.namespace
            )
            await until(there_are(run, 0))
            await until(lambda: group_is(run, 0, 0))
            await remove_clusters(run)

    asyncio.run(scenario())


async def places(run: Running) -> set[str]:
    return {obj["metadata"]["namespace"] for obj in await deployed(run)}


async def group_is(run: Running, clusters: int, deployments: int) -> bool:
    status = (await run.api.get(GROUP, "g", run.namespace)).get("status") or {}
    counts = status.get("clusterCount"), status.get("nonReadyClusterCount"), (status.get("summary") or {}).get("ready")
    return counts == (clusters, 0, deployments)


def test_an_image_scan_has_the_newest_tag_deployed(embedded: EmbeddedCluster, tmp_path: Path) -> None:
    tags = ["1.0.0", "1.2.0", "latest", "2.0.0-rc1"]

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"name": request.match_info["name"], "tags": tags})

    async def scenario() -> None:
        app = web.Application()
        app.router.add_get("/v2/{name:.+}/tags/list", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            registry = "http://{}:{}".format(*runner.addresses[0][:2])
            async with controller(
                embedded, tmp_path, "fleet", f"--registry={registry}", "--workers.imagescan=1"
            ) as run:
                await repo(run, "r", 1, PROD)
                spec = {"image": "registry.invalid/team/app", "interval": "1s", "gitrepoName": "r", "tagName": "app"}
                await run.make(SCAN, "scan", spec=spec)
                own = {"image": "other", "interval": "1h", "tags": ["3", "7", "11"], "policy": {"numerical": {}}}
                await run.make(SCAN, "own", spec=own)
                await until(lambda: scanned(run, "scan", "1.2.0"))
                await until(lambda: scanned(run, "own", "11"))

                async def handed_over() -> (
                    bool
                ):  # it may hear of the scan before it hears of the GitRepo, and look again
                    return await images(run) == {"app": "registry.invalid/team/app:1.2.0"}

                await until(handed_over)
                first = await content(run)
                tags.append("1.10.0")
                await until(lambda: scanned(run, "scan", "1.10.0"))
                assert await images(run) == {"app": "registry.invalid/team/app:1.10.0"}

                async def made_anew() -> bool:
                    return await content(run) != first

                await until(made_anew, "the Bundle does not hold the new image")
                await run.api.merge_patch(SCAN, "scan", {"spec": {"suspend": True}}, run.namespace)
                tags[:] = ["nothing"]
                await run.api.merge_patch(SCAN, "own", {"spec": {"tags": ["none"]}}, run.namespace)

                async def told() -> bool:
                    status = (await run.api.get(SCAN, "own", run.namespace))["status"]
                    return any("no tag fits" in each.get("message", "") for each in status["conditions"])

                await until(told)
                assert await images(run) == {"app": "registry.invalid/team/app:1.10.0"}
        finally:
            await runner.cleanup()

    asyncio.run(scenario())


async def scanned(run: Running, name: str, tag: str) -> bool:
    return ((await run.api.get(SCAN, name, run.namespace)).get("status") or {}).get("latestTag") == tag


async def images(run: Running) -> dict[str, Any]:
    found: dict[str, Any] = (await run.api.get(GITREPO, "r", run.namespace))["spec"].get("images") or {}
    return found


async def content(run: Running) -> str:
    async def there() -> bool:
        return bool((await run.api.list(BUNDLE, namespace=run.namespace)).items)

    await until(there)
    return str((await run.api.get(BUNDLE, "r-b0", run.namespace))["spec"]["resources"][0]["content"])


def test_what_a_restarted_server_has_forgotten_is_listed_anew(
    embedded: EmbeddedCluster, cluster_loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> None:
    """While it is cut off things change and the API server is replaced: the new one's watch cache does not reach back so far
    and answers 410. What came is made, what went is taken away."""

    async def scenario() -> None:
        run_id = new_run_id()
        through = tmp_path / "relayed.kubeconfig"
        identity = await embedded.identity(subject_user(run_id))
        async with Relay(embedded.server) as relay:
            through.write_text(identity.read_text().replace(embedded.server, relay.server))
            through.chmod(0o600)
            async with fleet(embedded, tmp_path, kubeconfig=through, run_id=run_id) as run:
                name = await run.make_cluster(0)
                await run.flip(name, "prod")
                doomed = await run.make_repo(0, 2, "prod")
                await until(lambda: _count(run, DEPLOYMENT, 2))
                await relay.cut()
                await run.make_repo(1, 3, "prod")
                await run.api.delete(GITREPO, doomed, run.namespace)
                restarted = asyncio.run_coroutine_threadsafe(embedded.restart_apiserver(), cluster_loop)
                await asyncio.wrap_future(restarted)
                await relay.open()

                async def caught_up() -> bool:
                    found = [obj["metadata"]["name"] for obj in await run.all(DEPLOYMENT)]
                    return len(found) == 3 and not any(each.startswith(doomed) for each in found)

                await until(caught_up, "it does not catch up")
                assert "listing anew" in run.log.read_text()
                assert "Traceback" not in run.log.read_text()

    asyncio.run(scenario())
