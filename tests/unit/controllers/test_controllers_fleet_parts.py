"""Tags, manifests and intervals of `fleet`; what is given back at rest; several processes as one."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.controllers.fleet.agent import ManifestError, parse
from harness.controllers.fleet.helm import Release
from harness.controllers.fleet.imagescan import interval_of
from harness.controllers.fleet.manifest import MOST_ANNOTATED, ManifestPlace, Manifests
from harness.controllers.fleet.tags import TagsError, newest
from harness.controllers.runtime import reclaim
from harness.controllers.runtime.metrics import Metrics
from harness.controllers.runtime.reclaim import Reclaim, Reclaimer
from harness.controllers.runtime.shards import together

TAGS = ["1.0.0", "v1.2.0", "1.10.0", "2.0.0-rc.2", "2.0.0-rc.10", "latest", "7", "0.3.1", "1.2"]


@pytest.mark.parametrize(
    ("policy", "tag"),
    [
        ({}, "7"),
        ({"semver": {"range": "*"}}, "7"),
        ({"semver": {"range": "<2"}}, "1.10.0"),
        ({"semver": {"range": ">=1.0.0, <1.10.0"}}, "v1.2.0"),
        ({"semver": {"range": "^1.0"}}, "1.10.0"),
        ({"semver": {"range": "~1.2.0"}}, "v1.2.0"),
        ({"semver": {"range": "^0.3.0"}}, "0.3.1"),
        ({"semver": {"range": ">=2.0.0-rc.1 <3"}}, "2.0.0-rc.10"),
        ({"numerical": {}}, "7"),
        ({"alphabetical": {"order": "asc"}}, "v1.2.0"),
        ({"alphabetical": {"order": "desc"}}, "0.3.1"),
    ],
)
def test_the_newest_tag(policy: dict[str, Any], tag: str) -> None:
    assert newest(TAGS, policy) == tag


@pytest.mark.parametrize(
    "policy", [{"semver": {"range": ">9"}}, {"semver": {"range": "newest"}}, {"semver": {"range": ">=x"}}]
)
def test_no_tag_is_an_error_in_words(policy: dict[str, Any]) -> None:
    with pytest.raises(TagsError):
        newest(TAGS, policy)


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [("5m", 300), ("1m30s", 90), ("1.5h", 5400), ("10ms", 1), ("", 60), ("soon", 60), ("5", 60)],
)
def test_intervals_are_written_as_go_does(interval: str, seconds: float) -> None:
    assert interval_of({"spec": {"interval": interval}}) == seconds


CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n"


def test_the_objects_of_a_manifest() -> None:
    assert [obj["metadata"]["name"] for obj in parse(f"{CONFIG_MAP}\n---\n# nothing\n---\n{CONFIG_MAP}")] == ["a", "a"]
    assert parse("") == []


NO_NAME, OTHER_KIND = CONFIG_MAP.replace("name: a", "name: 1"), CONFIG_MAP.replace("ConfigMap", "Secret")


@pytest.mark.parametrize(
    "text", ["{", "a: !!python/object/apply:os.getcwd []", "kind: ConfigMap", "- a", "text", NO_NAME, OTHER_KIND]
)
def test_what_is_no_manifest_of_ours(text: str) -> None:
    with pytest.raises(ManifestError):
        parse(text)


def test_what_is_too_large_for_an_annotation_is_in_none() -> None:
    class Nobody:
        """An API that must not be asked."""

    small, large = Release(b"x", "a"), Release(b"x" * (MOST_ANNOTATED + 1), "b")
    annotated, apart = (Manifests(Nobody(), place) for place in ManifestPlace)  # type: ignore[arg-type]
    assert annotated.annotations(small)
    assert not annotated.annotations(large)
    assert not apart.annotations(small)


@pytest.mark.parametrize(("mode", "trims"), [(Reclaim.GC, 0), (Reclaim.TRIM, 2)])
def test_memory_is_given_back_once_for_each_time_it_comes_to_rest(
    monkeypatch: pytest.MonkeyPatch, mode: Reclaim, trims: int
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(reclaim, "collect", lambda: calls.append("gc") or 0)
    monkeypatch.setattr(reclaim, "trim", lambda: calls.append("trim") or True)
    state = {"activity": 0, "waiting": 0}

    async def check() -> None:
        reclaimer = Reclaimer(
            mode, Metrics(), activity=lambda: state["activity"], waiting=lambda: state["waiting"], look_s=0.005
        )
        task = asyncio.create_task(reclaimer.run())
        async with asyncio.timeout(8):
            await until(lambda: calls.count("gc") == 1)
            await asyncio.sleep(0.05)
            assert calls.count("gc") == 1  # nothing has happened since
            state.update(activity=1, waiting=1)
            await asyncio.sleep(0.05)
            assert calls.count("gc") == 1  # work waits
            state.update(waiting=0)
            await until(lambda: calls.count("gc") == 2)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(check())
    assert calls.count("trim") == trims


def test_a_collection_frees_what_holds_itself() -> None:
    loop: list[Any] = []
    loop.append(loop)
    del loop
    assert reclaim.collect() >= 1


def test_metrics_of_shards_are_one_exposition_with_their_numbers() -> None:
    from prometheus_client import generate_latest

    texts = []
    for depth in (1, 2):
        metrics = Metrics()
        metrics.queue_depth.labels(name="bundle", controller="bundle").set(depth)
        metrics.reconciles.labels(controller="bundle", result="success").inc(depth)
        texts.append(generate_latest(metrics.registry).decode())
    lines = together(texts).decode().splitlines()
    assert 'workqueue_depth{controller="bundle",name="bundle",shard="1"} 2.0' in lines
    for shard in (0, 1):
        sample = (
            f'controller_runtime_reconcile_total{{controller="bundle",result="success",shard="{shard}"}} {shard + 1}.0'
        )
        assert sample in lines
    assert len([line for line in lines if line.startswith("# TYPE workqueue_depth")]) == 1


CHILD = """
import asyncio, os, pathlib, signal, sys
from harness.controllers.runtime.shards import end_with_parent
async def main():
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    end_with_parent()
    pathlib.Path(sys.argv[1], sys.argv[2].rpartition("=")[2]).write_text(str(os.getpid()))
    await stop.wait()
asyncio.run(main())
"""
PARENT = """
import asyncio, sys
from harness.controllers.runtime.program import main
from harness.controllers.runtime.shards import run_shards
sys.exit(main("parent", run_shards("shard_child", [sys.argv[1]], 2, None)))
"""


@pytest.mark.parametrize("ended", ["parent killed", "shard killed", "told"])
def test_shards_end_together(tmp_path: Path, ended: str) -> None:
    (tmp_path / "shard_child.py").write_text(CHILD)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}:{Path.cwd()}"}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        wait(lambda: all((tmp_path / str(shard)).exists() and (tmp_path / str(shard)).read_text() for shard in (0, 1)))
        shards = [int((tmp_path / str(shard)).read_text()) for shard in (0, 1)]
        if ended == "shard killed":
            os.kill(shards[1], signal.SIGKILL)
        else:
            parent.send_signal(signal.SIGKILL if ended == "parent killed" else signal.SIGTERM)
        _, text = parent.communicate(timeout=60)
        assert parent.returncode == {"parent killed": -9, "shard killed": 1, "told": 0}[ended], text
        assert ("shard 1 has ended by itself, with -9" in text) == (ended == "shard killed")
        wait(lambda: not any(map(alive, shards)))
    finally:
        parent.kill()
        parent.wait()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for it; the deadline is the caller's."""
    while True:
        if condition():
            return
        await asyncio.sleep(0.005)


def alive(pid: int) -> bool:
    """Whether a process of that id runs; one that is dead and waits to be asked for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
