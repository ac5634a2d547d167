"""The load generator's role allows what steps can ask for, and nothing else."""

from __future__ import annotations

from typing import Any

import yaml

from harness.core.paths import data_dir
from harness.scenario.traffic import CHANGEABLE, READABLE, REMOVABLE


def test_the_role_allows_each_step_its_verbs_and_has_no_others() -> None:
    role: dict[str, Any] = yaml.safe_load((data_dir("manifests") / "rbac" / "loadgen.yaml").read_text())
    allowed = {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    for kind in READABLE:
        assert allowed[kind.group, kind.plural] >= {"list", "watch"}
    for kind in CHANGEABLE:
        assert allowed[kind.group, kind.plural] >= {"get", "patch", "create"}
    for kind in REMOVABLE:
        assert "delete" in allowed[kind.group, kind.plural]
    assert set().union(*allowed.values()) == {"create", "patch", "get", "list", "watch", "delete"}
