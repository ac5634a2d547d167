"""The native subjects' build: what it is keyed by, where it goes, and that it shares what the control plane compiled."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import shutil
from pathlib import Path

import pytest

from harness.core.errors import EnvironmentFault
from harness.core.handles import Silent
from harness.scenario import controllers
from harness.toolchain import controlplane, gobuild, native
from tests.unit.toolchain.toolchain_fakes import fake_go


@pytest.fixture
def building(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return tmp_path / "bin" / "go"


def _required(module: Path) -> dict[str, str]:
    """Versions of the modules that a go.mod asks for, replacements applied."""
    text = (module / "go.mod").read_text()
    found = dict(re.findall(r"^\s+(\S+) (v\S+)", text, re.MULTILINE))
    return found | dict(re.findall(r"^\s+(\S+) => \S+ (v\S+)$", text, re.MULTILINE))


def test_scenarios_and_toolchain_know_the_same_ones() -> None:
    assert list(native.NAMES) == controllers.native()
    assert set(native.NAMES) < set(controllers.known())


def test_its_modules_are_at_the_control_planes_versions() -> None:
    theirs = _required(controlplane.MODULE)
    shared = {name: version for name, version in _required(native.go_program().module).items() if name in theirs}
    assert len(shared) > 20
    assert shared == {name: theirs[name] for name in shared}, "else Go compiles them twice"


def test_the_key_changes_with_every_source(tmp_path: Path) -> None:
    shipped = native.go_program()
    copied = dataclasses.replace(shipped, module=Path(shutil.copytree(shipped.module, tmp_path / "module")))
    assert {"go.mod", "go.sum", "main.go", "controllers.go"} <= set(copied.sources)
    keys = {copied.key("amd64"), copied.key("arm64")}
    for name in copied.sources:
        with (copied.module / name).open("a") as file:
            file.write("// changed\n")
        keys.add(copied.key("amd64"))
    assert len(keys) == 2 + len(copied.sources)


def test_a_build_is_kept_where_the_command_line_says(building: Path) -> None:
    fake_go(building, "1.99.0", 'echo built > "$OUT"; chmod +x "$OUT"')
    made = asyncio.run(native.ensure("native-go", Silent()))
    assert made == native.binary("native-go")
    assert made.read_text() == "built\n"
    building.unlink()
    assert asyncio.run(native.ensure("native-go", Silent())) == made, "the second time needs no compiler"


def test_a_failed_build_and_an_unknown_machine_are_one_line(building: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_go(building, "1.99.0", "echo no such module >&2; exit 1")
    with pytest.raises(EnvironmentFault, match=r"go build failed \(exit code 1\): no such module; check the network"):
        asyncio.run(native.ensure("native-go", Silent()))
    assert not native.binary("native-go").exists()
    monkeypatch.setattr(gobuild.platform, "machine", lambda: "riscv64")
    with pytest.raises(EnvironmentFault, match="native-go is not built for riscv64"):
        asyncio.run(native.ensure("native-go", Silent()))
