"""A control plane of the run's own that breaks down or is full: the run ends and says so, with all that was seen until then."""

from __future__ import annotations

import os
import shlex
import signal
from pathlib import Path

import pytest

from harness.toolchain import controlplane
from tests.faults.faulted_run import SETTLE, FaultedRun, requests_recorded, scenario

pytestmark = pytest.mark.cluster

ENDLESS = {"create": {"kind": "Secret", "count": 20_000, "size": "500B", "rate": "100/s"}}
# Not all at once: etcd knows what it has taken when that is on its disk, a tenth of a second later.
LARGE = {"create": {"kind": "Secret", "count": 80, "size": "400KB", "rate": "20/s", "timeout": "60s"}}
QUOTA = 16 << 20


def _full_etcd(place: Path) -> Path:
    """The control plane's binary, whose etcd takes 16 MiB and no more."""
    binary = controlplane.cached()
    assert binary is not None
    wrapper = place / "controlplane"
    wrapper.write_text(
        f"""#!/bin/sh
for word in "$@"; do
  shift
  case "$word" in --quota-backend-bytes=*) word=--quota-backend-bytes={QUOTA};; esac
  set -- "$@" "$word"
done
exec {shlex.quote(str(binary))} "$@"
"""
    )
    wrapper.chmod(0o755)
    return wrapper


def test_an_api_server_of_the_runs_own_that_is_killed_ends_the_run(tmp_path: Path) -> None:
    with FaultedRun(tmp_path, scenario(ENDLESS, SETTLE)) as run:
        run.until(requests_recorded)
        (server,) = run.children(" kube-apiserver ")
        os.kill(server.pid, signal.SIGKILL)
        code, shown = run.finish()
        run.assert_nothing_left()
    assert (code, shown.verdict) == (3, "error")
    (reason,) = shown.reasons
    assert reason.endswith("/control-plane: the cluster broke down: kube-apiserver ended (killed by SIGKILL)")
    assert run.record.run.state == "sealed"
    assert run.record.sql("SELECT count(*) FROM requests WHERE error IS NULL")[0][0] > 0
    assert run.record.sql("SELECT count(*) FROM samples WHERE metric = 'memory.rss'")[0][0] > 0


def test_an_etcd_that_is_full_is_told_in_the_api_servers_words(tmp_path: Path) -> None:
    with FaultedRun(tmp_path, scenario(LARGE, SETTLE), **{controlplane.OVERRIDE: str(_full_etcd(tmp_path))}) as run:
        code, shown = run.finish()
        run.assert_nothing_left()
    assert (code, shown.verdict) == (3, "invalid"), shown.reasons
    assert "requests succeed; secret-" in shown.reasons[0]
    assert "etcdserver: mvcc: database space exceeded" in shown.reasons[0]
    acknowledged = run.record.sql("SELECT count(DISTINCT name) FROM requests WHERE error IS NULL")[0][0]
    assert 10 <= acknowledged < 80
    # The write that makes etcd notice, and those beside it, are carried out and answered as failed: both counts are told.
    completeness = shown.results["completeness.Secret"].value
    assert completeness is not None
    assert acknowledged <= round(completeness * 80) < 80
    assert shown.reasons[1] == f"incomplete: {completeness * 80:.0f} of 80 Secret exist"
