"""Plans for the tests of the load generator."""

from __future__ import annotations

from typing import Any

RUN = "20261122-093015-k4x7q"
NAMESPACE = f"run-{RUN}"


def phase(name: str = "create-Secret", **changes: Any) -> dict[str, Any]:
    """A create phase of Secrets, with `changes`."""
    return {
        "name": name,
        "action": "create",
        "kind": "Secret",
        "api_version": "v1",
        "object_kind": "Secret",
        "path": f"/api/v1/namespaces/{NAMESPACE}/secrets",
        "namespaced": True,
        "count": 3,
        "rate": None,
        "concurrency": 2,
        "timeout_s": 30,
        "names": name.lower() + "-k4x7q-{i:05d}",
        "params": {"size": [16, 64]},
    } | changes


def plan(*phases: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A plan of `phases`, with `changes` to its own fields."""
    return {
        "schema": "harness.plan/v1",
        "run_id": RUN,
        "seed": 7,
        "origin_ns": 0,
        "server": "http://127.0.0.1:1",
        "ca_file": None,
        "cert_file": None,
        "key_file": None,
        "namespace": NAMESPACE,
        "labels": {"harness.dev/run": RUN},
        "phases": list(phases),
    } | changes


SELECTION = {"matching": [1], "selector": {"env": "prod"}, "other": {"env": "other"}}
