"""Switches of `fleet` about its work: queue, conflicts, selectors, shards. Each is seen in what it asks the API server for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harness.cluster.embedded import EmbeddedCluster
from tests.integration.controller_process import Running, controller, until
from tests.integration.fleet_objects import (
    BUNDLE,
    OTHER,
    PROD,
    bundle,
    cluster,
    label,
    quiet,
    remove_clusters,
    repo,
    there_are,
)
from tests.integration.recording_proxy import Seen

pytestmark = pytest.mark.cluster


def bundles_asked(run: Running, since: int) -> list[tuple[str, str, int]]:
    """Method, Bundle and answer of each request about one Bundle, in order."""
    found = []
    for seen in run.proxy.requests[since:]:
        _, there, rest = seen.path.partition("/bundles/")
        if there:
            found.append((seen.method, rest.split("/")[0], seen.status))
    return found


@pytest.mark.parametrize("order", ["fifo", "fair"])
def test_a_fair_queue_does_not_leave_work_behind_that_which_turns_out_to_be_none(
    embedded: EmbeddedCluster, tmp_path: Path, order: str
) -> None:
    async def scenario() -> None:
        async with controller(embedded, tmp_path, "fleet", f"--queue={order}", "--workers.bundle=1") as run:
            await cluster(run, "c", env="none")
            for number in range(12):
                await bundle(run, f"idle-{number:02d}", OTHER)
            await bundle(run, "wanted", PROD)
            await quiet(run)
            since = len(run.proxy.requests)
            await label(run, "c", env="prod")
            await until(there_are(run, 1))
            names = [name for method, name, _ in bundles_asked(run, since) if method == "PATCH"]
            before = set(names[: names.index("wanted")])
            assert len(before) <= 1 if order == "fair" else len(before) == 12, names
            await quiet(run)  # and the others have had their turn
            assert len({name for _, name, _ in bundles_asked(run, since)}) == 13
            await remove_clusters(run)

    asyncio.run(scenario())


@pytest.mark.parametrize("mode", ["retry", "requeue"])
def test_a_conflict_holds_the_worker_or_gives_the_key_back(
    embedded: EmbeddedCluster, tmp_path: Path, mode: str
) -> None:
    """The second writer is an administrator, who annotates a Bundle while the write of its status is on its way."""

    async def scenario() -> None:
        switches = f"--conflict={mode}", "--workers.bundle=1"
        async with controller(embedded, tmp_path, "fleet", *switches) as run:
            await cluster(run, "c", env="none")
            for name in ("a", "b", "c"):
                await bundle(run, name, OTHER)
            await quiet(run)
            requeued = 'controller_runtime_reconcile_total{controller="bundle",result="requeue"}'
            assert (await run.numbers())[requeued] == 0
            since = len(run.proxy.requests)
            written: list[Seen] = []

            async def write_first(seen: Seen) -> None:
                if not written and seen.method == "PATCH" and seen.path.endswith("/bundles/a/status"):
                    written.append(seen)
                    await run.api.merge_patch(BUNDLE, "a", {"metadata": {"annotations": {"by": "me"}}}, run.namespace)

            run.proxy.before = write_first
            await label(run, "c", env="other-still")

            async def met() -> bool:
                asked = bundles_asked(run, since)
                return ("PATCH", "a", 409) in asked and ("PATCH", "a", 200) in asked and ("PATCH", "c", 200) in asked

            await until(met, "no conflict")
            asked = bundles_asked(run, since)
            after = asked[asked.index(("PATCH", "a", 409)) + 1 :]
            if mode == "retry":
                assert after[:2] == [("GET", "a", 200), ("PATCH", "a", 200)]
            else:
                assert after[0][:2] == ("PATCH", "b")
                assert all(method == "PATCH" for method, _, _ in asked)
            met_again = bundles_asked(run, since).count(("PATCH", "a", 409))  # where the news of the write came late
            assert (await run.numbers())[requeued] == (0 if mode == "retry" else met_again)
            await remove_clusters(run)

    asyncio.run(scenario())


@pytest.mark.parametrize("mode", ["on", "off"])
def test_selectors_are_parsed_once_or_for_each_match(embedded: EmbeddedCluster, tmp_path: Path, mode: str) -> None:
    async def scenario() -> None:
        async with controller(embedded, tmp_path, "fleet", f"--selector_cache={mode}") as run:
            for number in range(3):
                await cluster(run, f"c{number}", env="prod")
            await repo(run, "wanted", 2, PROD)
            await repo(run, "idle", 10, OTHER)
            await until(there_are(run, 6))
            await quiet(run)
            parsed = (await run.numbers())["fleet_selectors_parsed"]
            if mode == "on":
                assert parsed == 2  # of all Bundles there are two different selectors
            else:
                assert parsed >= 12 * 3  # at least once for each Bundle and Cluster
            await remove_clusters(run)

    asyncio.run(scenario())


def test_shards_divide_the_work_and_nothing_is_done_twice_or_left(embedded: EmbeddedCluster, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller(embedded, tmp_path, "fleet", "--shards=2", "--workers=4") as run:
            await cluster(run, "c", env="prod")
            await repo(run, "wanted", 6, PROD)
            await repo(run, "idle", 6, OTHER)
            await until(there_are(run, 6))
            await quiet(run)
            writers: dict[str, set[str]] = {}
            for seen in run.proxy.requests:
                if seen.method == "PATCH" and seen.path.endswith("/status"):
                    writers.setdefault(seen.path, set()).add(seen.agent.rpartition("/")[2])
            assert len([path for path in writers if "/bundles/" in path]) == 12
            assert all(len(each) == 1 for each in writers.values()), writers
            assert set().union(*writers.values()) == {"shard-0", "shard-1"}
            numbers = await run.numbers()
            for shard in "01":
                start = f'controller_runtime_reconcile_total{{controller="bundle",result="success",shard="{shard}"}}'
                assert numbers[start] > 0
            await remove_clusters(run)

    asyncio.run(scenario())
