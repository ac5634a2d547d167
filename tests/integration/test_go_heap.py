"""Heap profiles of a real Go program, the API server: what grows when it is given objects to hold."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.analysis.profile_diff import blame, diff
from harness.cluster.embedded import EmbeddedCluster
from harness.collectors import captures
from harness.core import kinds
from harness.core.errors import UsageError
from harness.kube.api import Api

pytestmark = pytest.mark.cluster

COUNT, SIZE = 150, 100_000


async def _fetch(api: Api, path: Path, what: str, **query: int) -> Path:
    path.write_bytes(await api.transport.request("GET", f"/debug/pprof/{what}", query=query, accept="*/*"))
    return path


def test_the_memory_of_a_go_program_is_put_down_to_its_functions(embedded: EmbeddedCluster, tmp_path: Path) -> None:
    secret = kinds.find("Secret")
    value = "QUFB" * (SIZE // 4)

    async def scenario() -> None:
        async with await Api.connect(embedded.kubeconfig) as api:
            await _fetch(api, tmp_path / "before.pprof", "heap", gc=1)
            for number in range(COUNT):
                name = f"heap-{number}"
                body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": {"x": value}}
                await api.create(secret, body, "default")
            await _fetch(api, tmp_path / "after.pprof", "heap", gc=1)
            await _fetch(api, tmp_path / "goroutine.pprof", "goroutine")
            await _fetch(api, tmp_path / "page.pprof", "heap", debug=1)
            for number in range(COUNT):
                await api.delete(secret, f"heap-{number}", "default")

    asyncio.run(scenario())
    before, after = (asyncio.run(captures.read(tmp_path / f"{name}.pprof")) for name in ("before", "after"))
    assert before.kind == "go-heap"
    assert before.total("inuse") > 10_000_000
    assert before.total("alloc") > before.total("inuse")
    found = diff([before], [after])
    assert found.bytes.difference > COUNT * SIZE * 0.5  # sampled: one allocation in 512 KiB
    first = blame([before], [after])[0]
    assert not first.function.startswith("runtime.")
    assert first.bytes.difference > 1_000_000
    assert first.line > 0
    assert any(row.package.startswith("k8s.io/") for row in found.rows["package"])
    with pytest.raises(UsageError, match="is no heap profile, but one of goroutine; fetch /debug/pprof/heap"):
        asyncio.run(captures.read(tmp_path / "goroutine.pprof"))
    with pytest.raises(UsageError, match="is neither a capture of memray nor a profile of pprof"):
        asyncio.run(captures.read(tmp_path / "page.pprof"))
    command = [sys.executable, "-m", "harness.cli.main", "profile", "diff", str(tmp_path / "before.pprof")]
    done = subprocess.run(
        [*command, str(tmp_path / "after.pprof"), "--json", "--html", str(tmp_path / "diff.html")],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["function"][0]["function"] == first.function
    assert (tmp_path / "diff.html").stat().st_size > 1_000_000
