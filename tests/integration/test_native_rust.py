"""The native subject `native-rust` on a real API server: when each kube hands objects on, and what it asked for to get them.

It talks through a recording proxy, with the rights of its ClusterRole and no others, and once as a run has it do: over TLS.
Where there is no cargo these tests are skipped; in CI that is a failure (tests/skips.py).
"""

from __future__ import annotations

import asyncio
import json
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cluster.embedded import EmbeddedCluster
from harness.core.errors import EnvironmentFault
from harness.core.kinds import find
from harness.kube.api import Api
from harness.record.reader import RunRecord
from harness.toolchain import native, pins, rustbuild
from harness.toolchain.cargo import environment, find_cargo
from harness.toolchain.run import run
from tests.integration.controller_process import Running, controller, until

LACKING = asyncio.run(native.lacking(native.RUST))
pytestmark = [pytest.mark.cluster, pytest.mark.skipif(LACKING is not None, reason=str(LACKING))]

SECRET = find("Secret")
SECRETS, PAGE = 10, 4
SIZE = 100
ENCODED = 136
"""100 bytes in base64."""
HANDED_ON = 'controller_runtime_reconcile_total{controller="watcher",result="success"}'
KUBES = ("0.91", "current")


class Silent:
    def step(self, text: str) -> None:
        print(text)

    def detail(self, text: str) -> None:
        pass


@pytest.fixture(scope="module")
def program() -> Path:
    return asyncio.run(native.ensure(native.RUST, Silent()))


async def with_secrets(api: Api, namespace: str) -> None:
    for number in range(SECRETS):
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"secret-{number:02d}"}}
        await api.create(SECRET, body | {"stringData": {"key": "x" * SIZE}}, namespace)


async def handed_on(run: Running) -> int:
    return int((await run.numbers()).get(HANDED_ON, 0))


@pytest.mark.parametrize("kube", KUBES)
def test_current_hands_on_a_page_before_it_asks_for_the_next_and_0_91_does_not(
    embedded: EmbeddedCluster, tmp_path: Path, program: Path, kube: str
) -> None:
    async def scenario() -> None:
        more = asyncio.Event()
        async with controller(
            embedded, tmp_path, "native-rust", f"--kube={kube}", f"--page_size={PAGE}", before=with_secrets, wait=False,
            hold={"continue": more}, program=program,
        ) as run:  # fmt: skip

            async def waits_for_the_second_page() -> bool:
                return any("continue" in seen.query for seen in run.proxy.requests)

            await until(waits_for_the_second_page)
            assert not await run.ready()
            assert await handed_on(run) == (PAGE if kube == "current" else 0)
            more.set()
            await until(run.ready)
            numbers = await run.numbers()
            assert (numbers[HANDED_ON], numbers["watcher_initial_objects"]) == (SECRETS, SECRETS)
            assert numbers["watcher_payload_bytes"] == SECRETS * ENCODED
            assert numbers["watcher_objects_stored"] == SECRETS
            assert 0 < numbers["watcher_first_object_seconds"] <= numbers["watcher_initial_seconds"]
            assert numbers["watcher_initial_cpu_seconds"] > 0
            assert numbers["tokio_alive_tasks"] >= 1
            lists = [seen for seen in run.proxy.of("secrets") if "watch" not in seen.query]
            assert [seen.query["limit"] for seen in lists] == [str(PAGE)] * 3
            assert "sendInitialEvents" not in str([seen.query for seen in run.proxy.requests])
            assert {seen.status for seen in run.proxy.requests} <= {0, 200}, "its ClusterRole has all it needs"

    asyncio.run(scenario())


@pytest.mark.parametrize("kube", KUBES)
def test_watch_list_gets_all_objects_from_the_watch_and_goes_on_with_it(
    embedded: EmbeddedCluster, tmp_path: Path, program: Path, kube: str
) -> None:
    async def scenario() -> None:
        async with controller(
            embedded, tmp_path, "native-rust", f"--kube={kube}", "--watch_list=on", "--store=off", before=with_secrets,
            program=program,
        ) as run:  # fmt: skip
            numbers = await run.numbers()
            assert (numbers[HANDED_ON], numbers["watcher_initial_objects"]) == (SECRETS, SECRETS)
            assert numbers["watcher_objects_stored"] == 0
            (only,) = run.proxy.of("secrets")
            assert only.query["sendInitialEvents"] == "true"
            await run.make(SECRET, "late", stringData={"key": "value"})

            async def seen() -> bool:
                return await handed_on(run) == SECRETS + 1

            await until(seen)
            await run.api.delete(SECRET, "late", run.namespace)

            async def gone() -> bool:
                return await handed_on(run) == SECRETS + 2

            await until(gone)
            assert len(list(run.proxy.of("secrets"))) == 1

    asyncio.run(scenario())


def test_two_builds_have_the_versions_of_the_pins_and_cargo_refuses_others(tmp_path: Path) -> None:
    shipped = native.rust_program()

    async def fetched(name: str, changed: Callable[[str], str] = str) -> str:
        cargo = await find_cargo(shipped.rust_version(), shipped.title)
        source = tmp_path / name
        await rustbuild.prepare(shipped, cargo, source)
        lock = source / "Cargo.lock"
        lock.write_text(changed(lock.read_text()))
        host = f"{platform.machine()}-unknown-linux-gnu"
        command = [str(cargo.executable), "fetch", "--locked", "--target", host]
        await run(command, name="fetch", env=environment(), cwd=source, timeout_s=300, remedy="look")
        return lock.read_text()

    first, second = (asyncio.run(fetched(name)) for name in ("first", "second"))
    assert first == second
    assert pins.from_lock(first, "Cargo.lock") == shipped.pins(), "cargo has changed nothing of them"
    with pytest.raises(EnvironmentFault, match="fetch failed"):
        asyncio.run(
            fetched(
                "older",
                lambda lock: lock.replace('name = "kube"\nversion = "5.0.0"', 'name = "kube"\nversion = "4.0.0"'),
            )
        )
    with pytest.raises(EnvironmentFault, match="fetch failed"):
        asyncio.run(fetched("without", lambda lock: lock.replace(' "libc",\n', "", 1)))


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        (["--kube=0.92"], '--kube "0.92" is not one of 0.91, current'),
        (["--store=maybe"], '--store "maybe" is not one of on, off'),
        (["--page_size=-1"], '--page_size "-1" is not a whole number of 0 or more'),
        (["--metrics-bind-address=here"], '--metrics-bind-address "here" is not an IP address and a port'),
        (["--sotre=on"], 'there is no switch "--sotre=on"'),
        (["--store"], "--store has no value"),
        (["surplus"], 'there is no switch "surplus"'),
    ],
)
def test_a_wrong_switch_is_one_line(switches: list[str], message: str, tmp_path: Path, program: Path) -> None:
    done = subprocess.run(
        [str(program), f"--kubeconfig={tmp_path / 'none'}", *switches], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"native-rust: {message}" in done.stderr


@pytest.mark.parametrize("kube", KUBES)
def test_a_kubeconfig_that_is_not_there_is_one_line(kube: str, tmp_path: Path, program: Path) -> None:
    command = [str(program), f"--kubeconfig={tmp_path / 'none'}", f"--kube={kube}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert str(tmp_path / "none") in done.stderr


def test_help_lists_the_switches(program: Path) -> None:
    told = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=30)
    assert told.returncode == 0
    for name in ("kube", "watch_list", "page_size", "store"):
        assert f"  --{name} " in told.stdout


@pytest.mark.parametrize("kube", KUBES)
def test_it_talks_tls_with_a_client_certificate(
    embedded: EmbeddedCluster, tmp_path: Path, program: Path, kube: str
) -> None:
    async def scenario() -> None:
        async with controller(
            embedded, tmp_path, "native-rust", f"--kube={kube}", before=with_secrets, program=program, direct=True
        ) as run:
            assert (await run.numbers())["watcher_objects_stored"] == SECRETS
            assert run.proxy.requests == []

    asyncio.run(scenario())


def test_a_run_hands_on_every_object_twice_and_tells_its_tasks(tmp_path: Path) -> None:
    sets = ("secrets=200", "handed_on=400", "memory_limit=256Mi")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "harness.cli.main", "run", "native-watcher-init", "--arm", "buffered"),
            *(word for pair in sets for word in ("--set", pair)),
            *("--out", str(tmp_path), "--no-history", "--json"),
        ],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    shown = json.loads(done.stdout)
    assert shown["subject"]["runtime"] == "other"
    results = shown["results"]
    assert results["reconciles.total"]["value"] == 400
    assert results["restarts"]["value"] == 1
    assert results["tasks.settled"]["value"] >= 1, "tokio's"
    assert results["memory.heap.settled"]["value"] is None
    record = RunRecord(Path(shown["path"]))
    (last,) = record.sql("SELECT arg_max(value, t_ns) FROM samples WHERE metric = 'watcher_initial_objects'")[0]
    assert last == 200, "of the list after the restart"
