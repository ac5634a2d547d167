"""What is said where Docker or kind is missing or ill. `docker` and `kind` are fakes here: shell scripts on a PATH of ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.cluster import kind, kind_owned, kind_tools
from harness.cluster.choice import ClusterChoice
from harness.core.errors import EnvironmentFault, UsageError
from harness.core.process_id import ProcessId


@pytest.fixture(autouse=True)
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.delenv("KIND_BIN", raising=False)
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path / "state"))
    return directory


def fake(directory: Path, name: str, script: str) -> Path:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def refusal() -> str:
    with pytest.raises(EnvironmentFault) as caught:
        kind_tools.find()
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 4
    return str(caught.value)


def test_each_lack_is_a_line_that_says_what_to_install_or_to_use_embedded(fakes: Path) -> None:
    assert refusal() == "docker is not on PATH; install Docker Engine, or use --cluster embedded"
    fake(fakes, "docker", "echo 'Cannot connect to the Docker daemon at unix:///x. Is it running?' >&2; exit 1")
    assert refusal() == (
        "the Docker daemon does not answer: Cannot connect to the Docker daemon at unix:///x. Is it running?; "
        "start it (systemctl start docker), or use --cluster embedded"
    )
    fake(fakes, "docker", "echo 'Got permission denied while trying to connect' >&2; exit 1")
    assert "join the group docker and log in again, or use --cluster embedded" in refusal()
    fake(fakes, "docker", "echo 28.1")
    assert refusal() == ("kind is not on PATH, nor in KIND_BIN; install kind 0.20 or newer, or use --cluster embedded")
    fake(fakes, "kind", "echo broken >&2; exit 3")
    assert refusal().endswith("kind: kind does not work: broken; use --cluster embedded")
    fake(fakes, "kind", "echo 0.33.0")
    found = kind_tools.find()
    assert (found.docker_version, found.kind_version) == ("28.1", "0.33.0")


def test_kind_bin_names_the_program(fakes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(fakes, "docker", "echo 28.1")
    other = fake(fakes, "other-kind", "echo 0.30.0")
    monkeypatch.setenv("KIND_BIN", str(other))
    assert kind_tools.find().kind == str(other)
    monkeypatch.setenv("KIND_BIN", "/no/such")
    assert "KIND_BIN names '/no/such', which is no program" in refusal()


def test_control_planes_come_first(fakes: Path) -> None:
    fake(fakes, "docker", "echo 'a-worker worker'; echo 'z-control-plane control-plane'")
    assert kind_tools.nodes("docker", "x") == ["z-control-plane", "a-worker"]


def test_the_last_error_of_a_tool_is_its_last_word() -> None:
    text = "\x1b[1mCreating\x1b[0m\nERROR: failed to create cluster: no space\n\nStack Trace:\nfile.go:1\n"
    assert kind_tools.last_words(text) == "ERROR: failed to create cluster: no space"
    assert kind_tools.last_words("a\nb\n") == "b"
    assert kind_tools.last_words("") == "it wrote nothing"


def test_names_are_checked_before_anything_is_asked() -> None:
    with pytest.raises(UsageError, match="--kind-name 'No/Such' cannot name a cluster"):
        kind.check(ClusterChoice("kind", kind_name="No/Such"))


def owned(tmp_path: Path, owner: ProcessId | None) -> kind_owned.Owned:
    directory = tmp_path / "cluster"
    directory.mkdir()
    return kind_owned.begin("hns-x", "20260101-000000-xxxxx", directory, owner)


def test_ownership_is_kept_and_an_owner_that_is_gone_leaves_an_orphan(tmp_path: Path) -> None:
    one = owned(tmp_path, ProcessId.of(os.getpid()))
    assert kind_owned.load("hns-x") == one
    assert list(kind_owned.load_all()) == [one]
    assert not one.orphaned
    dead = kind_owned.begin("hns-y", one.run_id, tmp_path, ProcessId(2**22 + 1, 1, "x"))
    assert dead.orphaned
    kept = kind_owned.begin("hns-z", one.run_id, tmp_path, None)
    assert not kept.orphaned, "made to be kept"
    assert (tmp_path / "state" / "kind" / "hns-x.json").stat().st_mode & 0o077 == 0
    assert kind_owned.load("hns-none") is None


def test_only_a_cluster_that_mounts_our_directory_is_deleted(fakes: Path, tmp_path: Path) -> None:
    one = owned(tmp_path, None)
    there = tmp_path / "there"
    there.touch()
    fake(
        fakes,
        "kind",
        f'case "$1" in version) echo 1;; delete) /bin/rm "{there}"; echo "$@" > "{tmp_path}/deleted";; esac',
    )
    script = f'case "$1" in version) echo 1;; ps) [ ! -e "{there}" ] || echo "n control-plane";; inspect) echo "MOUNT";; esac'
    fake(fakes, "docker", script.replace("MOUNT", f"{one.shared}-of-another"))
    with pytest.raises(EnvironmentFault, match="is not the one that the harness made: it was left alone"):
        kind_owned.delete(one)
    assert there.exists()
    assert kind_owned.load(one.name) == one
    fake(fakes, "docker", script.replace("MOUNT", one.shared))
    assert kind_owned.delete(one) is True
    assert (tmp_path / "deleted").read_text().startswith("delete cluster --name hns-x --kubeconfig ")
    assert kind_owned.load(one.name) is None
    assert not Path(one.directory).exists()
    assert kind_owned.delete(one) is False, "again is harmless"
