"""What the tests of `fleet`'s switches make and look at; no tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from harness.controllers.fleet.names import cluster_namespace
from harness.core.kinds import find
from tests.integration.controller_process import Running, until

SECRET, CONFIG_MAP, NAMESPACE = find("Secret"), find("ConfigMap"), find("Namespace")
GITREPO, BUNDLE, DEPLOYMENT = find("GitRepo"), find("Bundle"), find("BundleDeployment")
CLUSTER, GROUP, SCAN = find("Cluster.fleet.cattle.io"), find("ClusterGroup"), find("ImageScan")

PROD = {"clusterSelector": {"matchLabels": {"env": "prod"}}}
OTHER = {"clusterSelector": {"matchLabels": {"env": "other"}}}


def manifest(name: str, text: str) -> str:
    """A ConfigMap as YAML."""
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  text: {text}\n"


async def cluster(run: Running, name: str, **labels: str) -> str:
    """A Fleet Cluster; the namespace in which it is deployed to, once that is there."""
    await run.make(CLUSTER, name, spec={}, metadata={"labels": labels})

    async def placed() -> bool:
        return bool(((await run.api.get(CLUSTER, name, run.namespace)).get("status") or {}).get("namespace"))

    await until(placed, f"{name} has no namespace")
    return cluster_namespace(run.namespace, name)


async def bundle(run: Running, name: str, target: dict[str, Any], *contents: str) -> None:
    """A Bundle of somebody's, not of a GitRepo's."""
    resources = [{"name": f"{number}.yaml", "content": content} for number, content in enumerate(contents)]
    await run.make(BUNDLE, name, spec={"targets": [target], "resources": resources})


async def repo(run: Running, name: str, bundles: int, target: dict[str, Any], **more: Any) -> None:
    """A GitRepo of that many Bundles."""
    paths = [f"b{number}" for number in range(bundles)]
    spec = {"repo": "https://git.invalid/repo", "branch": "main", "paths": paths, "targets": [target], **more}
    await run.make(GITREPO, name, spec=spec)


async def label(run: Running, name: str, **labels: str | None) -> None:
    """Merge labels into those of a Fleet Cluster."""
    await run.api.merge_patch(CLUSTER, name, {"metadata": {"labels": labels}}, run.namespace)


async def deployed(run: Running) -> list[dict[str, Any]]:
    """The BundleDeployments of the run."""
    selector = f"fleet.cattle.io/bundle-namespace={run.namespace}"
    return list((await run.api.list(DEPLOYMENT, label_selector=selector)).items)


def there_are(run: Running, count: int, *, ready: bool = True) -> Callable[[], Awaitable[bool]]:
    """Whether there are that many BundleDeployments, all ready."""

    async def check() -> bool:
        found = await deployed(run)
        return len(found) == count and (not ready or all(is_ready(each) for each in found))

    return check


def is_ready(obj: dict[str, Any]) -> bool:
    """Whether its condition Ready is met."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


async def quiet(run: Running) -> None:
    """Wait until nothing has been queued or done for longer than the half second that summaries wait."""
    last: list[float] = []

    async def rested() -> bool:
        numbers = await run.numbers()
        # A worker that waits for an answer moves no number of its queue.
        busy = sum(value for name, value in numbers.items() if name.startswith("controller_runtime_active_workers"))
        if busy:
            last.clear()
        last.append(sum(value for name, value in numbers.items() if name.startswith("workqueue_")))
        return not busy and len(last) > 11 and len(set(last[-11:])) == 1

    await until(rested, "it does not come to rest")


async def remove_clusters(run: Running) -> None:
    """Namespaces of Clusters are nobody's when a run is over."""
    for each in (await run.api.list(NAMESPACE, label_selector="fleet.cattle.io/managed=true")).items:
        if (each["metadata"].get("annotations") or {}).get("fleet.cattle.io/cluster-namespace") == run.namespace:
            await run.api.delete(NAMESPACE, each["metadata"]["name"])
