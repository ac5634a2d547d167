"""An API server that is restarted, slow or in trouble, and a network that is no better, while a run goes on as a guest.

What the harness reports must be what happened: each object once, no effect before its cause, every attempt in the record.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cluster.embedded import EmbeddedCluster
from harness.core.ids import RUN_LABEL
from harness.kube import every
from harness.kube.api import Api
from tests.faults.fault_proxy import Asked, FaultProxy, Rule, in_front_of
from tests.faults.faulted_run import SETTLE, FaultedRun, phase_began, scenario, sent_in
from tests.integration.conftest import started

pytestmark = pytest.mark.cluster

COUNT = 30
STALL_S = 3.0
DOWN_S = 1.0
"""Without an API server, before its successor is started: it listens within 0.3 s, which a load may happen not to notice."""


@pytest.fixture(scope="module")
def cluster(
    cluster_loop: asyncio.AbstractEventLoop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedCluster]:
    with started(cluster_loop, tmp_path_factory.mktemp("faults"), "20260101-000000-fault") as cluster:
        yield cluster


@pytest.fixture
def proxied(
    cluster: EmbeddedCluster, cluster_loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> Iterator[tuple[FaultProxy, Path]]:
    """A proxy in front of the cluster, and the kubeconfig that leads through it."""
    context = in_front_of(cluster, tmp_path)
    yield asyncio.run_coroutine_threadsafe(context.__aenter__(), cluster_loop).result(60)
    asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), cluster_loop).result(60)


def _of_load(asked: Asked, step: str, below: int) -> bool:
    """A create by the load generator, of that step, that was not tried so often yet."""
    ours = asked.agent.startswith("harness-loadgen") and asked.method == "POST"
    return ours and step in asked.name and asked.number < below


def _left_in(cluster: EmbeddedCluster, run_id: str) -> list[str]:
    async def ask() -> list[str]:
        async with await Api.connect(cluster.kubeconfig) as api:
            return [item.name for item in (await every.labelled(api, f"{RUN_LABEL}={run_id}")).objects]

    return asyncio.run(ask())


def test_a_network_and_a_server_at_their_worst_change_no_count(
    cluster: EmbeddedCluster, proxied: tuple[FaultProxy, Path], tmp_path: Path
) -> None:
    proxy, kubeconfig = proxied
    happened: set[str] = set()

    def once(what: str) -> bool:
        new = what not in happened
        happened.add(what)
        return new

    throttled = Rule("429", lambda a: _of_load(a, "-s2-", 2))
    forgetful = Rule("403", lambda a: _of_load(a, "-s2-", 3))
    broken = Rule("500", lambda a: _of_load(a, "-s3-", 3))
    cut_before = Rule("reset", lambda a: _of_load(a, "-s4-", 1))
    cut_after = Rule("reset-after", lambda a: _of_load(a, "-s4-", 2))
    stalled = Rule("stall", lambda a: _of_load(a, "-s5-", 1), seconds=STALL_S)

    def ours(asked: Asked) -> bool:
        return asked.watch and asked.agent == "harness" and asked.path.endswith(("/secrets", "/bundledeployments"))

    gone = Rule("gone", lambda a: ours(a) and once(a.path + "gone"), events=3)
    refused = Rule("refuse-gone", lambda a: ours(a) and once(a.path + "refused"))
    cut = Rule("cut", lambda a: ours(a) and once(a.path + "cut"), events=2)
    twice = Rule("twice", lambda a: a.watch)
    proxy.rules = [throttled, forgetful, broken, cut_before, cut_after, stalled, gone, refused, cut, twice]
    secrets = {"create": {"kind": "Secret", "count": COUNT, "size": "500B"}}
    what = scenario(
        {"create": {"kind": "Cluster.management.cattle.io", "count": 2}},
        *([secrets] * 5),
        {"create": {"kind": "GitRepo", "count": 2, "bundles": 2, "matching": 1}},
        SETTLE,
        {
            "flip": {"kind": "Cluster.management.cattle.io", "labels": {"env": "prod"}},
            "probes": [{"name": "flip", "until": "BundleDeployment"}],
        },
        SETTLE,
        subject={"controller": "fleet", "options": {"workers": 5}},
        expect=["completeness.Secret == 1", "completeness.BundleDeployment == 1", "load.failures == 0"],
    )
    options = ("--cluster", "kubeconfig", "--context", "through-the-proxy", "--kubeconfig", str(kubeconfig))
    with FaultedRun(tmp_path, what, *options) as run:
        code, shown = run.finish()
        assert (code, shown.verdict) == (0, "passed"), shown.reasons
        run.assert_nothing_left()
    for rule, least in (
        (throttled, 2 * COUNT),
        (forgetful, COUNT),
        (broken, 3 * COUNT),
        (cut_before, COUNT),
        (cut_after, COUNT),
    ):
        assert rule.done == least, rule.do
    assert stalled.done == COUNT
    assert all(rule.done for rule in (gone, refused, cut, twice))
    record = run.record
    attempts = dict(record.sql("SELECT phase, count(*) FROM requests WHERE kind = 'Secret' GROUP BY phase"))
    assert attempts == {
        "create-Secret": COUNT,
        "create-Secret-2": 4 * COUNT,
        "create-Secret-3": 4 * COUNT,
        "create-Secret-4": 3 * COUNT,
        "create-Secret-5": COUNT,
    }
    slow = "SELECT min(done_ns - sent_ns) FROM requests WHERE phase = 'create-Secret-5'"
    assert record.sql(slow)[0][0] > STALL_S * 1e9, "the stall is in the record"
    most = "SELECT max(value) FROM samples WHERE metric = 'objects' AND labels->>'kind' = 'Secret'"
    assert record.sql(most)[0][0] == 5 * COUNT, "an object that is told twice is one"
    early = "SELECT count(*) FROM propagation WHERE seen_ns IS NULL OR seen_ns < sent_ns"
    assert record.sql(early) == [(0,)]
    assert _left_in(cluster, run.run_id) == []


def test_the_api_server_is_killed_and_etcd_stands_still_meanwhile(
    cluster: EmbeddedCluster, cluster_loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> None:
    def restart_again() -> None:
        """Once more while the run cleans up after itself."""
        asyncio.run_coroutine_threadsafe(cluster.restart_apiserver(), cluster_loop).result(120)

    load = {"create": {"kind": "Secret", "count": 300, "size": "500B", "rate": "50/s"}}
    options = (
        *("--cluster", "kubeconfig", "--context", cluster.name, "--kubeconfig", str(cluster.kubeconfig)),
        *("--subject-role", "view"),
    )
    what = scenario(load, {"pause": "1s"}, load, SETTLE, expect=["completeness.Secret == 1", "load.failures == 0"])
    with FaultedRun(tmp_path, what, *options) as run:
        run.until(sent_in("create-Secret"))
        os.kill(cluster.pids["kube-apiserver"], signal.SIGKILL)
        time.sleep(DOWN_S)
        restart_again()
        run.until(sent_in("create-Secret-2"))
        os.kill(cluster.pids["etcd"], signal.SIGSTOP)
        try:
            time.sleep(STALL_S)
        finally:
            os.kill(cluster.pids["etcd"], signal.SIGCONT)
        run.until(phase_began("end"))
        again = threading.Thread(target=restart_again)
        again.start()
        code, shown = run.finish()
        again.join()
        run.assert_nothing_left()
    record = run.record
    (asked, done), *_ = record.sql(
        "SELECT count(DISTINCT name), count(DISTINCT name) FILTER (error IS NULL) FROM requests"
    )
    most = "SELECT max(value) FROM samples WHERE metric = 'objects' AND labels->>'kind' = 'Secret'"
    ((seen,),) = record.sql(most)
    assert asked == 600
    assert done <= seen <= asked, "what was carried out although its answer was lost is seen, and nothing that was not"
    if done == asked:  # the server was back before the load lost its patience, which is about six seconds
        assert [reason for reason in shown.reasons if "short; the machine or the API server" not in reason] == []
        assert (code, shown.verdict) in ((0, "passed"), (3, "invalid"))
        assert shown.results["completeness.Secret"].value == 1
    else:
        assert shown.verdict in ("failed", "invalid")
    assert record.sql("SELECT count(*) FROM requests WHERE attempt > 1 AND phase = 'create-Secret'")[0][0] > 0
    longest = "SELECT max(done_ns - intended_ns) FROM requests WHERE phase = 'create-Secret-2'"
    assert record.sql(longest)[0][0] > 0.9 * STALL_S * 1e9, "what was waited for is in the record"
    stayed = ("still", "could not be removed", "could not be looked at")
    assert [warning for warning in shown.warnings if any(word in warning for word in stayed)] == []
    assert _left_in(cluster, run.run_id) == []
