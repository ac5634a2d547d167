"""The wheel: built as `make wheel` builds it, installed outside the source tree, and it runs there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).resolve().parents[2]
_DATA = ("manifests", "dashboards", "requirements")


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    command = [
        *(sys.executable, "-m", "uv", "build", "--quiet", "--offline", "--no-build-isolation"),
        *("--python", sys.executable, "--out-dir", str(directory)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=_REPOSITORY)
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel alone; what it needs is that of this interpreter."""
    site = tmp_path_factory.mktemp("site")
    (wheel,) = dist.glob("*.whl")
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"),
        *("--target", str(site), str(wheel)),
    ]
    subprocess.run(command, check=True, timeout=240, cwd=site)
    return site


def _tracked(*folders: str) -> set[str]:
    done = subprocess.run(
        ["git", "ls-files", "-z", *folders], capture_output=True, text=True, timeout=60, cwd=_REPOSITORY, check=True
    )
    return {name for name in done.stdout.split("\0") if name and (_REPOSITORY / name).is_file()}


def _harness(site: Path, directory: Path, *arguments: str, **given: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(site), **given}
    command = [str(site / "bin" / "harness"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=directory, env=env)


def test_every_file_of_ours_is_in_the_wheel(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    assert _tracked("harness", "loadgen") - packed == set()
    assert {f"harness/_data/{name}" for name in _tracked(*_DATA)} - packed == set()
    assert any(name.endswith("/licenses/LICENSE") for name in packed)
    assert not [name for name in packed if name.startswith(("tests/", "runs/"))]


def test_every_tracked_file_is_in_the_source_distribution(dist: Path) -> None:
    (source,) = dist.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert _tracked() - packed == set()


def test_scenarios_and_doctor_answer_outside_the_source_tree(installed: Path, tmp_path: Path) -> None:
    code = "import harness, loadgen; print(harness.__file__, loadgen.__file__)"
    env = {**os.environ, "PYTHONPATH": str(installed)}
    where = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path, env=env, check=True
    )
    assert all(path.startswith(str(installed)) for path in where.stdout.split()), "that is not the wheel's"
    listed = _harness(installed, tmp_path, "scenarios", "--json")
    assert listed.returncode == 0, listed.stderr
    names = {item["name"]: item["path"] for item in json.loads(listed.stdout)["scenarios"]}
    assert {"smoke", "kserve-secrets-8k"} <= names.keys()
    assert names["smoke"].startswith(str(installed))
    doctor = _harness(installed, tmp_path, "doctor", "--json", HARNESS_CACHE=str(tmp_path / "empty"))
    (plane,) = [check for check in json.loads(doctor.stdout)["checks"] if check["name"] == "control plane"]
    assert "harness.toolchain" in plane["remedy"], "there is no make outside a checkout"


@pytest.mark.cluster
def test_smoke_runs_from_the_wheel_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    options = ("--profile", "quick", "--set", "flip_rate=max")
    done = _harness(installed, tmp_path, "run", "smoke", *options, "--json")
    assert done.returncode == 0, done.stderr
    shown = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(item["verdict"], item["scenario"]["arm"]) for item in shown] == [("passed", "pass"), ("passed", "oom")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["experiments", "history", "runs"]
    killed = Path(tmp_path, shown[1]["path"])
    assert "Allocation sites at the high-water mark" in (killed / "oom.md").read_text()
