"""Shell scripts that pretend to be Go and cargo: the real ones take minutes."""

from __future__ import annotations

from pathlib import Path


def fake_go(path: Path, version: str, build: str = "exit 1") -> Path:
    """A `go` that knows `version`, `env`, `list` and, as told, `build` (`$OUT` is what -o names)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"""#!/bin/sh
case "$1" in
version) echo "go version go{version} linux/amd64" ;;
env) pwd; pwd ;;
list) echo "go: downloading some.module v1.0.0" >&2; echo runtime; echo controlplane ;;
build) while [ "$1" != -o ]; do shift; done; OUT="$2"
{build}
;;
esac
"""
    )
    path.chmod(0o755)
    return path


def fake_cargo(path: Path, version: str, build: str = "exit 1") -> Path:
    """A `cargo` that knows `--version`, `generate-lockfile` and, as told, `build` (`$OUT` is where the binary belongs)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    package = ('name = "a"', 'version = "1.0.0"', 'source = "registry+fake"', f'checksum = "{"0" * 64}"')
    lock = "\\n".join(("version = 4", "[[package]]", *package))
    path.write_text(
        f"""#!/bin/sh
case "$1" in
--version) echo "cargo {version} (fake)" ;;
generate-lockfile) printf '{lock}' > Cargo.lock ;;
build) while [ "$1" != --target-dir ]; do shift; done; mkdir -p "$2/release"; OUT="$2/release/native-rust"
{build}
;;
esac
"""
    )
    path.chmod(0o755)
    return path
