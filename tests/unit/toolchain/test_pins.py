"""The pinned crates of the Rust subject, the lock file made of them, and its build. Cargo is a script here."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import shutil
import tomllib
from pathlib import Path

import pytest

from harness.core.errors import EnvironmentFault
from harness.core.handles import Silent
from harness.toolchain import cargo, native, pins, rustbuild
from tests.unit.toolchain.toolchain_fakes import fake_cargo

REGISTRY = "registry+somewhere"
CHECKSUM = "a" * 64
TEXT = f"""# a comment

mine 0.1.0 - kube@0.91.0 kube@5.0.0 tokio
kube 0.91.0 {CHECKSUM} tokio
kube 5.0.0 {CHECKSUM}
tokio 1.54.1 {CHECKSUM}
"""


def test_pins_and_lock_say_the_same() -> None:
    pinned = pins.parse(TEXT, "pins.txt")
    made = pins.lock(pinned, REGISTRY)
    assert pins.from_lock(made, "Cargo.lock") == pinned
    assert pins.parse(pins.render(pinned), "pins.txt") == pinned
    assert pins.source_of(made, "Cargo.lock") == REGISTRY
    packages = tomllib.loads(made)["package"]
    assert packages[0] == {"name": "mine", "version": "0.1.0", "dependencies": ["kube 0.91.0", "kube 5.0.0", "tokio"]}
    assert packages[3] == {"name": "tokio", "version": "1.54.1", "source": REGISTRY, "checksum": CHECKSUM}


@pytest.mark.parametrize("line", ["tokio 1.54.1", "tokio 1.54.1 abc", f"tokio {CHECKSUM}"])
def test_a_line_that_is_no_pin_is_told_with_its_place(line: str) -> None:
    with pytest.raises(EnvironmentFault, match=r"pins.txt:2: not a line of the form"):
        pins.parse(f"# x\n{line}\n", "pins.txt")


def test_a_lock_of_two_registries_is_refused() -> None:
    two = pins.lock(pins.parse(TEXT, "x"), REGISTRY).replace(REGISTRY, "registry+elsewhere", 1)
    with pytest.raises(EnvironmentFault, match="not a lock file of version 4 with one registry"):
        pins.from_lock(two, "Cargo.lock")


def test_the_shipped_pins_are_whole_and_name_no_place() -> None:
    shipped = native.rust_program()
    text = (shipped.module / pins.FILE).read_text()
    pinned = shipped.pins()
    assert pins.render(pinned) == text
    assert "/" not in text
    known = {pin.name for pin in pinned} | {f"{pin.name} {pin.version}" for pin in pinned}
    assert {each for pin in pinned for each in pin.uses} <= known
    assert [pin.name for pin in pinned if pin.checksum is None] == ["native-rust"]
    versions = {f"{pin.name} {pin.version}" for pin in pinned}
    wanted = tomllib.loads((shipped.module / "Cargo.toml").read_text())["dependencies"]
    exact = {f"{item.get('package', name)} {item['version'][1:]}" for name, item in wanted.items()
             if isinstance(item, dict) and item["version"].startswith("=")}  # fmt: skip
    assert exact == {version for version in versions if re.fullmatch(r"kube \S+", version)}
    assert {"kube 0.91.0"} < exact, "the one that buffers, and a current one"


@pytest.mark.parametrize(("text", "version"), [
    ("cargo 1.95.0 (f2d3ce0bd 2026-03-21)", (1, 95, 0)),
    ("cargo 1.97.0-nightly (abc 2026-05-01)", (1, 97, 0)),
    ("cargo", None),
])  # fmt: skip
def test_cargos_version(text: str, version: tuple[int, int, int] | None) -> None:
    assert cargo.parse_version(text) == version


@pytest.fixture
def building(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("RUSTFLAGS", "-C target-cpu=native")
    return tmp_path / "bin" / "cargo"


def test_a_build_gets_the_lock_of_the_pins_and_is_kept(building: Path) -> None:
    seen = building.parent / "seen"
    build = f'cp Cargo.lock {seen}; echo "$RUSTFLAGS" > {seen}.flags; echo built > "$OUT"; chmod +x "$OUT"'
    fake_cargo(building, "1.99.0", build)
    made = asyncio.run(native.ensure("native-rust", Silent()))
    assert made == native.binary("native-rust")
    assert made.read_text() == "built\n"
    pinned = native.rust_program().pins()
    assert seen.read_text() == pins.lock(pinned, "registry+fake")
    assert (building.parent / "seen.flags").read_text() == "\n", (
        "what would change a build is taken out of the environment"
    )
    building.unlink()
    assert asyncio.run(native.ensure("native-rust", Silent())) == made, "the second time needs no compiler"
    assert asyncio.run(native.lacking("native-rust")) is None


def test_what_cannot_be_built_is_one_line(building: Path) -> None:
    with pytest.raises(
        EnvironmentFault, match="native-rust is built with cargo, and there is none on PATH; install Rust 1"
    ):
        asyncio.run(native.ensure("native-rust", Silent()))
    assert "none on PATH" in str(asyncio.run(native.lacking("native-rust")))
    fake_cargo(building, "1.60.0")
    with pytest.raises(EnvironmentFault, match=r"native-rust needs cargo 1\.\d+\.0, this is 1\.60\.0; install Rust"):
        asyncio.run(native.ensure("native-rust", Silent()))
    fake_cargo(building, "1.99.0", "echo no such crate >&2; exit 101")
    with pytest.raises(
        EnvironmentFault, match=r"cargo build failed \(exit code 101\): no such crate; check the network"
    ):
        asyncio.run(native.ensure("native-rust", Silent()))
    assert not native.binary("native-rust").exists()
    assert asyncio.run(native.lacking("native-go")) is None, "a Go can be had"


def test_the_key_changes_with_every_source(tmp_path: Path) -> None:
    shipped = native.rust_program()
    copied = dataclasses.replace(shipped, module=Path(shutil.copytree(shipped.module, tmp_path / "module")))
    assert {"Cargo.toml", "pins.txt", "src/main.rs", "src/buffered.rs"} <= set(copied.sources)
    keys = {copied.key("amd64"), copied.key("arm64")}
    for name in copied.sources:
        with (copied.module / name).open("a") as file:
            file.write("\n")
        keys.add(copied.key("amd64"))
    assert len(keys) == 2 + len(copied.sources)


def test_a_program_that_names_no_rust_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Cargo.toml").write_text('[package]\nname = "x"\nrust-version = "1.89"\n')
    with pytest.raises(EnvironmentFault, match="it does not say which Rust it needs"):
        rustbuild.RustProgram("x", tmp_path, [], "x", 0).rust_version()
