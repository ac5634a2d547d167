"""etcd's quota for real: refused beforehand where it is known, one clear line where it is met."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cluster import embedded as provider
from harness.cluster.embedded import EmbeddedCluster, EmbeddedOptions
from harness.core import etcd
from harness.record.reader import RunRecord
from tests.integration.conftest import Printed
from tests.integration.test_guest import harness

pytestmark = pytest.mark.cluster

QUOTA = 48 * 2**20
SCENARIO = {
    "name": "full",
    "summary": "80 MB of Secrets into an etcd that takes 48 MiB.",
    "subject": {"controller": "watcher"},
    "load": [
        {"create": {"kind": "Secret", "count": 400, "size": "200KB"}},
        {"settle": {"quiet_for": "1s", "timeout": "1m"}},
    ],
    "expect": ["completeness.Secret == 1"],
}


@pytest.fixture(scope="module")
def small(
    cluster_loop: asyncio.AbstractEventLoop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedCluster]:
    """A cluster whose etcd has a small quota, of which its guest knows nothing."""
    starting = provider.start(
        name="small",
        work_dir=tmp_path_factory.mktemp("small"),
        run_id="20260101-000000-small",
        progress=Printed(),
        options=EmbeddedOptions(etcd_quota=QUOTA),
    )
    cluster = asyncio.run_coroutine_threadsafe(starting, cluster_loop).result(timeout=3600)
    try:
        yield cluster
    finally:
        asyncio.run_coroutine_threadsafe(cluster.stop(), cluster_loop).result(timeout=60)


def test_a_run_that_would_not_fit_never_begins(tmp_path: Path) -> None:
    done = harness("run", "secrets-8k", "--set", "etcd_quota=32Mi", "--out", str(tmp_path / "runs"))
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert (
        "in etcd (8,000 objects and 0 older revisions), more than its quota of 32.0 MiB; add --set etcd_quota=1Gi"
        in line
    )
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


def test_an_etcd_that_fills_up_is_told_as_such_and_the_run_is_invalid(small: EmbeddedCluster, tmp_path: Path) -> None:
    path = tmp_path / "full.yaml"
    path.write_text(json.dumps(SCENARIO))
    done = harness(
        "run", str(path), "--cluster", "kubeconfig", "--kubeconfig", str(small.kubeconfig), "--context", "small",
        "--out", str(tmp_path / "runs"), "--json",
    )  # fmt: skip
    assert done.stdout, done.stderr
    shown = json.loads(done.stdout)
    assert (done.returncode, shown["verdict"], shown["reasons"]) == (3, "invalid", [etcd.SENTENCE])
    record = RunRecord(Path(shown["path"]))
    assert {event["message"] for event in record.events(etcd.EVENT)} == {etcd.SENTENCE}
    # The load ended there: what is refused for good is not tried again and again.
    assert record.sql("SELECT count(*) FROM requests WHERE attempt > 2") == [(0,)]
