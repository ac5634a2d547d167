"""Collectors that need the API, against a real one."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from harness.cluster.embedded import EmbeddedCluster
from harness.cluster.setup import prepare
from harness.collectors.audit import AuditCollector
from harness.collectors.latency import LatencyCollector
from harness.core import kinds
from harness.core.errors import RunFault
from harness.core.handles import Expected, ProbeSpec, Target
from harness.core.ids import RUN_LABEL, new_run_id, subject_user
from harness.kube.api import Api
from harness.kube.errors import ApiError
from harness.kube.rbac import CLUSTER_ADMIN, WATCHER, bind
from tests.collecting import ListSink, ProcessSubject, context

pytestmark = pytest.mark.cluster

SECRET = kinds.find("Secret")
BUNDLE = kinds.find("Bundle")
DEPLOYMENT = kinds.find("BundleDeployment")
ROLE = kinds.Kind("rbac.authorization.k8s.io", "v1", "Role", "roles", namespaced=True)
NAMESPACE_KIND = kinds.find("Namespace")


def _object(kind: kinds.Kind, name: str, labels: dict[str, str], **content: object) -> dict[str, object]:
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name, "labels": labels},
        **content,
    }


async def _until(condition: Callable[[], object], limit_s: float = 20.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110  # what is waited for is a plain value
            await asyncio.sleep(0.01)


def test_latency_of_effects_objects_and_matches(embedded: EmbeddedCluster, capsys: pytest.CaptureFixture[str]) -> None:
    count = 100
    run_id = new_run_id()
    mark = {RUN_LABEL: run_id}

    async def scenario() -> tuple[ListSink, list[float], str]:
        sink = ListSink()
        clock = sink.clock
        async with await Api.connect(embedded.kubeconfig) as api:
            namespace = await prepare(api, run_id)
            await api.ensure_namespace(f"cluster-{run_id}")
            watcher = await embedded.identity("harness:watcher")
            await bind(api, "harness:watcher", WATCHER, run_id)
            labels = [
                {"fleet.cattle.io/bundle-name": f"b-{i}", "fleet.cattle.io/bundle-namespace": namespace}
                for i in range(count)
            ]
            deployed = [Target(f"cause-{i}", labels[i]) for i in range(count)]
            collector = LatencyCollector()
            await collector.attach(
                context(
                    sink,
                    ProcessSubject(),
                    run_id=run_id,
                    namespace=namespace,
                    watcher_kubeconfig=watcher,
                    kinds=[SECRET, DEPLOYMENT],
                    expected=[
                        Expected(SECRET, 5, namespace, mark),
                        Expected(DEPLOYMENT, count + 1, None, {"fleet.cattle.io/bundle-namespace": namespace}),
                    ],
                    probes=[
                        ProbeSpec("flip", "flip", DEPLOYMENT, None, deployed),
                        ProbeSpec("deployed", "flip", DEPLOYMENT, "Ready", deployed),
                    ],
                )
            )
            await api.create(SECRET, _object(SECRET, "elsewhere", {}), "default")
            for i in range(4):
                await api.create(SECRET, _object(SECRET, f"s-{i}", mark), namespace)
            await api.delete(SECRET, "s-0", namespace)
            acked: dict[str, int] = {}
            for i in range(count):
                sent_ns = clock.now_ns()
                await api.create(DEPLOYMENT, _object(DEPLOYMENT, f"b-{i}", labels[i], spec={}), f"cluster-{run_id}")
                acked[f"b-{i}"] = clock.now_ns()
                # As the runner does it: told in batches, mostly after the effect was seen.
                asyncio.get_running_loop().call_later(
                    0.05, collector.cause, "flip", f"cause-{i}", sent_ns, sent_ns, acked[f"b-{i}"]
                )
                await asyncio.sleep(0.002)
            await _until(lambda: sum(row.probe == "flip" for row in sink.rows) == count)
            assert collector.missing() == count
            ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
            for i in range(count - 1):
                await api.merge_patch(DEPLOYMENT, f"b-{i}", ready, f"cluster-{run_id}", subresource="status")
            await _until(lambda: collector.missing() == 1)
            await asyncio.sleep(0.3)
            assert 0.2 < collector.quiet_seconds() < 20
            await collector.detach()
            await collector.detach()
            await api.delete(SECRET, "elsewhere", "default")
        lags = [(row.seen_ns - acked[row.name]) / 1e6 for row in sink.rows if row.probe == "flip" and row.seen_ns]
        return sink, lags, namespace

    sink, lags, _ = asyncio.run(scenario())
    with capsys.disabled():
        lags.sort()
        print(
            f"\nseen after its write was answered: p50 {statistics.median(lags):.2f} ms, max {lags[-1]:.2f} ms", end=" "
        )
    flips = [row for row in sink.rows if row.probe == "flip"]
    assert sorted(row.name for row in flips) == sorted(f"b-{i}" for i in range(count))
    assert all(row.seen_ns is not None and row.seen_ns >= row.sent_ns for row in flips)
    assert {row.namespace for row in flips} == {f"cluster-{run_id}"}
    never = [row for row in sink.rows if row.seen_ns is None]
    assert [(row.probe, row.cause_id) for row in never] == [("deployed", f"cause-{count - 1}")]
    assert sink.last("objects", kind="Secret") == 3
    assert sink.last("objects.matched", kind="Secret") == 4
    assert sink.last("objects.matched", kind="BundleDeployment") == count
    assert sink.last("watch.events", kind="BundleDeployment") == 2 * count - 1
    assert sink.last("watch.events", kind="Secret") == 5


def test_latency_without_rights_is_one_clear_error(embedded: EmbeddedCluster) -> None:
    async def scenario() -> None:
        nobody = await embedded.identity("nobody-in-particular")
        collector = LatencyCollector()
        try:
            await collector.attach(
                context(ListSink(), ProcessSubject(), watcher_kubeconfig=nobody, kinds=[SECRET], expected=[], probes=[])
            )
        finally:
            await collector.detach()

    with pytest.raises(RunFault, match=r"403.*secrets"):
        asyncio.run(scenario())


def test_audit_counts_writes_that_change_nothing_conflicts_and_reads(embedded: EmbeddedCluster) -> None:
    run_id = new_run_id()
    user = subject_user(run_id)

    async def scenario() -> ListSink:
        sink = ListSink()
        async with await Api.connect(embedded.kubeconfig) as admin:
            namespace = await prepare(admin, run_id)
            await bind(admin, user, CLUSTER_ADMIN, run_id)
            kubeconfig = await embedded.identity(user)
            async with await Api.connect(kubeconfig) as api:
                await api.list(BUNDLE, namespace)  # before attach, as a controller's first list is
                collector = AuditCollector()
                run = context(
                    sink,
                    ProcessSubject(user=user),
                    run_id=run_id,
                    namespace=namespace,
                    cluster=embedded,
                    kinds=[BUNDLE, SECRET],
                )
                await collector.attach(run)
                first = await api.create(BUNDLE, _object(BUNDLE, "one", {}, spec={"paused": False}), namespace)
                await api.merge_patch(BUNDLE, "one", {"spec": {"paused": True}}, namespace)
                await api.merge_patch(BUNDLE, "one", {"spec": {"paused": True}}, namespace)  # changes nothing
                await admin.merge_patch(BUNDLE, "one", {"spec": {"paused": False}}, namespace)  # another user
                for _ in range(2):  # the second changes nothing
                    await api.merge_patch(
                        BUNDLE, "one", {"status": {"display": {"state": "Ready"}}}, namespace, subresource="status"
                    )
                stale = {**first, "spec": {"paused": True}}
                with suppress(ApiError):
                    await api.transport.request_json("PUT", BUNDLE.path(namespace, "one"), body=stale)
                await api.get(BUNDLE, "one", namespace)
                await api.create(SECRET, _object(SECRET, "hidden", {}), namespace)
                await api.delete(BUNDLE, "one", namespace)
                await api.create(ROLE, _object(ROLE, "other", {}, rules=[]), namespace)
                for _ in range(2):  # the second changes nothing, of a kind that is neither the scenario's nor ours
                    await api.merge_patch(ROLE, "other", {"metadata": {"labels": {"a": "b"}}}, namespace)
                held = _object(BUNDLE, "held", {}, spec={})
                held["metadata"] = {"name": "held", "finalizers": ["example.com/held"]}
                await api.create(BUNDLE, held, namespace)
                await api.delete(BUNDLE, "held", namespace)  # has only begun
                await api.merge_patch(BUNDLE, "held", {"metadata": {"finalizers": None}}, namespace)
                await collector.detach()
                await collector.detach()
        return sink

    sink = asyncio.run(scenario())
    patch = {"kind": "Bundle", "verb": "patch"}
    status = {**patch, "subresource": "status"}
    assert sink.last("writes.total", **patch) == 2 + 1  # the last one removes the finalizer
    assert sink.last("writes.noop", **patch) == 1
    assert sink.last("writes.total", **status) == 2
    assert sink.last("writes.noop", **status) == 1
    assert sink.last("writes.total", kind="Bundle", verb="create") == 2
    assert sink.last("writes.total", kind="Secret", verb="create") == 1
    assert sink.last("writes.total", kind="Bundle", verb="delete") == 2
    other = {"kind": "roles.rbac.authorization.k8s.io", "verb": "patch"}
    assert (sink.last("writes.total", **other), sink.last("writes.noop", **other)) == (2, 1)
    assert sink.last("writes.conflict", kind="Bundle", verb="update") == 1
    assert sink.last("api.requests", kind="Bundle", verb="list") == 1
    assert sink.last("api.requests", kind="Bundle", verb="get") == 1
    first_read = sink.last("startup.first_read", kind="Bundle")
    assert first_read is not None
    assert -5 < first_read < 60
    (summary,) = sink.of("audit")
    assert summary["broken_lines"] == 0
    assert summary["unjudged_writes"] == 0


def test_audit_log_of_a_provider_without_one() -> None:
    class NoLog:
        audit_log: Path | None = None
        audit_reason = "this provider has no audit log"

    with pytest.raises(Exception, match="provider has no audit log"):
        asyncio.run(AuditCollector().attach(context(ListSink(), ProcessSubject(), cluster=NoLog())))
