"""The program from outside: its command line, what it imports, how it fails."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from harness.controllers.fleet.manifest import ManifestPlace
from harness.controllers.fleet.options import CACHED_KINDS, CONTROLLERS, DEFAULT_WORKERS, Agent, EventMapping, parse
from harness.controllers.runtime.cache import CacheMode
from harness.controllers.runtime.client import Api, ConfigError
from harness.controllers.runtime.order import QueueOrder
from harness.controllers.runtime.reclaim import Reclaim
from harness.controllers.runtime.status import Conflict, StatusPatch


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        parse(["--kubeconfig", "k", *arguments])
    assert ended.value.code == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    return text


def test_defaults_are_the_published_baseline() -> None:
    options = parse(["--kubeconfig", "k"])
    assert options.workers == dict.fromkeys(CONTROLLERS, DEFAULT_WORKERS)
    assert (options.status_patch, options.event_mapping) == (StatusPatch.ALWAYS, EventMapping.ALL)
    assert options.caches == dict.fromkeys(CACHED_KINDS, CacheMode.FULL)
    assert (options.conflict, options.queue, options.selector_cache) == (Conflict.RETRY, QueueOrder.FIFO, False)
    assert (options.manifest, options.reclaim, options.agent) == (
        ManifestPlace.ANNOTATION, Reclaim.NONE, Agent.REPORT
    )  # fmt: skip
    assert (options.shards, options.shard) == (1, None)
    assert (options.namespace, options.metrics) == (None, None)


def test_workers_for_all_and_for_one() -> None:
    options = parse(["--kubeconfig", "k", "--workers=3", "--workers.bundle", "20", "--metrics-bind-address=[::1]:80"])
    assert options.workers == {**dict.fromkeys(CONTROLLERS, 3), "bundle": 20}
    assert options.metrics == ("::1", 80)


def test_switches() -> None:
    options = parse(
        ["--kubeconfig", "k", "--status_patch=changed", "--event_mapping=matching", "--cache.Secret=none",
         "--cache.Bundle=adaptive", "--cache.Cluster.management.cattle.io=metadata", "--cache_size=7", "--queue=fair",
         "--selector_cache=on", "--conflict=requeue", "--manifest=secret", "--agent=apply", "--reclaim=trim",
         "--shards=3", "--registry=http://127.0.0.1:5000/"]
    )  # fmt: skip
    assert (options.queue, options.selector_cache, options.conflict) == (QueueOrder.FAIR, True, Conflict.REQUEUE)
    assert (options.manifest, options.agent, options.reclaim) == (ManifestPlace.SECRET, Agent.APPLY, Reclaim.TRIM)
    assert (options.shards, options.cache_size, options.registry) == (3, 7, "http://127.0.0.1:5000")
    assert [mode.value for mode in options.caches.values()] == ["none", "full", "adaptive", "full", "metadata"]
    assert (options.status_patch, options.event_mapping) == (StatusPatch.CHANGED, EventMapping.MATCHING)


@pytest.mark.parametrize(
    ("argument", "parts"),
    [
        ("--status-patch=always", ("unknown switch '--status-patch'", "'--status_patch'")),
        ("--status_patch=sometimes", ("'sometimes' is not one of always, changed",)),
        ("--cache.Cluster=full", ("unknown switch '--cache.Cluster'",)),
        ("--cache.Bundle=half", ("'half' is not one of full, metadata, adaptive, none",)),
        ("--registry=localhost", ("'localhost' is not an address",)),
        ("--shards=0", ("'0' is not a whole number of 1 or more",)),
        ("--shard=1", ("shard 1 is none of 1",)),
        ("--worker=3", ("unknown switch '--worker'", "'--workers'")),
        ("--workers=0", ("'0' is not a whole number of 1 or more",)),
        ("--workers.bundles=3", ("unknown switch '--workers.bundles'", "'--workers.bundle'")),
        ("--metrics-bind-address=8080", ("'8080' is not HOST:PORT",)),
        ("stray", ("unknown switch 'stray'",)),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str], argument: str, parts: tuple[str, ...]
) -> None:
    text = fails(capsys, argument)
    assert all(part in text for part in parts), text


def test_an_unusable_kubeconfig_is_one_line_and_status_1(tmp_path: Path) -> None:
    bad = tmp_path / "kubeconfig"
    bad.write_text("clusters: [unfinished")
    ended = subprocess.run(
        [sys.executable, "-m", "harness.controllers.fleet", "--kubeconfig", str(bad)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith(f"fleet: kubeconfig {bad} cannot be used")


def test_a_missing_kubeconfig_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing cannot be used: .*No such file"):
        asyncio.run(Api.from_kubeconfig(tmp_path / "missing"))


def test_it_carries_nothing_of_the_harness_and_nothing_heavy() -> None:
    code = """
import sys, harness.controllers.fleet.__main__
mine = [name for name in sys.modules if name.startswith("harness.") and not name.startswith("harness.controllers")]
heavy = [name for name in ("duckdb", "plotly", "numpy", "scipy", "locust", "gevent", "memray", "rich", "typer")
         if name in sys.modules]
print(mine, heavy)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.split() == ["[]", "[]"]
