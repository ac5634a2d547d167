"""The reference controller `kserve` on a real API server: what it asks for with each switch, and that it comes to the same."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.embedded import EmbeddedCluster
from harness.core.kinds import Kind, find
from harness.kube.api import Api
from harness.process.ports import claim_port
from harness.subject import webhooks
from tests.integration.controller_process import Running, controller, until
from tests.integration.harness_run import run as harness_run

pytestmark = pytest.mark.cluster

SECRET, ACCOUNT, SERVICE = find("Secret"), find("ServiceAccount"), find("InferenceService")
CONFIGURATION = Kind(
    "admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations",
    namespaced=False,
)  # fmt: skip
WEBHOOKS = Path(__file__).parents[2] / "harness" / "scenarios" / "kserve" / "webhooks.yaml"
OTHERS = 12


async def with_secrets(api: Api, namespace: str) -> None:
    """Two Secrets that are used, and others; one of the two used has a label."""
    for name in ("used-0", "used-1", *(f"other-{number:02d}" for number in range(OTHERS))):
        labels = {"tier": "gold"} if name == "used-0" else {}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": labels}}
        await api.create(SECRET, body | {"stringData": {"key": f"of {name}"}}, namespace)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "models"}}
    await api.create(ACCOUNT, account | {"secrets": [{"name": "used-0"}, {"name": "used-1"}]}, namespace)


async def serve(run: Running, name: str = "model") -> dict[str, Any]:
    """Create an InferenceService; its status when it is ready."""
    await run.make(SERVICE, name, spec={"predictor": {"serviceAccountName": "models"}})
    status: dict[str, Any] = {}

    async def ready() -> bool:
        nonlocal status
        status = (await run.api.get(SERVICE, name, run.namespace)).get("status") or {}
        return any(item["type"] == "Ready" and item["status"] == "True" for item in status.get("conditions") or [])

    await until(ready, f"{name} is not ready")
    return status


def digest() -> str:
    """What is in both Secrets that are used."""
    parts = [(name, base64.b64encode(f"of {name}".encode()).decode()) for name in ("used-0", "used-1")]
    return hashlib.sha256("".join(f"{name}\0key\0{value}" for name, value in parts).encode()).hexdigest()[:16]


def asked(run: Running) -> tuple[int, int, int]:
    """Lists, watches and single reads of Secrets that it sent."""
    of_all = [seen for seen in run.proxy.of("secrets") if seen.path.endswith("/secrets")]
    watches = sum("watch" in seen.query for seen in of_all)
    return len(of_all) - watches, watches, sum("/secrets/" in seen.path for seen in run.proxy.requests)


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        (("--secrets=get",), (0, 0, 2)),
        (("--secrets=auto", "--threshold=5", "--page_size=4"), (2, 0, 2)),  # the second page goes over it: no third
        (("--secrets=cache", "--selector=tier=gold"), (1, 1, 1)),
        (("--secrets=cache", "--page_size=4"), (4, 1, 0)),
        (("--secrets=cache", "--namespaces=elsewhere"), (1, 1, 2)),
    ],
)
def test_each_switch_asks_for_less_or_otherwise_and_finds_the_same(
    embedded: EmbeddedCluster, tmp_path: Path, switches: tuple[str, ...], expected: tuple[int, int, int]
) -> None:
    async def scenario() -> None:
        async with controller(embedded, tmp_path, "kserve", *switches, before=with_secrets) as run:
            status = await serve(run)
            assert status["credentials"] == {"secrets": 2, "digest": digest()}
            assert asked(run) == expected, [(s.method, s.path, s.query) for s in run.proxy.requests]
            lists = [seen for seen in run.proxy.of("secrets") if seen.path.endswith("/secrets")]
            if "--selector=tier=gold" in switches:
                assert {seen.query["labelSelector"] for seen in lists} == {"tier=gold"}
            if "--page_size=4" in switches:
                assert {seen.query["limit"] for seen in lists if "watch" not in seen.query} == {"4"}
            if "--namespaces=elsewhere" in switches:
                assert all("/namespaces/elsewhere/" in seen.path for seen in lists)
            numbers = await run.numbers()
            dropped = "--threshold=5" in switches
            assert numbers['kserve_cache_drops_total{cause="threshold"}'] == dropped
            assert numbers.get("kserve_secrets_cached", 0.0) == {
                "--secrets=get": 0, "--threshold=5": 0, "--selector=tier=gold": 1, "--namespaces=elsewhere": 0
            }.get(switches[-1] if not dropped else "--threshold=5", 2 + OTHERS)  # fmt: skip

    asyncio.run(scenario())


async def called(run: Running) -> None:
    """The API server hears of a webhook a moment after it was stored."""
    probe = {
        "apiVersion": SERVICE.api_version, "kind": SERVICE.kind, "metadata": {"name": "probe"},
        "spec": {"predictor": {}},
    }  # fmt: skip

    async def asked_it() -> bool:
        path = SERVICE.path(run.namespace)
        made = await run.api.transport.request_json("POST", path, query={"dryRun": "All"}, body=probe)
        return "harness.dev/credentials" in (made["metadata"].get("annotations") or {})

    await until(asked_it, "the API server does not call the webhook")


def test_the_webhook_looks_up_credentials_at_admission_and_what_is_missing_is_found_later(
    embedded: EmbeddedCluster, tmp_path: Path
) -> None:
    async def scenario() -> None:
        private = tmp_path / "private"
        private.mkdir(mode=0o700)
        certificate = webhooks.certify(private)
        port = claim_port()
        async with controller(
            embedded, tmp_path, "kserve", "--secrets=get", f"--webhook-bind-address=127.0.0.1:{port}",
            f"--webhook-cert-dir={private}", before=with_secrets,
        ) as run:  # fmt: skip
            manifests = webhooks.load([WEBHOOKS])
            try:
                await webhooks.install(run.api, manifests, port, certificate.ca_pem)
                await called(run)
                await serve(run)
                made = await run.api.get(SERVICE, "model", run.namespace)
                assert made["metadata"]["annotations"]["harness.dev/credentials"] == "2"
                assert (await run.numbers())['kserve_admission_reviews_total{result="allowed"}'] >= 1
                assert asked(run) == (0, 0, 4)  # two at admission, two more in the reconcile
                early = {"annotations": {"serving.kserve.io/storageSecretName": "late"}}
                await run.make(SERVICE, "early", metadata=early, spec={"predictor": {}})

                async def refused() -> bool:
                    status = (await run.api.get(SERVICE, "early", run.namespace)).get("status") or {}
                    return [(c["status"], c.get("message")) for c in status.get("conditions") or []] == [
                        ("False", "Secret late")
                    ]

                await until(refused)
                await run.make(SECRET, "late", stringData={"key": "value"})

                async def found() -> bool:
                    status = (await run.api.get(SERVICE, "early", run.namespace)).get("status") or {}
                    return bool(status["credentials"]["secrets"] == 1)

                await until(found)
            finally:
                for manifest in manifests:
                    await run.api.delete(CONFIGURATION, manifest["metadata"]["name"])

    asyncio.run(scenario())


def test_under_pressure_it_warns_then_drops_its_cache_and_lives_where_it_would_be_killed(tmp_path: Path) -> None:
    # Twice the headroom in Secrets: with degrade_under_pressure=off the kernel kills it (`harness claims 5` shows that).
    small = ["--set", "secrets=2000", "--set", "size=16KB", "--profile", "quick", "--no-history"]
    code, shown, record = harness_run(tmp_path, "kserve-secrets-8k", "--arm", "degrade", *small)
    assert (code, shown["verdict"]) == (0, "passed"), shown["reasons"]
    seen = "SELECT min(t_ns) FROM samples WHERE metric = ? AND labels LIKE ? AND value = 1"
    ((alerted,),) = record.sql(seen, ["kserve_memory_alert", "%"])
    ((dropped,),) = record.sql(seen, ["kserve_cache_drops_total", "%pressure%"])
    assert alerted is not None
    assert dropped is not None
    assert alerted <= dropped
