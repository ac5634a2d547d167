"""The versions of all crates of a Rust program, as the repository keeps them: `pins.txt`, a line for each crate,

    NAME VERSION CHECKSUM [DEPENDENCY ...]

and the lock file that cargo reads, which is made of it for a build. The lock names the registry of each crate and is
therefore not kept; nothing else is lost on the way: what one says, the other says too, so that `cargo build --locked` builds
these versions or fails, and cargo checks each crate against its checksum.

`python -m harness.toolchain.pins` writes the pins of the Rust subject again, after its Cargo.toml was changed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import EnvironmentFault

FILE = "pins.txt"
LOCK_VERSION = 4
"""Of Cargo.lock; written by cargo 1.78 and later."""
_HEADER = (
    "# Every crate of the Rust subject: name, version, sha256 of the crate, the crates it uses.\n"
    "# Written by `python -m harness.toolchain.pins`; do not edit.\n"
)
_CHECKSUM = re.compile(r"[0-9a-f]{64}|-")
_OURS = "-"
"""In place of a checksum: the program itself, which comes from no registry."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One crate. `uses`: its dependencies as a lock names them, with the version where the name alone is not unique."""

    name: str
    version: str
    checksum: str | None
    uses: tuple[str, ...]


def parse(text: str, place: str) -> list[Pin]:
    """The pins of a file. Raises EnvironmentFault for a line that is none."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split()
        if len(words) < 3 or not _CHECKSUM.fullmatch(words[2]):
            raise EnvironmentFault(
                "not a line of the form `NAME VERSION CHECKSUM [DEPENDENCY ...]`",
                place=f"{place}:{number}",
                remedy="write the file again with python -m harness.toolchain.pins",
            )
        checksum = None if words[2] == _OURS else words[2]
        found.append(Pin(words[0], words[1], checksum, tuple(word.replace("@", " ") for word in words[3:])))
    return found


def render(pins: Sequence[Pin]) -> str:
    """The file."""
    lines = [
        " ".join([pin.name, pin.version, pin.checksum or _OURS, *(each.replace(" ", "@") for each in pin.uses)])
        for pin in pins
    ]
    return _HEADER + "".join(f"{line}\n" for line in lines)


def lock(pins: Sequence[Pin], registry: str) -> str:
    """The Cargo.lock of these crates. `registry` is what cargo itself calls the place they come from (`source_of`)."""
    parts = [f"version = {LOCK_VERSION}\n"]
    for pin in pins:
        lines = ["[[package]]", f'name = "{pin.name}"', f'version = "{pin.version}"']
        if pin.checksum is not None:
            lines += [f'source = "{registry}"', f'checksum = "{pin.checksum}"']
        if pin.uses:
            lines += ["dependencies = [", *(f' "{each}",' for each in pin.uses), "]"]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def from_lock(text: str, place: str) -> list[Pin]:
    """The pins of a Cargo.lock. Raises EnvironmentFault for crates of other places than cargo's default registry."""
    document = tomllib.loads(text)
    packages = document.get("package", [])
    sources = {package["source"] for package in packages if "source" in package}
    if (
        document.get("version") != LOCK_VERSION
        or len(sources) > 1
        or any("checksum" in p and "source" not in p for p in packages)
    ):
        raise EnvironmentFault("not a lock file of version 4 with one registry", place=place)
    return [
        Pin(package["name"], package["version"], package.get("checksum"), tuple(package.get("dependencies", ())))
        for package in packages
    ]


def source_of(text: str, place: str) -> str:
    """What cargo calls the registry, from a lock file of its own making."""
    sources = {str(package["source"]) for package in tomllib.loads(text).get("package", []) if "source" in package}
    if len(sources) != 1:
        raise EnvironmentFault(f"names {len(sources)} registries, not one", place=place)
    return sources.pop()


def main() -> int:
    """Have cargo choose the newest versions that Cargo.toml allows, and keep them."""
    import asyncio

    from harness.core.errors import HarnessError
    from harness.toolchain import native, rustbuild

    program = native.rust_program()
    try:
        text = asyncio.run(rustbuild.newest(program))
    except HarnessError as error:
        sys.stderr.write(f"harness: {error}\n")
        return int(error.exit_code)
    path = Path(program.module) / FILE
    path.write_text(render(from_lock(text, "Cargo.lock")), encoding="utf-8")
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
