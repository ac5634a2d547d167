"""The Rust toolchain on PATH, if it is new enough. None is installed: no Python package has one."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import EnvironmentFault
from harness.toolchain.run import run

Version = tuple[int, int, int]

_VERSION = re.compile(r"\bcargo (\d+)\.(\d+)\.(\d+)")
_ASK_LIMIT_S = 60.0
_CHANGING = ("RUSTC", "RUSTFLAGS", "RUSTDOCFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_INCREMENTAL", "CARGO_TARGET_DIR")
_CHANGING_PREFIXES = ("RUSTC_", "CARGO_BUILD_", "CARGO_PROFILE_", "CARGO_TARGET_", "CARGO_UNSTABLE_")


@dataclass(frozen=True, slots=True)
class Cargo:
    """A cargo that can be used."""

    executable: Path
    version: Version

    def __str__(self) -> str:
        return f"cargo {'.'.join(map(str, self.version))}"


def parse_version(text: str) -> Version | None:
    """The version in `cargo 1.95.0 (f2d3ce0bd 2026-03-21)`; a beta or nightly is what it leads to."""
    match = _VERSION.search(text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def environment() -> dict[str, str]:
    """Our environment without what would change a build; the user's proxies, mirrors and CARGO_HOME stay."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in _CHANGING and not key.startswith(_CHANGING_PREFIXES)
    }
    return kept | {"CARGO_TERM_COLOR": "never", "CARGO_TERM_PROGRESS_WHEN": "never"}


async def find_cargo(minimum: Version, title: str) -> Cargo:
    """A cargo of at least `minimum`. Raises EnvironmentFault where there is none; `title` needs it."""
    wanted = ".".join(map(str, minimum))
    remedy = f"install Rust {wanted} or newer, or take another controller"
    found = shutil.which("cargo")
    if found is None:
        raise EnvironmentFault(f"{title} is built with cargo, and there is none on PATH", remedy=remedy)
    lines = await run(
        [found, "--version"],
        name="cargo --version",
        env=environment(),
        cwd=Path(found).parent,
        timeout_s=_ASK_LIMIT_S,
        remedy=remedy,
    )
    version = next((parsed for line in lines if (parsed := parse_version(line)) is not None), None)
    if version is None:
        raise EnvironmentFault("it does not say its version", place=found, remedy=remedy)
    if version < minimum:
        raise EnvironmentFault(
            f"{title} needs cargo {wanted}, this is {'.'.join(map(str, version))}", place=found, remedy=remedy
        )
    return Cargo(Path(found), version)
