"""Building a Rust program of ours from its pinned crates, into a directory of the cache.

What was compiled stays in a target directory of the cache, by program: a build that was interrupted goes on, and a change of
our own sources compiles these alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import EnvironmentFault
from harness.core.handles import Progress
from harness.core.paths import cache_dir
from harness.toolchain import pins
from harness.toolchain.build_progress import CargoProgress
from harness.toolchain.cargo import Cargo, Version, environment, find_cargo
from harness.toolchain.run import run

_BUILD_LIMIT_S = 3600.0
_LOCK_LIMIT_S = 300.0
_REMEDY = "check the network and the free space, then try again: what is done is not done twice"
_TARGET = "native/target-{name}"


@dataclass(frozen=True, slots=True)
class RustProgram:
    """A program whose sources come with the harness: the crate `name` in the directory `module`."""

    name: str
    module: Path
    sources: Sequence[str]
    """Relative to `module`; Cargo.toml and the pins are among them."""
    title: str
    needed_bytes: int
    """Free space that the build needs."""

    def key(self, architecture: str) -> str:
        """Name of the cache entry: a hash of everything that decides what the binary does, but the compiler."""
        digest = hashlib.sha256()
        for name in self.sources:
            digest.update(name.encode() + hashlib.sha256((self.module / name).read_bytes()).digest())
        digest.update(architecture.encode())
        return digest.hexdigest()[:24]

    def rust_version(self) -> Version:
        """The oldest Rust that its Cargo.toml accepts."""
        place = self.module / "Cargo.toml"
        found = tomllib.loads(place.read_text(encoding="utf-8"))["package"].get("rust-version")
        if found is None or not re.fullmatch(r"\d+\.\d+\.\d+", found):
            raise EnvironmentFault(
                "it does not say which Rust it needs (rust-version, three numbers)", place=str(place)
            )
        major, minor, patch = map(int, found.split("."))
        return major, minor, patch

    def pins(self) -> list[pins.Pin]:
        """The versions of all its crates."""
        path = self.module / pins.FILE
        return pins.parse(path.read_text(encoding="utf-8"), str(path))


async def build(program: RustProgram, directory: Path, progress: Progress) -> None:
    """Build for this machine: `directory/NAME` is the binary. Raises EnvironmentFault where that fails."""
    cargo = await find_cargo(program.rust_version(), program.title)
    target = cache_dir() / _TARGET.format(name=program.name)
    _check_space(program, target)
    source = directory / "source"
    await prepare(program, cargo, source)
    shown = CargoProgress(progress, str(cargo), len(program.pins()))
    nice = [found, "-n", "10"] if (found := shutil.which("nice")) else []
    command = [*nice, str(cargo.executable), "build", "--release", "--locked", "--target-dir", str(target)]
    ticking = asyncio.create_task(shown.tick())
    try:
        await run(
            command,
            name="cargo build",
            env=environment(),
            cwd=source,
            timeout_s=_BUILD_LIMIT_S,
            remedy=_REMEDY,
            on_line=shown.line,
        )
    finally:
        ticking.cancel()
    shutil.copy(target / "release" / program.name, directory / program.name)
    shutil.rmtree(source)
    (directory / "built-with").write_text(f"{cargo}\n", encoding="utf-8")


async def prepare(program: RustProgram, cargo: Cargo, source: Path) -> None:
    """A copy of the sources in `source`, with the lock file of the pins: what cargo is to build."""
    pinned = program.pins()
    for name in program.sources:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(program.module / name, source / name)
    registry = await _registry(cargo, pinned)
    (source / "Cargo.lock").write_text(pins.lock(pinned, registry), encoding="utf-8")


async def newest(program: RustProgram) -> str:
    """The lock file that cargo makes of Cargo.toml today."""
    cargo = await find_cargo(program.rust_version(), program.title)
    with tempfile.TemporaryDirectory(prefix="harness-pins-") as made:
        for name in program.sources:
            if name != pins.FILE:
                (Path(made) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(program.module / name, Path(made) / name)
        return await _locked(cargo, Path(made))


async def _registry(cargo: Cargo, pinned: Sequence[pins.Pin]) -> str:
    """What cargo calls its registry: the sources name none. Asked with a crate that uses one of the pinned crates."""
    asked = next(pin for pin in pinned if pin.checksum is not None and not pin.uses)
    with tempfile.TemporaryDirectory(prefix="harness-registry-") as made:
        (Path(made) / "src").mkdir()
        (Path(made) / "src" / "lib.rs").touch()
        (Path(made) / "Cargo.toml").write_text(
            '[package]\nname = "ask"\nversion = "0.0.0"\nedition = "2021"\n\n'
            f'[dependencies]\n{asked.name} = "={asked.version}"\n',
            encoding="utf-8",
        )
        return pins.source_of(await _locked(cargo, Path(made)), "cargo generate-lockfile")


async def _locked(cargo: Cargo, directory: Path) -> str:
    command = [str(cargo.executable), "generate-lockfile"]
    await run(
        command,
        name="cargo generate-lockfile",
        env=environment(),
        cwd=directory,
        timeout_s=_LOCK_LIMIT_S,
        remedy="check the network, then try again",
    )
    return (directory / "Cargo.lock").read_text(encoding="utf-8")


def _check_space(program: RustProgram, target: Path) -> None:
    """Fail now rather than in the third minute."""
    existing = next(path for path in (target, *target.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < program.needed_bytes and not target.exists():
        raise EnvironmentFault(
            f"{free / 2**30:.1f} GiB free, building {program.title} needs {program.needed_bytes / 2**30:.0f} GiB",
            place=str(existing),
            remedy="make room",
        )
