"""The control plane's build: what it is keyed by, what it is built with, how it fails."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from harness.core.errors import EnvironmentFault, UsageError
from harness.core.handles import Silent
from harness.toolchain import controlplane
from harness.toolchain.build_progress import BuildProgress
from tests.unit.toolchain.toolchain_fakes import fake_go

MODULE_FILES = ("go.mod", "go.sum", "main.go")


@pytest.fixture
def module(tmp_path: Path) -> Path:
    return Path(shutil.copytree(controlplane.MODULE, tmp_path / "module"))


@pytest.fixture
def building(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is built yet, and the `go` on PATH is a fake one; returns where to put it."""
    monkeypatch.delenv(controlplane.OVERRIDE, raising=False)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return tmp_path / "bin" / "go"


def test_versions_come_from_go_mod(module: Path) -> None:
    text = (module / "go.mod").read_text()
    version = controlplane.kubernetes_version()
    assert f"k8s.io/kubernetes {version}" in text
    (module / "go.mod").write_text(text.replace(f"k8s.io/kubernetes {version}", "k8s.io/kubernetes v1.99.7"))
    assert controlplane.kubernetes_version(module) == "v1.99.7"
    flags = " ".join(controlplane.build_flags("v1.99.7"))
    assert "-X k8s.io/component-base/version.gitVersion=v1.99.7" in flags
    assert "-X k8s.io/client-go/pkg/version.gitMinor=99" in flags
    assert controlplane._program().go_version() >= (1, 26, 0)


def test_the_key_changes_with_every_input(module: Path) -> None:
    keys = {controlplane.key("amd64", module), controlplane.key("arm64", module)}
    for name in MODULE_FILES:
        with (module / name).open("a") as file:
            file.write("// changed\n")
        keys.add(controlplane.key("amd64", module))
    assert len(keys) == 5
    assert controlplane.key("amd64", module) in keys


def test_an_override_is_used_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = tmp_path / "controlplane"
    monkeypatch.setenv(controlplane.OVERRIDE, str(binary))
    with pytest.raises(UsageError, match=r"HARNESS_CONTROLPLANE does not name an executable file; unset it"):
        asyncio.run(controlplane.ensure(Silent()))
    binary.touch(mode=0o755)
    assert asyncio.run(controlplane.ensure(Silent())) == binary


def test_a_build_is_kept_and_does_not_touch_the_module(building: Path) -> None:
    fake_go(building, "1.99.0", 'echo changed > go.sum; echo runtime; echo built > "$OUT"; chmod +x "$OUT"')
    before = {name: (controlplane.MODULE / name).read_bytes() for name in MODULE_FILES}
    binary = asyncio.run(controlplane.ensure(Silent()))
    assert binary.read_text() == "built\n"
    assert sorted(path.name for path in binary.parent.iterdir()) == ["built-with", "controlplane"]
    assert (binary.parent / "built-with").read_text() == "Go 1.99.0 (PATH)\n"
    assert {name: (controlplane.MODULE / name).read_bytes() for name in MODULE_FILES} == before
    building.unlink()
    assert asyncio.run(controlplane.ensure(Silent())) == binary, "the second time needs no compiler"


def test_a_failed_build_shows_the_compilers_last_words_and_leaves_nothing(building: Path, tmp_path: Path) -> None:
    fake_go(building, "1.99.0", 'for i in 1 2 3 4 5 6 7; do echo "line $i" >&2; done; exit 2')
    with pytest.raises(EnvironmentFault, match=r"go build failed \(exit code 2\): line 3 \| .* \| line 7; check"):
        asyncio.run(controlplane.ensure(Silent()))
    assert [path.name for path in (tmp_path / "cache" / "controlplane").iterdir() if path.is_dir()] == []


def test_a_full_disk_is_said_before_the_build(building: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_go(building, "1.99.0")
    monkeypatch.setattr(controlplane, "_NEEDED_BYTES", 2**60)
    with pytest.raises(EnvironmentFault, match=r"GiB free, building the control plane needs .*make room"):
        asyncio.run(controlplane.ensure(Silent()))


def test_an_unknown_machine_is_named(building: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controlplane.platform, "machine", lambda: "riscv64")
    with pytest.raises(EnvironmentFault, match="not built for riscv64"):
        asyncio.run(controlplane.ensure(Silent()))


def test_progress_counts_what_is_compiled() -> None:
    class Last(Silent):
        text = ""

        def detail(self, text: str) -> None:
            self.text = text

    last = Last()
    shown = BuildProgress(last, "Go 1.26.8 (PATH)", "controlplane")
    shown.downloading("go: downloading k8s.io/api v0.36.3")
    assert last.text == "downloading modules: 1"
    shown.total = 300
    shown.compiled("k8s.io/api/core/v1")
    assert last.text.startswith("1 of at most 300 packages compiled")
    shown.compiled("# k8s.io/api/core/v1")
    assert last.text.startswith("1 of")
    shown.compiled("controlplane")
    assert last.text.startswith("linking")
