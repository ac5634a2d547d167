"""The native subjects: controllers in Go and in Rust that come with the harness as sources, built once each.

The Go modules are at the control plane's versions, so that most of what they consist of is in Go's build cache already.
"""

from __future__ import annotations

import platform
from pathlib import Path

from harness.core.errors import EnvironmentFault
from harness.core.handles import Progress
from harness.core.paths import cache_dir, scenarios_dir
from harness.toolchain import cargo, gobuild, pins, rustbuild
from harness.toolchain.cache import once
from harness.toolchain.gobuild import GoProgram
from harness.toolchain.rustbuild import RustProgram

GO, RUST = "native-go", "native-rust"
NAMES = (GO, RUST)
"""As scenarios call them: `native-LANGUAGE` is in `controllers/native/LANGUAGE`."""

_NEEDED_BYTES = 2 * 2**30
"""Free space for modules and Go's build cache (0.85 GB of the latter where it was empty), and room to link; for crates
and what is compiled of them as well."""
_TAKES = {
    GO: "half a minute where the control plane was built here",
    RUST: "some minutes",
}


def program(name: str) -> GoProgram | RustProgram:
    """How the subject `name` is built."""
    return go_program() if name == GO else rust_program()


def rust_program() -> RustProgram:
    """How the subject in Rust is built."""
    module = _module(RUST)
    sources = sorted(str(path.relative_to(module)) for path in module.glob("src/**/*.rs"))
    return RustProgram(RUST, module, ["Cargo.toml", pins.FILE, *sources], RUST, _NEEDED_BYTES)


def go_program() -> GoProgram:
    """How the subject in Go is built."""
    module = _module(GO)
    return GoProgram(
        name=GO,
        module=module,
        sources=["go.mod", "go.sum", *sorted(path.name for path in module.glob("*.go"))],
        flags=["-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w"],
        title=GO,
        needed_bytes=_NEEDED_BYTES,
    )


def _module(name: str) -> Path:
    return scenarios_dir().parent / "controllers" / "native" / name.removeprefix("native-")


async def lacking(name: str) -> str | None:
    """Why the subject `name` cannot be built on this machine; None where it can. A Go can always be had, a Rust cannot."""
    if name == RUST and not binary(name).is_file():
        try:
            await cargo.find_cargo(rust_program().rust_version(), RUST)
        except EnvironmentFault as fault:
            return str(fault)
    return None


def binary(name: str) -> Path:
    """Where the subject `name` is, once it is built."""
    return cache_dir() / "native" / program(name).key(gobuild.architecture() or "") / name


async def ensure(name: str, progress: Progress) -> Path:
    """Path of the binary, built on first use. Raises EnvironmentFault where it cannot be built."""
    architecture = gobuild.architecture()
    if architecture is None:
        raise EnvironmentFault(
            f"{name} is not built for {platform.machine()}", remedy="use another machine, or another controller"
        )
    built = program(name)

    async def make(directory: Path) -> None:
        progress.step(f"building the controller {name} (once; {_TAKES[name]})")
        if isinstance(built, RustProgram):
            await rustbuild.build(built, directory, progress)
        else:
            await gobuild.build(built, directory, architecture, progress)

    return await once(binary(name).parent, progress, make) / name
