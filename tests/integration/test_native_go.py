"""The native subject `native-go` on a real API server: each switch changes what is asked for, what is sent or what is held.

It talks through a recording proxy, with the rights of its ClusterRole and no others.
"""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from harness.cluster.embedded import EmbeddedCluster
from harness.cluster.setup import prepare
from harness.collectors.exposition import Exposition
from harness.collectors.goruntime import heap_after_collection
from harness.core.ids import new_run_id, subject_user
from harness.core.kinds import find
from harness.gate.published import CASES
from harness.kube import rbac
from harness.kube.api import Api
from harness.process.ports import claim_port
from harness.record.reader import RunRecord
from harness.subject import limits
from harness.toolchain import native
from tests.integration.recording_proxy import RecordingProxy, Seen

pytestmark = pytest.mark.cluster

SECRETS, SIZE, REPOS, LABELLED = 60, 60_000, 5, 6
PAYLOAD = SECRETS * SIZE * 4 // 3
"""Bytes of all payloads on the wire: base64 in JSON, half of which is base64 in protobuf too."""
HELD = SECRETS * SIZE
USED = "credentials-00000"
LIMIT_S = 60.0


class Silent:
    def step(self, text: str) -> None:
        print(text)

    def detail(self, text: str) -> None:
        pass


@dataclass
class Outcome:
    """What one process did until it had nothing more to do."""

    requests: list[Seen]
    samples: dict[tuple[str, tuple[tuple[str, str], ...]], float]
    heap: float
    goroutines: str

    def sum(self, name: str, **labels: str) -> float:
        return sum(
            value
            for (found, pairs), value in self.samples.items()
            if found == name and set(labels.items()) <= set(pairs)
        )

    @property
    def collections(self) -> list[Seen]:
        """Lists and watches of Secrets."""
        return [seen for seen in self.requests if seen.path.endswith("/secrets")]

    @property
    def by_name(self) -> list[Seen]:
        return [seen for seen in self.requests if "/secrets/" in seen.path]


class World:
    """Secrets and GitRepos on the API server, one of which uses one of the Secrets."""

    def __init__(self, api: Api, cluster: EmbeddedCluster, tmp_path: Path) -> None:
        self.api, self.cluster, self.tmp_path = api, cluster, tmp_path
        self.run_id = new_run_id()
        self.namespace = f"run-{self.run_id}"

    async def fill(self) -> None:
        await prepare(self.api, self.run_id)
        for index in range(REPOS):
            spec = {"repo": "https://git.invalid/r", "clientSecretName": USED if index == 0 else f"absent-{index}"}
            await self._make("GitRepo", f"repo-{index}", {"spec": spec})
        for index in range(SECRETS):
            data = {"payload": base64.b64encode(bytes([index]) * SIZE).decode()}
            await self._make("Secret", f"credentials-{index:05d}", {"data": data}, kept=index >= SECRETS - LABELLED)

    async def _make(self, kind: str, name: str, content: dict[str, object], *, kept: bool = False) -> None:
        found = find(kind)
        labels = {"tier": "kept"} if kept else {}
        body = {"apiVersion": found.api_version, "kind": found.kind, "metadata": {"name": name, "labels": labels}}
        await self.api.create(found, {**body, **content}, self.namespace)

    async def run(self, *switches: str, work: float) -> Outcome:
        """Run the controller until it has reconciled `work` objects and waits for more."""
        user = subject_user(self.run_id)
        identity = await self.cluster.identity(user)
        await rbac.bind(self.api, user, "harness-native-go", self.run_id)
        proxy, mine = RecordingProxy(identity), self.tmp_path / "proxied.yaml"
        binary = await native.ensure("native-go", Silent())
        url = f"127.0.0.1:{claim_port()}"
        log = self.tmp_path / "subject.log"
        async with proxy.serving(mine), aiohttp.ClientSession(trust_env=False) as session:
            with log.open("wb") as stderr:
                process = await asyncio.create_subprocess_exec(
                    str(binary), f"--kubeconfig={mine}", f"--metrics-bind-address={url}", *switches, stderr=stderr
                )
            try:
                async with asyncio.timeout(LIMIT_S):
                    while not await _at_rest(session, f"http://{url}", work):
                        assert process.returncode is None, f"{log.read_text()} {proxy.requests}"
                        await asyncio.sleep(0.1)
                heap = await heap_after_collection(f"http://{url}/debug/pprof")
                samples = await _samples(session, f"http://{url}")
                goroutines = await (await session.get(f"http://{url}/debug/pprof/goroutine?debug=1")).text()
            finally:
                if process.returncode is None:
                    process.terminate()
                code = await asyncio.wait_for(process.wait(), 30)
        assert code == 0, log.read_text()
        refused = [seen for seen in proxy.requests if seen.status in (401, 403)]
        assert not refused, "the ClusterRole lacks a right"
        return Outcome(list(proxy.of("secrets")), samples, heap, goroutines)


async def _samples(session: aiohttp.ClientSession, url: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    async with session.get(f"{url}/metrics") as answer:
        _, kept = await Exposition((b"",), {}).read(await answer.read())
        return {(series.name, tuple(series.labels.items())): value for series, value in kept}


async def _at_rest(session: aiohttp.ClientSession, url: str, work: float) -> bool:
    try:
        async with session.get(f"{url}/readyz") as answer:
            if answer.status != 200:
                return False
    except aiohttp.ClientConnectionError:
        return False
    samples = await _samples(session, url)

    def total(name: str) -> float:
        return sum(value for (found, _), value in samples.items() if found == name)

    done = total("controller_runtime_reconcile_total") >= work
    return done and total("workqueue_depth") == 0 and total("controller_runtime_active_workers") == 0


@asynccontextmanager
async def world(cluster: EmbeddedCluster, tmp_path: Path) -> AsyncIterator[World]:
    async with await Api.connect(cluster.kubeconfig) as api:
        made = World(api, cluster, tmp_path)
        await made.fill()
        yield made


def test_each_switch_changes_what_really_happens(embedded: EmbeddedCluster, tmp_path: Path) -> None:
    async def body() -> None:
        async with world(embedded, tmp_path) as here:
            everything = SECRETS + REPOS
            whole = await here.run("--cache=all", "--index=on", "--workers=7", work=everything)
            stripped = await here.run("--cache=all", "--transform=strip", "--index=off", "--workers=3", work=everything)
            metadata = await here.run("--cache=metadata", work=everything)
            chosen = await here.run("--cache=selector", "--selector=tier=kept", work=LABELLED + REPOS)
            none = await here.run("--cache=none", work=REPOS)
            one = (
                "--cache=selector",
                "--selector=",
                f"--fields=metadata.name={USED}",
                f"--namespaces={here.namespace}",
            )
            named = await here.run(*one, "--workers=2", "--workers.secret=4", work=1 + REPOS)
            elsewhere = await here.run("--cache=selector", "--selector=", "--namespaces=elsewhere", work=REPOS)
            implicit = await here.run("--watch=off", work=REPOS)
            disabled = await here.run("--watch=off", "--disable_for=Secret", work=REPOS)
            live = await here.run("--disable_for=Secret", work=everything)
        _check_caches(whole, stripped, metadata, chosen, none)
        _check_reads(here.namespace, named, elsewhere, implicit, disabled, live)
        # By name where the cache does not hold the payload, and only the one that is used: nothing else exists.
        assert whole.by_name == []
        for outcome in (stripped, metadata):
            assert {seen.path.rsplit("/", 1)[1] for seen in outcome.by_name} == {USED}
        for outcome in (chosen, none):
            assert {seen.path.rsplit("/", 1)[1] for seen in outcome.by_name} >= {USED, "absent-1"}
        # An index finds the one user of a Secret; without one, each Secret has all GitRepos looked at.
        assert 1 <= whole.sum("native_go_gitrepos_examined_total") < SECRETS
        assert stripped.sum("native_go_gitrepos_examined_total") >= SECRETS * REPOS
        for outcome, workers in ((whole, 7), (stripped, 3), (metadata, 10)):
            limit = outcome.sum("controller_runtime_max_concurrent_reconciles", controller="secret")
            assert limit == workers
            assert _waiting_workers(outcome.goroutines) == 2 * workers, "two controllers"

    asyncio.run(body())


def _check_caches(whole: Outcome, stripped: Outcome, metadata: Outcome, chosen: Outcome, none: Outcome) -> None:
    def sent(outcome: Outcome) -> int:
        return sum(seen.bytes for seen in outcome.collections)

    assert sent(whole) > HELD
    assert sent(stripped) > HELD, "a transform drops what was sent, it does not ask for less"
    assert sent(metadata) < HELD / 10
    assert sent(chosen) < HELD / 5
    assert none.collections == []
    assert all("as=PartialObjectMetadata" in seen.accept for seen in metadata.collections)
    assert not any("PartialObjectMetadata" in seen.accept for seen in whole.collections)
    assert all(seen.query["labelSelector"] == "tier=kept" for seen in chosen.collections)
    assert not any("labelSelector" in seen.query for seen in whole.collections)
    # Bytes held: the payload of all, of a tenth, or of none.
    for lean in (stripped, metadata, chosen, none):
        assert whole.heap - lean.heap > 0.7 * HELD
    assert sum(1 for outcome in (metadata, chosen) for seen in outcome.collections if seen.query.get("watch")) >= 2


def _check_reads(
    namespace: str, named: Outcome, elsewhere: Outcome, implicit: Outcome, disabled: Outcome, live: Outcome
) -> None:
    """ByObject asks for less, DisableFor asks for none; a cache that nobody asked for comes about by a read."""
    path = f"/api/v1/namespaces/{namespace}/secrets"
    assert {(seen.path, seen.query.get("fieldSelector")) for seen in named.collections} == {
        (path, f"metadata.name={USED}")
    }
    assert not any("labelSelector" in seen.query for seen in named.collections)
    assert USED not in {seen.path.rsplit("/", 1)[1] for seen in named.by_name}, "that one is held"
    assert _workers(named) == {"gitrepo": 2, "secret": 4}
    assert _waiting_workers(named.goroutines) == 2 + 4
    assert {seen.path for seen in elsewhere.collections} == {"/api/v1/namespaces/elsewhere/secrets"}
    assert {seen.path.rsplit("/", 1)[1] for seen in elsewhere.by_name} >= {USED, "absent-1"}
    assert {seen.path for seen in implicit.collections} == {"/api/v1/secrets"}, "one read brings about a cache of all"
    assert implicit.by_name == []
    assert set(_workers(implicit)) == {"gitrepo"}
    assert disabled.collections == []
    assert {seen.path.rsplit("/", 1)[1] for seen in disabled.by_name} >= {USED, "absent-1"}
    assert implicit.heap - disabled.heap > 0.7 * HELD
    # A controller of Secrets keeps them, whatever the client reads: DisableFor alone saves nothing then.
    assert live.collections != []
    assert {seen.path.rsplit("/", 1)[1] for seen in live.by_name} >= {USED, "absent-1"}
    assert live.heap - disabled.heap > 0.7 * HELD


def _workers(outcome: Outcome) -> dict[str, float]:
    name = "controller_runtime_max_concurrent_reconciles"
    return {dict(labels)["controller"]: value for (found, labels), value in outcome.samples.items() if found == name}


def _waiting_workers(goroutines: str) -> int:
    """Workers of controller-runtime: stacks that go through the function which each of them runs."""
    stacks = [block for block in goroutines.partition("\n")[2].split("\n\n") if "processNextWorkItem" in block]
    return sum(int(block.split(" ", 1)[0]) for block in stacks)


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        (["--cache=metdata"], 'invalid value "metdata" for flag -cache: not one of all, metadata, none, selector'),
        (["--transform=zip"], 'invalid value "zip" for flag -transform: not one of strip, none'),
        (["--index=maybe"], 'invalid boolean value "maybe" for -index: not one of on, off'),
        (["--workers=0"], "--workers 0 is not a whole number of 1 or more"),
        (["--selector=a b"], '--selector "a b" is not a label selector'),
        (["--fields=a"], '--fields "a" is not a field selector'),
        (["--disable_for=Pod"], 'invalid value "Pod" for flag -disable_for: not one of none, Secret'),
        (["--workers.secret=-1"], "--workers.secret -1 is not a whole number of 0 or more"),
        (["--watch=off", "--cache=metadata"], "--watch=off has no --cache=metadata"),
        (["--wrokers=1"], "flag provided but not defined: -wrokers"),
        (["surplus"], 'unexpected argument "surplus"'),
    ],
)
def test_a_wrong_switch_is_one_line(switches: list[str], message: str, tmp_path: Path) -> None:
    binary = asyncio.run(native.ensure("native-go", Silent()))
    done = subprocess.run(
        [binary, f"--kubeconfig={tmp_path / 'none'}", *switches], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"native-go: {message}" in done.stderr


def test_a_kubeconfig_that_is_not_there_is_one_line_and_help_lists_the_switches(tmp_path: Path) -> None:
    binary = asyncio.run(native.ensure("native-go", Silent()))
    done = subprocess.run([binary, f"--kubeconfig={tmp_path / 'none'}"], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert str(tmp_path / "none") in done.stderr
    told = subprocess.run([binary, "--help"], capture_output=True, text=True, timeout=30)
    assert told.returncode == 0
    for name in (
        "cache",
        "transform",
        "selector",
        "fields",
        "namespaces",
        "watch",
        "disable_for",
        "workers",
        "workers.gitrepo",
        "index",
    ):
        assert f"  -{name} " in told.stdout


def test_a_run_says_what_stayed_and_has_flame_graphs_without_a_server(tmp_path: Path) -> None:
    sets = ("secrets=200", "repos=5", "memory_limit=256Mi")
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "harness.cli.main",
                "run",
                "native-secrets-8k",
                "--arm",
                "all",
                "--pyroscope",
                "on",
            ),
            *(word for pair in sets for word in ("--set", pair)),
            *("--out", str(tmp_path), "--json"),
        ],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    shown = json.loads(done.stdout)
    assert shown["subject"]["runtime"] == "go"
    results = shown["results"]
    assert results["tasks.stayed"]["value"] is not None, results["tasks.stayed"]
    assert results["tasks.settled"]["value"] >= results["tasks.idle"]["value"] - 5
    record = RunRecord(Path(shown["path"]))
    before, after = record.events("census")
    assert {row["sort"] for row in after["rows"]} == {"goroutine"}
    workers = [row["count"] for row in after["rows"] if "controller-runtime" in row["name"] and row["count"] == 20]
    assert workers, "ten workers of each of two controllers"
    pulled = list(record.events("profile"))
    phases = [event["labels"]["phase"] for event in pulled if "/heap-" in event["file"]]
    assert phases == ["idle", "create-Secret", "create-GitRepo", "create-Secret-2", "settle-1", "settled"], (
        "one snapshot of each phase"
    )
    assert {event["labels"]["run_id"] for event in pulled} == {shown["run_id"]}
    heap = (record.path / "profiles" / "memory.folded").read_text()
    assert "k8s.io/client-go" in heap
    assert "controller-runtime" in (record.path / "profiles" / "goroutines.folded").read_text()
    page = (record.path / "report.html").read_text()
    for chart in ("memory-stacks", "allocs-stacks", "goroutine-stacks"):
        assert chart in page
    assert "What is under way" in page
    assert [e for e in record.events("warning") if e["source"] == "pyroscope"] == []
    assert before["t_ns"] < after["t_ns"]


@pytest.mark.skipif(not limits.probe().ok, reason=f"no memory limits here: {limits.probe().sentence}")
@pytest.mark.parametrize(("arm", "killed"), [("implicit", True), ("disable-for", False)])
def test_row_5_a_cache_that_nobody_asked_for_is_killed_and_reads_by_name_live(
    arm: str, killed: bool, tmp_path: Path
) -> None:
    case = next(case for case in CASES if case.id == "5-native-killed")
    sets = case.sets("off" if killed else "on", quick=True)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "harness.cli.main", "run", "native-secrets-8k", "--arm", arm),
            *(word for key, value in sets.items() for word in ("--set", f"{key}={value}")),
            *("--out", str(tmp_path), "--no-history", "--json"),
        ],
        capture_output=True,
        text=True,
        timeout=240,
    )
    shown = json.loads(done.stdout)
    assert (shown["results"]["oom.kills"]["value"], done.returncode) == ((1, 1) if killed else (0, 0)), done.stderr[
        -2000:
    ]
    assert shown["scenario"]["resolved"]["subject"]["memory_limit"] == f"{32 * 2**20}B"
    if not killed:
        assert shown["results"]["completeness.Secret"]["value"] == 1
        assert {event["when"] for event in RunRecord(Path(shown["path"])).events("heap_profile")} == {"end"}
