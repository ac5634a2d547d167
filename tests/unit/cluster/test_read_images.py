"""How a node reads its images, so that no pod is the first. `docker` is a shell here; tests/kind has a real node."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from harness.cluster import kind_tools
from harness.cluster.kind import KindCluster
from harness.core.errors import EnvironmentFault
from harness.core.handles import Silent


def _docker(directory: Path, unpacked: Path, limit: str = "60") -> str:
    """A `docker exec NODE sh -c SCRIPT` that runs the script here, over `unpacked`."""
    program = directory / "docker"
    program.write_text(
        '#!/bin/sh\nshift 2\nscript=$(printf %s "$3" | sed '
        f"-e 's#/var/lib/containerd/io.containerd.snapshotter.v1.\\*#{unpacked}/*#' -e 's#timeout 60#timeout {limit}#')\n"
        'exec "$1" "$2" "$script"\n'
    )
    program.chmod(0o755)
    return str(program)


def test_all_files_of_images_are_read_and_one_that_goes_meanwhile_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = tmp_path / "unpacked" / "overlayfs" / "snapshots" / "7" / "fs" / "usr"
    layer.mkdir(parents=True)
    (layer / "a file").touch()
    (layer / "link").symlink_to("a file")
    (layer.parent.parent / "work").touch()
    cat = tmp_path / "bin" / "cat"
    cat.parent.mkdir()
    cat.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >>{tmp_path}/read\nexit 1\n')
    cat.chmod(0o755)
    monkeypatch.setenv("PATH", str(cat.parent), prepend=":")
    kind_tools.read_images(_docker(tmp_path, tmp_path / "unpacked"), "node")
    assert (tmp_path / "read").read_text().splitlines() == [str(layer / "a file")]


def test_a_node_that_keeps_them_elsewhere_says_so(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="no files of images found"):
        kind_tools.read_images(_docker(tmp_path, tmp_path / "nothing"), "node")


def test_it_has_a_deadline(tmp_path: Path) -> None:
    layer = tmp_path / "unpacked" / "overlayfs" / "snapshots" / "7" / "fs"
    layer.mkdir(parents=True)
    for number in range(20_000):
        (layer / str(number)).touch()
    with pytest.raises(EnvironmentFault, match="not done within 60 s"):
        kind_tools.read_images(_docker(tmp_path, tmp_path / "unpacked", "0.001"), "node")


def test_all_nodes_are_waited_for_and_those_that_could_not_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []

    def read(docker: str, node: str) -> None:
        assert docker == "a docker"
        if node == "first":
            raise EnvironmentFault("no files of images found")
        time.sleep(0.1)
        done.append(node)

    monkeypatch.setattr(kind_tools, "read_images", read)
    nodes = SimpleNamespace(names=["first", "second"])
    cluster = cast("KindCluster", SimpleNamespace(nodes=nodes, tools=SimpleNamespace(docker="a docker")))
    said = asyncio.run(KindCluster.read_images(cluster, Silent()))
    assert done == ["second"]
    assert said is not None
    assert said.startswith(
        "not all nodes have read the files of their images beforehand (first: no files of images found): "
    )
    nodes.names = ["second"]
    assert asyncio.run(KindCluster.read_images(cluster, Silent())) is None
