"""Switches of `fleet`, each seen from outside: what it asks for, how much comes back, what it looks at, how fast it asks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harness.cluster.embedded import EmbeddedCluster
from harness.core.kinds import find
from harness.kube.api import Api
from tests.integration.controller_process import Running, controller, until

pytestmark = pytest.mark.cluster

SECRET, GITREPO, BUNDLE = find("Secret"), find("GitRepo"), find("Bundle")
SECRETS, PAYLOAD = 20, 4000


async def with_secrets(api: Api, namespace: str) -> None:
    for number in range(SECRETS):
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"secret-{number:02d}"}}
        await api.create(SECRET, body | {"stringData": {"key": "x" * PAYLOAD}}, namespace)


@pytest.mark.parametrize("mode", ["full", "metadata"])
def test_a_metadata_only_cache_is_sent_no_payload(embedded: EmbeddedCluster, tmp_path: Path, mode: str) -> None:
    async def scenario() -> None:
        async with controller(embedded, tmp_path, "fleet", f"--cache.Secret={mode}", before=with_secrets) as run:
            asked = [seen for seen in run.proxy.of("secrets") if "watch" not in seen.query]
            partial = ["PartialObjectMetadata" in seen.accept for seen in run.proxy.of("secrets")]
            assert set(partial) == {mode == "metadata"}
            received = sum(seen.bytes for seen in asked)
            assert (received > SECRETS * PAYLOAD) == (mode == "full")

    asyncio.run(scenario())


def test_the_index_replaces_a_look_at_every_object(embedded: EmbeddedCluster, tmp_path: Path) -> None:
    async def examined(mode: str) -> float:
        async with controller(embedded, tmp_path, "fleet", f"--index={mode}") as run:
            for number in range(8):
                await repo(run, f"repo-{number}", 5)

            async def made() -> bool:
                return len((await run.api.list(BUNDLE, namespace=run.namespace)).items) == 40

            await until(made, "40 Bundles")
            return await _at_rest(run, "fleet_objects_examined")

    with_index, without = asyncio.run(examined("on")), asyncio.run(examined("off"))
    assert without > 2 * max(with_index, 5)  # how often each looks depends on how fast the machine is


async def _at_rest(run: Running, series: str) -> float:
    """The value of a counter when the work is done: when it has not grown for two seconds."""
    seen = [(await run.numbers())[series]]
    while len(seen) < 5 or len(set(seen[-5:])) > 1:
        await asyncio.sleep(0.5)
        seen.append((await run.numbers())[series])
    return seen[-1]


async def repo(run: Running, name: str, bundles: int) -> None:
    paths = [f"b{number}" for number in range(bundles)]
    spec = {"repo": "https://git.invalid/repo", "branch": "main", "paths": paths, "targets": []}
    await run.make(GITREPO, name, spec=spec)


def test_qps_and_burst_bound_what_it_asks_for(embedded: EmbeddedCluster, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller(embedded, tmp_path, "fleet", "--qps=2", "--burst=1") as run:

            async def all_watches() -> bool:
                return sum("watch" in seen.query for seen in run.proxy.requests) == 9

            await until(all_watches)
            requests = run.proxy.requests
            assert len(requests) >= 18  # a list and a watch of each of nine kinds
            late_s = 3.0  # that the first request may come after the first token was there
            for number, seen in enumerate(requests, 1):
                assert number <= 1 + 2 * (seen.at - requests[0].at + late_s)

    asyncio.run(scenario())
