"""`label-flip` with a command that does only a part of what it expects, told on the command line as a real Fleet is.

The command is our own reference controller, started as anybody's program; its Clusters and Bundles are the load's.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from harness.core.paths import data_dir
from tests.integration import harness_run

pytestmark = pytest.mark.cluster

SERVED = "127.0.0.1:{port:metrics}"


def test_bundles_and_registered_clusters_of_the_load_are_what_a_foreign_controller_works_on(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "harness.controllers.fleet", "--kubeconfig", "{kubeconfig}"]
    command += ["--metrics-bind-address", SERVED, "--status_patch=always"]
    sets = ["bundles_from=load", "flip_kind=Cluster.fleet.cattle.io", "deployed=false", "registered=true"]
    # So many that edits and writes of statuses go on beside each other for seconds, whoever begins late.
    sets += ["matching=2", "repos=100", "edits=500"]
    code, shown, record = harness_run.run(
        tmp_path, "label-flip", "--profile", "quick", *(word for each in sets for word in ("--set", each)),
        "--subject", shlex.join(command), "--subject-env", "PYTHONHASHSEED=0", "--subject-env", "API_TOKEN=hidden",
        "--subject-metrics", f"http://{SERVED}/metrics", "--subject-ready", f"http://{SERVED}/readyz",
        "--apply", str(data_dir("manifests") / "crds"),
    )  # fmt: skip
    results = shown["results"]
    assert (code, shown["verdict"]) == (0, "passed"), shown["reasons"]
    assert results["completeness.BundleDeployment"]["value"] == 1
    assert results["latency.flip.p99"]["value"] is not None
    assert "latency.deployed.p99" not in results
    assert results["reconciles.total"]["value"] >= 500
    assert shown["subject"]["environment"] == {"PYTHONHASHSEED": "0", "API_TOKEN": "REDACTED"}
    assert {item["kind"] for item in shown["expected"]} == {"Cluster.fleet.cattle.io", "Bundle", "BundleDeployment"}
    # The load annotates each Bundle while the controller writes their statuses.
    assert record.sql("SELECT count(*) FROM requests WHERE kind = 'Bundle' AND verb = 'patch'") == [(500,)]
    conflicts, reconciles = results["writes.conflict"]["value"], results["reconciles.total"]["value"]
    assert conflicts > 0
    assert results["conflicts.per_reconcile"]["value"] == pytest.approx(conflicts / reconciles)
    # Created, registered, flipped. The reference controller registers Clusters too; where the effects are, is one of the two.
    verbs = record.sql("SELECT verb, count(*) FROM requests WHERE kind = 'Cluster.fleet.cattle.io' GROUP BY verb")
    assert dict(verbs) == {"create": 1, "patch": 2}
    assert record.sql("SELECT max(status) FROM requests WHERE verb = 'patch'") == [(200,)]
    (namespaces,) = record.sql("SELECT count(DISTINCT namespace) FROM propagation")
    assert namespaces == (1,)
