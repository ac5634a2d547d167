"""Detached clusters: whose process is whose, and what may be named."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cluster import detached, provider, state
from harness.cluster.choice import ClusterChoice
from harness.cluster.state import ClusterState
from harness.core.errors import EnvironmentFault, UsageError
from harness.core.handles import Silent
from harness.core.process_id import ProcessId


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path / "state"))


def cluster(holder: ProcessId, name: str = "one") -> ClusterState:
    return ClusterState(
        name=name, provider="embedded", server="https://127.0.0.1:1", version="v1", kubeconfig="/k",
        created_at="2026-11-22T00:00:00+00:00", logs="/l", holder=holder,
    )  # fmt: skip


def own() -> ProcessId:
    identity = ProcessId.of(os.getpid())
    assert identity is not None
    return identity


def test_state_is_private_and_read_back() -> None:
    saved = cluster(own())
    state.save(saved)
    assert state.load("one") == saved
    assert state.load_all() == [saved]
    file = state.directory() / "one.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.directory().stat().st_mode) == 0o700
    file.write_text('{"an": "older format"}')
    assert state.load("one") is None
    state.remove("one")
    state.remove("one")
    assert state.load_all() == []


def test_a_recycled_pid_or_another_boot_is_not_the_holder() -> None:
    assert own().lives()
    assert not replace(own(), started_ticks=own().started_ticks - 1).lives()
    assert not replace(own(), boot_id="another").lives()
    assert ProcessId.of(2**22 + 1) is None


def test_down_never_signals_a_process_that_is_not_the_holder() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as bystander:
        identity = ProcessId.of(bystander.pid)
        assert identity is not None
        stale = cluster(replace(identity, started_ticks=identity.started_ticks - 1))
        state.save(stale)
        assert detached.down(stale) is False
        assert state.load("one") is None
        assert bystander.poll() is None
        held = cluster(identity)
        state.save(held)
        assert detached.down(held) is True
        assert bystander.wait(10) == -signal.SIGTERM


def test_what_is_not_up_is_said_with_what_is() -> None:
    state.save(cluster(own(), "two"))
    with pytest.raises(
        UsageError, match=r"no cluster 'one' is up \(up: two\); start it with `harness cluster up --name one`"
    ):
        detached.require("one")
    assert detached.require("two").name == "two"


@pytest.mark.parametrize("name", ["", "Upper", "../x", "a b", "-a", "x" * 41])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a cluster"):
        state.check_name(name)


def test_unknown_providers_and_options_of_another() -> None:
    provider.check(ClusterChoice())
    with pytest.raises(UsageError, match="'minikube' is unknown; use embedded or kind or kubeconfig"):
        provider.check(ClusterChoice("minikube"))
    with pytest.raises(
        UsageError, match="--context is about --cluster kubeconfig, not embedded; leave one of the two out"
    ):
        provider.check(ClusterChoice(context="dev"))
    with pytest.raises(UsageError, match="--kind-image is about --cluster kind, not kubeconfig"):
        provider.check(ClusterChoice("kubeconfig", kind_image="x", context="dev"))
    with pytest.raises(UsageError, match="needs a context, by name; add --context NAME"):
        provider.check(ClusterChoice("kubeconfig"))


def test_the_holders_errors_are_the_commands_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A holder that cannot start says why, on one line, with the exit code that belongs to it; nothing stays up."""
    monkeypatch.setenv("HARNESS_CONTROLPLANE", str(tmp_path / "none"))
    with pytest.raises(UsageError, match="HARNESS_CONTROLPLANE does not name an executable file"):
        detached.up("one", None, Silent())
    monkeypatch.setenv("HARNESS_CONTROLPLANE", "/bin/false")
    with pytest.raises(EnvironmentFault, match=r"etcd ended \(exit code 1\) before it was ready: it wrote nothing"):
        detached.up("one", None, Silent())
    with pytest.raises(UsageError, match="70000 is not a port"):
        detached.up("one", 70000, Silent())
    assert state.load_all() == []


def test_a_long_temporary_directory_is_said_to_be_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setenv("HARNESS_CONTROLPLANE", "/bin/false")
    with pytest.raises(EnvironmentFault, match="set TMPDIR to a shorter one"):
        detached.up("one", None, Silent())
    assert list(long.iterdir()) == []
