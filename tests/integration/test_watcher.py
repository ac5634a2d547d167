"""The reference controller `watcher` on a real API server: when it hands objects on, and what it asked for to get them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harness.cluster.embedded import EmbeddedCluster
from harness.core.kinds import find
from harness.kube.api import Api
from tests.integration.controller_process import Running, controller, until

pytestmark = pytest.mark.cluster

SECRET = find("Secret")
SECRETS, PAGE = 10, 4
HANDED_ON = 'controller_runtime_reconcile_total{controller="watcher",result="success"}'
ROLE = "harness-watcher-subject"


async def with_secrets(api: Api, namespace: str) -> None:
    for number in range(SECRETS):
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"secret-{number:02d}"}}
        await api.create(SECRET, body | {"stringData": {"key": "x" * 100}}, namespace)


async def handed_on(run: Running) -> int:
    return int((await run.numbers()).get(HANDED_ON, 0))


@pytest.mark.parametrize("mode", ["buffered", "streaming"])
def test_streaming_hands_on_a_page_before_it_asks_for_the_next_and_buffering_does_not(
    embedded: EmbeddedCluster, tmp_path: Path, mode: str
) -> None:
    async def scenario() -> None:
        more = asyncio.Event()
        async with controller(
            embedded, tmp_path, "watcher", f"--initial_list={mode}", f"--page_size={PAGE}", role=ROLE,
            before=with_secrets, wait=False, hold={"continue": more},
        ) as run:  # fmt: skip

            async def waits_for_the_second_page() -> bool:
                return any("continue" in seen.query for seen in run.proxy.requests)

            await until(waits_for_the_second_page)
            assert not await run.ready()
            assert await handed_on(run) == (PAGE if mode == "streaming" else 0)
            more.set()
            await until(run.ready)
            numbers = await run.numbers()
            assert (numbers[HANDED_ON], numbers["watcher_initial_objects"]) == (SECRETS, SECRETS)
            assert numbers["watcher_objects_stored"] == SECRETS
            lists = [seen for seen in run.proxy.of("secrets") if "watch" not in seen.query]
            assert [seen.query["limit"] for seen in lists] == [str(PAGE)] * 3
            assert "sendInitialEvents" not in str([seen.query for seen in run.proxy.requests])

    asyncio.run(scenario())


@pytest.mark.parametrize("mode", ["buffered", "streaming"])
def test_watch_list_gets_all_objects_from_the_watch_and_goes_on_with_it(
    embedded: EmbeddedCluster, tmp_path: Path, mode: str
) -> None:
    async def scenario() -> None:
        async with controller(
            embedded, tmp_path, "watcher", f"--initial_list={mode}", "--watch_list=on", "--store=off", role=ROLE,
            before=with_secrets,
        ) as run:  # fmt: skip
            numbers = await run.numbers()
            assert (numbers[HANDED_ON], numbers["watcher_initial_objects"]) == (SECRETS, SECRETS)
            assert numbers["watcher_objects_stored"] == 0
            (only,) = run.proxy.of("secrets")
            assert only.query["sendInitialEvents"] == "true"
            await run.make(SECRET, "late", stringData={"key": "value"})

            async def seen() -> bool:
                return await handed_on(run) == SECRETS + 1

            await until(seen)
            await run.api.delete(SECRET, "late", run.namespace)

            async def gone() -> bool:
                return await handed_on(run) == SECRETS + 2

            await until(gone)
            assert len(list(run.proxy.of("secrets"))) == 1

    asyncio.run(scenario())
