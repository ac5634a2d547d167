"""Switches of `fleet` about its memory: what it keeps of a kind, where manifests are, what it gives back."""

from __future__ import annotations

import asyncio
import base64
import random
import time
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.embedded import EmbeddedCluster
from harness.controllers.fleet.options import CACHED_KINDS
from harness.kube.api import Api
from tests.integration.controller_process import Running, controller, until
from tests.integration.fleet_objects import (
    BUNDLE,
    CONFIG_MAP,
    GITREPO,
    OTHER,
    PROD,
    SECRET,
    bundle,
    cluster,
    deployed,
    label,
    manifest,
    quiet,
    remove_clusters,
    repo,
    there_are,
)

pytestmark = pytest.mark.cluster

PAYLOAD = 20_000
BUNDLES = 8


def text(seed: int = 0) -> str:
    """What is compressed to about half and no further, as answers of the API server are."""
    return random.Random(seed).randbytes(PAYLOAD // 2).hex()


async def with_bundles(api: Api, namespace: str) -> None:
    """Bundles that are there when the controller starts, so that they come in its first list."""
    for number in range(BUNDLES):
        resources = [{"name": "a.yaml", "content": manifest("config", text(number))}]
        body = {"apiVersion": BUNDLE.api_version, "kind": "Bundle", "metadata": {"name": f"b{number}"}}
        await api.create(BUNDLE, body | {"spec": {"resources": resources, "targets": [OTHER]}}, namespace)


def reads(run: Running) -> int:
    """Bundles that were read one by one."""
    return sum(seen.method == "GET" and "/bundles/" in seen.path for seen in run.proxy.requests)


@pytest.mark.parametrize(
    ("mode", "size", "first", "again"),
    [("full", 100, 0, 0), ("metadata", 100, 1, 1), ("adaptive", 100, 1, 0)],
)
def test_what_is_kept_of_bundles_is_seen_in_bytes_and_reads(
    embedded: EmbeddedCluster, tmp_path: Path, mode: str, size: int, first: int, again: int
) -> None:
    """`first`, `again`: whether each Bundle is read from the API when it is reconciled first, and once more later."""

    async def scenario() -> None:
        switches = f"--cache.Bundle={mode}", f"--cache_size={size}"
        async with controller(embedded, tmp_path, "fleet", *switches, before=with_bundles) as run:
            await cluster(run, "c", env="none")
            await quiet(run)
            collection = [seen for seen in run.proxy.of("bundles") if seen.path.endswith("/bundles")]
            lists = [seen for seen in collection if "watch" not in seen.query and "labelSelector" not in seen.query]
            assert (sum(seen.bytes for seen in lists) > BUNDLES * PAYLOAD / 3) == (mode == "full")
            assert {"PartialObjectMetadata" in seen.accept for seen in collection} == {mode != "full"}
            before = reads(run)
            assert before >= first * BUNDLES if first else before == 0
            await label(run, "c", env="still-none")  # every Bundle is queued
            await quiet(run)
            assert reads(run) - before >= BUNDLES if again else reads(run) == before
            held = (await run.numbers())['fleet_cached_objects{kind="bundles.fleet.cattle.io"}']
            assert held == {"full": BUNDLES, "adaptive": min(size, BUNDLES)}.get(mode, 0)
            await remove_clusters(run)

    asyncio.run(scenario())


@pytest.mark.parametrize("mode", ["adaptive", "none"])
def test_the_work_is_the_same_whatever_is_kept(embedded: EmbeddedCluster, tmp_path: Path, mode: str) -> None:
    async def scenario() -> None:
        switches = [f"--cache.{kind}={mode}" for kind in CACHED_KINDS]
        switches += ["--event_mapping=matching", "--status_patch=changed", "--cache_size=3"]
        async with controller(embedded, tmp_path, "fleet", *switches) as run:
            await cluster(run, "c", env="none")
            await cluster(run, "d", env="prod")
            await repo(run, "wanted", 4, PROD, clientSecretName="credentials")
            await repo(run, "idle", 2, OTHER)
            await until(lambda: bundles(run, 2))
            body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "credentials"}, "stringData": {"a": "b"}}
            await run.api.create(SECRET, body, run.namespace)
            await until(there_are(run, 4))
            await label(run, "c", env="prod")
            await until(there_are(run, 8))
            await until(lambda: summed(run, "wanted", 8))
            await label(run, "d", env="other")
            await until(lambda: summed(run, "wanted", 4))
            await until(lambda: summed(run, "idle", 2))
            await run.api.delete(GITREPO, "wanted", run.namespace)
            await until(there_are(run, 2))
            await until(lambda: bundles(run, 2))
            await quiet(run)
            errors = {k: v for k, v in (await run.numbers()).items() if "reconcile_errors_total" in k and v}
            assert not errors, run.log.read_text()
            await remove_clusters(run)

    asyncio.run(scenario())


async def bundles(run: Running, count: int) -> bool:
    return len((await run.api.list(BUNDLE, namespace=run.namespace)).items) == count


async def summed(run: Running, name: str, count: int) -> bool:
    status = (await run.api.get(GITREPO, name, run.namespace)).get("status") or {}
    return status.get("summary") == {"desiredReady": count, "ready": count}


@pytest.mark.parametrize("place", ["annotation", "secret"])
def test_a_manifest_is_in_every_copy_or_read_by_name_and_deployed_either_way(
    embedded: EmbeddedCluster, tmp_path: Path, place: str
) -> None:
    async def scenario() -> None:
        switches = f"--manifest={place}", "--agent=apply", "--workers.agent=2"
        async with controller(embedded, tmp_path, "fleet", *switches) as run:
            target = await cluster(run, "c", env="prod")
            await bundle(run, "b", PROD, manifest("one", text()), manifest("two", "first"))
            await until(there_are(run, 1))
            assert await texts(run, target) == {"one": text(), "two": "first"}
            (found,) = await deployed(run)
            assert ("fleet.cattle.io/manifest" in (found["metadata"].get("annotations") or {})) == (
                place == "annotation"
            )
            asked = [seen for seen in run.proxy.requests if seen.path.endswith(f"/{target}/secrets/b")]
            assert any(seen.method == "GET" and seen.status == 200 for seen in asked) == (place == "secret")
            watched = sum(seen.bytes for seen in run.proxy.of("bundledeployments") if "watch" in seen.query)
            assert (watched > PAYLOAD / 3) == (place == "annotation")
            if place == "secret":
                kept = (await run.api.get(SECRET, "b", target))["data"]["manifest"]
                assert base64.b64decode(kept).decode().count("ConfigMap") == 2

            resources = [{"name": "0.yaml", "content": manifest("two", "second")}]
            await run.api.merge_patch(BUNDLE, "b", {"spec": {"resources": resources}}, run.namespace)

            async def changed() -> bool:
                return await texts(run, target) == {"two": "second"}

            await until(changed, "what is gone from the manifest is still there, or what is new is not")
            await until(there_are(run, 1))
            await run.api.delete(BUNDLE, "b", run.namespace)
            await until(there_are(run, 0))

            async def gone() -> bool:
                return not await texts(run, target) and not (await run.api.list(SECRET, namespace=target)).items

            await until(gone, "what was deployed outlives its BundleDeployment")
            await remove_clusters(run)

    asyncio.run(scenario())


async def texts(run: Running, namespace: str) -> dict[str, Any]:
    found = (await run.api.list(CONFIG_MAP, namespace=namespace)).items
    return {obj["metadata"]["name"]: obj["data"]["text"] for obj in found if "text" in (obj.get("data") or {})}


def test_what_cannot_be_applied_is_said_in_the_status(embedded: EmbeddedCluster, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller(embedded, tmp_path, "fleet", "--agent=apply") as run:
            await cluster(run, "c", env="prod")
            await bundle(run, "b", PROD, "apiVersion: v1\nkind: Secret\nmetadata: {name: stolen}\n")

            async def told() -> bool:
                conditions = [c for obj in await deployed(run) for c in (obj.get("status") or {}).get("conditions", ())]
                return any(c.get("reason") == "ErrApplied" and "ConfigMaps" in c["message"] for c in conditions)

            await until(told)
            await remove_clusters(run)

    asyncio.run(scenario())


async def with_secrets(api: Api, namespace: str) -> None:
    payload = base64.b64encode(b"x" * 90_000).decode()
    for begin in range(0, 200, 20):
        await asyncio.gather(
            *(
                api.create(
                    SECRET,
                    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"s{number}"}, "data": {"a": payload}},
                    namespace,
                )
                for number in range(begin, begin + 20)
            )
        )


def test_trim_returns_to_the_kernel_what_nobody_holds(embedded: EmbeddedCluster, tmp_path: Path) -> None:
    """24 MB in 200 Secrets are cached, then deleted: without `trim` the C library keeps their memory for later."""

    async def left(mode: str) -> float:
        async with controller(embedded, tmp_path, "fleet", f"--reclaim={mode}", before=with_secrets) as run:
            cached = 'fleet_cached_objects{kind="secrets"}'
            before = await run.numbers()
            assert before[cached] == 200
            await run.api.delete_collection(SECRET, namespace=run.namespace)

            # It may still owe one for what it listed: the last has been when none has come for seconds.
            held = reclaims = before.get("fleet_reclaims_total", 0)
            since = time.monotonic()

            async def rested() -> bool:
                nonlocal held, reclaims, since
                now = await run.numbers()
                if now[cached] > 0:
                    held = now.get("fleet_reclaims_total", 0)
                if now[cached] > 0 or now.get("fleet_reclaims_total", 0) != reclaims:
                    reclaims, since = now.get("fleet_reclaims_total", 0), time.monotonic()
                return time.monotonic() - since > 3 and (mode == "none" or reclaims > held)

            await until(rested, "memory was not given back")
            return (await run.numbers())["process_resident_memory_bytes"]

    assert asyncio.run(left("none")) - asyncio.run(left("trim")) > 8e6
