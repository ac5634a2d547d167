"""What the API server refuses, and what does not go away: each is one line with the object's name and the server's words.

One run meets all of them; the next shows that own kinds can be the object of every step.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness_run import run

pytestmark = pytest.mark.cluster

HOOK = '''
"""Takes the load generator's rights on Widgets and the CRD of Gadgets away, and ends the run's namespace, which a
finalizer keeps from going."""
import asyncio, os, time
from pathlib import Path
from harness.core.kinds import find
from harness.kube.api import Api
from harness.kube.discovery import CLUSTER_ROLE, CRD
from harness.kube.errors import ApiError

async def main():
    namespace = "run-" + os.environ["HARNESS_RUN_ID"]
    held = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "held", "finalizers": ["example.com/never"]}}
    async with await Api.connect(Path(os.environ["KUBECONFIG"])) as api:
        await api.create(find("Secret"), held, namespace)
        role = await api.get(CLUSTER_ROLE, f"harness-{os.environ['HARNESS_RUN_ID']}-loadgen")
        rules = [rule for rule in role["rules"] if rule["resources"] != ["widgets"]]
        metadata = {"name": role["metadata"]["name"], "labels": role["metadata"]["labels"]}
        await api.apply({"apiVersion": CLUSTER_ROLE.api_version, "kind": "ClusterRole", "metadata": metadata, "rules": rules})
        await api.delete(CRD, "gadgets.example.com")
        await api.delete(find("Namespace"), namespace)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                await api.get(CRD, "gadgets.example.com")
            except ApiError:
                return
            await asyncio.sleep(0.05)

asyncio.run(main())
'''


def crd(kind: str) -> dict[str, Any]:
    plural = kind.lower() + "s"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


SECRETS = {"create": {"kind": "Secret", "count": 2, "size": 10}}
QUOTA = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "few"},
    "spec": {"hard": {"count/configmaps": "3"}},
}
ADMISSION = "admissionregistration.k8s.io/v1"
POLICY = {
    "apiVersion": ADMISSION,
    "kind": "ValidatingAdmissionPolicy",
    "metadata": {"name": "small"},
    "spec": {
        "matchConstraints": {
            "resourceRules": [
                {
                    "apiGroups": ["example.com"],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE"],
                    "resources": ["widgets"],
                }
            ]
        },
        "validations": [{"expression": "object.spec.size < 3", "message": "widgets are small here"}],
    },
}
BINDING = {
    "apiVersion": ADMISSION,
    "kind": "ValidatingAdmissionPolicyBinding",
    "metadata": {"name": "small"},
    "spec": {"policyName": "small", "validationActions": ["Deny"]},
}
TEMPLATES = {
    "note.yaml": "apiVersion: v1\nkind: ConfigMap\ndata: {number: '{{ i }}'}\n",
    "widget.yaml": "apiVersion: example.com/v1\nkind: Widget\nspec: {size: {{ i }} }\n",
    "gadget.yaml": "apiVersion: example.com/v1\nkind: Gadget\nspec: {size: {{ i }} }\n",
    "broken.yaml": "apiVersion: example.com/v1\nkind: Gadget\nspec: {size: {{ 6 // (i - 3) }} }\n",
    "stuck.yaml": "apiVersion: example.com/v1\nkind: Stuck\nmetadata: {finalizers: [example.com/never]}\nspec: {}\n",
}


def write(directory: Path, *kinds: str, more: list[dict[str, Any]]) -> None:
    (directory / "setup").mkdir()
    for number, manifest in enumerate([*(crd(kind) for kind in kinds), *more]):
        (directory / "setup" / f"{number}.json").write_text(json.dumps(manifest))
    for name, text in TEMPLATES.items():
        (directory / name).write_text(text)


def create(template: str, count: int) -> dict[str, Any]:
    return {"create": {"template": template, "count": count}}


def test_each_refusal_is_a_line_of_its_own_and_the_run_invalid(tmp_path: Path) -> None:
    write(tmp_path, "Widget", "Gadget", "Stuck", more=[QUOTA, POLICY, BINDING])
    (tmp_path / "hook.py").write_text(HOOK)
    scenario = {
        "name": "refused",
        "summary": "All that an API server refuses.",
        "setup": {"apply": ["setup"]},
        "subject": {"command": ["sleep", "600"]},
        "load": [
            {"parallel": [create("note.yaml", 6), create("widget.yaml", 6), create("broken.yaml", 6)]},
            create("stuck.yaml", 4),
            {"delete": {"kind": "Stuck.example.com"}},
            {"hook": {"command": [sys.executable, str(tmp_path / "hook.py")]}},
            {"parallel": [create("widget.yaml", 2), create("gadget.yaml", 2), SECRETS]},
            {"settle": {"quiet_for": "500ms", "timeout": "20s"}},
        ],
        "collect": ["memory", "latency"],
    }
    code, shown, _ = run(tmp_path, scenario)
    assert (code, shown["verdict"]) == (3, "invalid")
    tail, namespace = shown["run_id"][-5:], shown["namespace"]
    said = {reason.split(" ")[2]: reason for reason in shown["reasons"] if reason.startswith("load phase ")}
    assert "3 of 6" in said["create-ConfigMap"]
    assert f"; configmap-{tail}-0000" in said["create-ConfigMap"]
    assert "is forbidden: exceeded quota: few, requested: count/configmaps=1" in said["create-ConfigMap"]
    assert said["create-Widget.example.com"].endswith(
        f'made 3 of 6 requests succeed; widget-{tail}-00003: 422 Invalid: widgets.example.com "widget-{tail}-00003" is '
        "forbidden: ValidatingAdmissionPolicy 'small' with binding 'small' denied request: widgets are small here"
    )
    assert f"5 of 6 requests succeed; gadget-{tail}-00003: broken.yaml" in said["create-Gadget.example.com"]
    assert f"gadget-{tail}-s2-00000: 404 " in said["create-Gadget.example.com-2"]
    forbidden = 'widgets.example.com is forbidden: User "harness:loadgen" cannot create resource "widgets" in API group'
    assert f"widget-{tail}-s2-00000: 403 Forbidden: {forbidden}" in said["create-Widget.example.com-2"]
    assert f"secret-{tail}-00000: 403 Forbidden: " in said["create-Secret"]
    assert f"in namespace {namespace} because it is being terminated" in said["create-Secret"]
    stuck = [
        reason
        for reason in shown["reasons"]
        if reason.startswith("4 Stuck.example.com exist that the load has deleted")
    ]
    # any of the four: the load deletes them at the same time
    assert re.search(rf"; stuck-{tail}-0000[0-3] waits for its finalizers example\.com/never$", stuck[0])
    assert not any("\n" in reason for reason in shown["reasons"])


def test_own_kinds_are_the_object_of_every_step(tmp_path: Path) -> None:
    write(tmp_path, "Widget", more=[])
    scenario = {
        "name": "vocabulary",
        "summary": "Every step on a kind of one's own.",
        "setup": {"apply": ["setup"]},
        "subject": {"command": ["sleep", "600"]},
        "load": [
            create("widget.yaml", 20),
            {"create": {"kind": "Secret", "count": 4, "size": 10}},
            {"create": {"kind": "ServiceAccount", "count": 2, "uses": "Secret"}},
            {"create": {"kind": "InferenceService", "count": 3, "uses": "ServiceAccount"}},
            {"watch": {"kind": "Widget.example.com", "watchers": 2}},
            {"patch": {"kind": "Widget.example.com", "spec": {"size": 0}, "labels": {"seen": "yes"}, "count": 8}},
            {"list": {"kind": "Widget.example.com", "selector": {"seen": "yes"}}},
            {"churn": {"kind": "Widget.example.com", "percentage": "50%", "cycles": 2, "delay": "200ms"}},
            {"read": {"kind": "Widget.example.com", "count": 5}},
            {"delete": {"kind": "Widget.example.com", "count": 5}},
            {"settle": {"quiet_for": "500ms", "timeout": "20s"}},
        ],
        "collect": ["memory", "latency"],
        "expect": [
            "completeness.Widget.example.com == 1",
            "completeness.ServiceAccount == 1",
            "completeness.InferenceService == 1",
            "load.failures == 0",
        ],
    }
    code, shown, record = run(tmp_path, scenario)
    assert (code, shown["verdict"]) == (0, "passed"), shown["reasons"]
    expected = {item.kind: item.count for item in record.run.expected}
    assert expected == {
        "Widget.example.com": 15, "Secret": 4, "ServiceAccount": 2, "InferenceService": 3,
    }  # fmt: skip
    verbs = dict(record.sql("SELECT verb, count(*) FROM requests WHERE error IS NULL GROUP BY verb"))
    assert verbs == {"create": 20 + 20 + 9, "watch": 2, "patch": 8, "list": 1, "delete": 20 + 5, "get": 5}
    # Each watcher saw 20 made, 8 patched, and 20 deleted and made again.
    (events,) = record.sql("SELECT max(value) FROM samples WHERE metric = 'load.watch_events'")[0]
    assert events >= 2 * (20 + 8 + 40)
