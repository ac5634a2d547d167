"""What a guest may do: the roles of its identities, and what is refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness.cluster.accounts import account_name
from harness.cluster.choice import ClusterChoice
from harness.cluster.setup import _reduced
from harness.core.errors import UsageError
from harness.core.kinds import find
from harness.core.paths import data_dir
from harness.experiment.options import RunOptions
from harness.experiment.preflight import _guest
from harness.scenario.load import load
from harness.scenario.model import Scenario
from harness.scenario.resolve import resolve

WEBHOOKS = """
name: hooks
summary: A subject that serves admission webhooks.
subject: {command: ["true"], webhooks: {port: hooks, configurations: [hooks.yaml]}}
load: [{create: {kind: Secret, count: 1, size: 1KB}}]
"""


def rules(name: str, *kinds: str) -> list[dict[str, list[str]]]:
    role = yaml.safe_load((data_dir("manifests") / "rbac" / name).read_text())
    found = [_reduced(rule, [find(kind) for kind in kinds]) for rule in role["rules"]]
    return [rule for rule in found if rule]


def test_roles_of_a_guest_know_the_kinds_of_its_scenario_only() -> None:
    (one,) = rules("loadgen.yaml", "Secret")
    assert one["resources"] == ["secrets"]
    watcher = rules("watcher.yaml", "Secret", "GitRepo")
    assert [rule.get("resources", rule.get("nonResourceURLs")) for rule in watcher] == [
        ["/metrics"],
        ["secrets"],
        ["gitrepos"],
    ]
    statuses = [r for rule in rules("loadgen.yaml", "Cluster.fleet.cattle.io") for r in rule["resources"]]
    assert statuses == ["clusters", "clusters/status"]
    assert rules("loadgen.yaml") == []


def test_names_of_accounts() -> None:
    assert account_name("harness:subject:20260101-000000-guest", "20260101-000000-guest") == "harness-subject"
    assert account_name("harness:watcher", "20260101-000000-guest") == "harness-watcher"


def scenario(tmp_path: Path) -> Scenario:
    path = tmp_path / "hooks.yaml"
    path.write_text(WEBHOOKS)
    return resolve(load(str(path)))


def options(tmp_path: Path, provider: str, role: str | None = None) -> RunOptions:
    return RunOptions(out=tmp_path, cluster=ClusterChoice(provider), subject_role=role)


@pytest.mark.parametrize("provider", ["kind", "kubeconfig"])
def test_webhooks_that_cannot_be_called_are_refused(tmp_path: Path, provider: str) -> None:
    with pytest.raises(UsageError, match=f"--cluster {provider} cannot call the webhooks.*use --cluster embedded"):
        _guest(scenario(tmp_path), options(tmp_path, provider))
    _guest(scenario(tmp_path), options(tmp_path, "embedded"))


def test_a_foreign_subject_gets_no_rights_that_nobody_named(tmp_path: Path) -> None:
    smoke = resolve(load("smoke"), arm="pass")
    _guest(smoke, options(tmp_path, "kubeconfig"))  # a reference controller has a role of its own
    foreign = RunOptions(out=tmp_path, cluster=ClusterChoice("kubeconfig"), subject="./manager")
    with pytest.raises(UsageError, match="name a ClusterRole with --subject-role"):
        _guest(smoke, foreign)
    _guest(
        smoke, RunOptions(out=tmp_path, cluster=ClusterChoice("kubeconfig"), subject="./manager", subject_role="view")
    )
