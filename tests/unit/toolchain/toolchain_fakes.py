"""Shell scripts that pretend to be Go: the real one takes minutes."""

from __future__ import annotations

from pathlib import Path


class Silent:
    def step(self, text: str) -> None:
        pass

    def detail(self, text: str) -> None:
        pass


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
