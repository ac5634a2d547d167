"""A load that etcd could not hold is refused before anything starts; one that it does not hold any more ends the run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness.cluster.choice import ClusterChoice
from harness.core import etcd
from harness.core.errors import EnvironmentFault, ExitCode, UsageError
from harness.experiment import preflight, quota
from harness.experiment.observe import Observation
from harness.experiment.options import RunOptions
from harness.scenario.load import load
from harness.scenario.model import Scenario
from harness.scenario.resolve import resolve
from tests.collecting import ListSink


class Usage(NamedTuple):
    total: int
    used: int
    free: int


LARGE = {"secrets": "400000", "size": "32KB"}


def of(**sets: str) -> Scenario:
    return resolve(load("native-secrets-8k"), sets=sets)


def options(provider: str = "embedded", **changes: Any) -> RunOptions:
    return RunOptions(out=Path("unused"), cluster=ClusterChoice(provider), **changes)


def test_a_load_above_the_quota_is_one_line_with_the_figures_and_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2**50, 0, 2**50))
    with pytest.raises(UsageError) as caught:
        quota.check(of(**LARGE), options())
    assert str(caught.value) == (
        "native-secrets-8k: the load needs about 13.4 GiB in etcd (400,120 objects and 0 older revisions), more than its quota "
        "of 8.0 GiB; add --set etcd_quota=14Gi, or create fewer or smaller objects"
    )
    assert caught.value.exit_code == ExitCode.USAGE
    quota.check(of(**LARGE, etcd_quota="14Gi"), options())  # what it says is enough
    with pytest.raises(UsageError, match=r"quota of 24\.0 MiB"):
        quota.check(of(etcd_quota="24Mi"), options("kind"))


def test_a_disk_too_small_for_the_load_is_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2**40, 2**40 - 2**20, 2**20))
    with pytest.raises(EnvironmentFault, match=r"needs about .* in etcd .*, and 1\.0 MiB are free there; .*TMPDIR"):
        quota.check(of(), options())
    quota.check(of(), options("kind"))  # its disk is Docker's


def test_a_cluster_of_somebody_else_has_a_quota_that_is_not_known() -> None:
    quota.check(of(**LARGE), options("kubeconfig"))
    assert "its quota" not in (quota.remark(of(**LARGE), options("kubeconfig")) or "")
    assert "13.4 GiB in etcd" in (quota.remark(of(**LARGE), options("kubeconfig")) or "")
    assert quota.remark(of(), options("kubeconfig")) is None
    assert quota.remark(of(**LARGE), options()) is None
    with pytest.raises(UsageError, match=r"cannot be chosen; leave out etcd_quota"):
        quota.check(of(etcd_quota="4Gi"), options("kubeconfig"))


def test_nothing_is_sent_while_somebody_else_is_observed() -> None:
    quota.check(of(**LARGE), options(observe=Observation(None)))


def test_it_is_asked_before_anything_starts(tmp_path: Path) -> None:
    scenario = of(etcd_quota="24Mi", memory_limit="null")
    with pytest.raises(UsageError, match="more than its quota"):
        preflight.check([scenario], RunOptions(out=tmp_path), tmp_path)


def test_only_a_full_etcd_ends_the_run() -> None:
    sink = ListSink()
    assert quota.told("500 InternalError: etcdserver: request timed out", sink) is None
    assert not sink.of(etcd.EVENT)
    full = quota.told("create-Secret: 500 Unknown: etcdserver: mvcc: database space exceeded", sink)
    assert full is not None
    assert "NOSPACE" in str(full)
    assert [event["message"] for event in sink.of(etcd.EVENT)] == [str(full)]
