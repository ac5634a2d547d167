"""Subjects in pods of a real cluster: real kills, each told once and by whom, and what a run keeps of them."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from harness.cluster import kind_tools
from harness.collectors.memory import MemoryCollector
from harness.collectors.oom import OomCollector
from harness.core.handles import Silent
from harness.record.reader import RunRecord
from harness.record.windows import windows
from harness.toolchain import image
from tests.collecting import context
from tests.kind.clusters import Running, harness, shown
from tests.kind.conftest import Kept
from tests.kind.pods import LIMIT, NODES, WAIT, Started, pod, until

pytestmark = pytest.mark.timeout(600)  # the first test of a session also makes the cluster

GROWS = "x = []\nwhile True:\n    x.append(bytearray(1 << 20))\n"
GROWS_TWICE = f"{WAIT}x = bytearray({LIMIT * 3 // 4})\nx[::4096] = x[::4096]\nprint('grown', flush=True)\n{WAIT}{GROWS}"


@pytest.fixture(scope="module", autouse=True)
def _image(kept: Kept) -> None:
    """The controllers' image, whose Python the programs here run on, is on the node."""
    reference = asyncio.run(image.ensure(Silent()))
    kind_tools.output([kind_tools.find().kind, "load", "docker-image", reference, "--name", kept.name], 300)


@pytest.fixture
def _cold(kept: Kept) -> None:
    """No file of the node's images is in the page cache: whoever comes first reads it, and has its pages charged.

    A pod that does so hangs at its limit, in 10 of 15 runs, instead of being killed (docs/profiling.md, Killed or hanging).
    """
    os.sync()  # what has just been unpacked and not been written yet cannot be dropped
    root = Path(f"/proc/{kind_tools.init_pid(kind_tools.find().docker, f'{kept.name}-control-plane')}/root")
    for path in root.glob("var/lib/containerd/io.containerd.snapshotter.v1.*/snapshots/*/fs/**/*"):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@pytest.mark.usefixtures("_cold")
def test_an_oom_kill_is_told_once_and_its_memray_capture_is_kept(kept: Kept, tmp_path: Path) -> None:
    done = harness(
        # Few large Secrets: what takes time here is the number of requests.
        *("run", "smoke", "--arm", "oom", "--profile", "quick", "--json", "--set", "memory_limit=112Mi"),
        *("--set", "secrets=1500", "--set", "secret_size=256KB"),
        *("--cluster", "kind", "--kind-name", kept.name, "--out", str(tmp_path)),
    )
    run = shown(done)
    assert run["verdict"] == "passed", (run["reasons"], run["expectations"])
    assert run["results"]["oom.kills"]["value"] == 1
    record = Path(run["path"])
    events = [json.loads(line) for line in (record / "events.jsonl").read_text().splitlines()]
    (kill,) = [event for event in events if event["type"] == "oom_kill"]
    (ended,) = [event for event in events if event["type"] == "container_ended"]
    # a node that is starved may call a kill "Error": whoever sees the cgroup counts it nevertheless
    assert ended["reason"] in ("OOMKilled", "Error")
    assert (ended["exit_code"], ended["kills"]) == (137, 1)
    assert kill["container_id"] == ended["container_id"]
    assert kill["limit_bytes"] == run["subject"]["memory_limit_bytes"] == 112 << 20
    # Before the load: memray's capture is a file, too.
    before = "SELECT max(value) FROM samples WHERE metric = 'memory.file' AND phase IN ('start', 'idle')"
    assert RunRecord(record).sql(before)[0][0] < 20 << 20, (
        "the node has read the image before, so that the pod is not charged with its files (50 MB)"
    )
    ending = run["ending"]
    assert ending["kind"] == "oom_limit"
    assert ending["evidence"]["kubelet"]["reason"] == ended["reason"]
    assert ending["evidence"]["cgroup"]["after"]["limit_hits"] > 0
    (capture,) = [event for event in events if event["type"] == "memray"]
    assert (record / capture["capture"]).stat().st_size == capture["capture_bytes"] > 100_000
    assert capture["left_bytes"] > 30 << 20, "what was in use when it was killed"
    assert any("/opt/harness/" in place for entry in capture["left"] for place in entry["stack"])
    assert (record / capture["flamegraph_at_kill"]).is_file()


@pytest.mark.usefixtures("_cold")
def test_memray_attached_to_a_pod_keeps_a_capture_of_its_kill(kept: Kept, tmp_path: Path) -> None:
    done = harness(
        *("run", "smoke", "--arm", "oom", "--profile", "quick", "--json", "--set", "memory_limit=112Mi"),
        *("--set", "secrets=1500", "--set", "secret_size=256KB", "--memray", "attach"),
        *("--cluster", "kind", "--kind-name", kept.name, "--out", str(tmp_path)),
    )
    run = shown(done)
    assert run["ending"]["kind"] == "oom_limit", run["reasons"]
    record = Path(run["path"])
    events = [json.loads(line) for line in (record / "events.jsonl").read_text().splitlines()]
    (attached,) = [event for event in events if event["type"] == "memray_attached"]
    assert attached["phase"] == "create-Secret"
    (capture,) = [event for event in events if event["type"] == "memray"]
    assert capture["attached"] == "create-Secret"
    assert (record / capture["capture"]).stat().st_size == capture["capture_bytes"] > 10_000
    assert any("/opt/harness/" in place for entry in capture["left"] for place in entry["stack"])
    assert (record / capture["flamegraph_at_kill"]).is_file()


WINDOWS = """
name: windows
summary: A window of a phase, one that somebody opens by hand, and rests in between.
subject: {controller: fleet, memory_limit: 256Mi}
load:
  - create: {kind: Secret, count: 30, rate: 10/s}
  - create: {kind: Secret, count: 1500, rate: 10/s}
profile: {windows: [create-Secret]}
expect: [memory.rss.peak < 2Gi, memory.rss.idle < 2Gi]
"""


def test_windows_by_phase_and_by_hand_look_into_a_pod(kept: Kept, tmp_path: Path) -> None:
    """The load goes on until the look by hand is over, however long that takes; then it is interrupted."""
    scenario = tmp_path / "windows.yaml"
    scenario.write_text(WINDOWS)
    named = ("--cluster", "kind", "--kind-name", kept.name, "--no-history")
    with Running(tmp_path / "runs", str(scenario), *named) as running:
        running.until_phase("create-Secret-2")
        looked = harness("profile", "--run", running.record.name, "--for", "5s", "--out", str(running.runs), "--json")
        code = running.interrupt()
    if "does not see its process" in looked.stderr:
        pytest.skip("this machine does not see the node's cgroups")
    assert looked.returncode == 0, looked.stderr
    assert code == 130, running.output
    shown = json.loads(looked.stdout)
    record = RunRecord(running.record)
    by_phase, by_hand = windows(record)
    assert (by_phase.why, by_phase.ended_why, by_phase.by_hand) == ("phase create-Secret", "the phase is over", False)
    assert (by_hand.phase, by_hand.by_hand, by_hand.ended_ns is not None) == ("create-Secret-2", True, True)
    captured = {event["window"]: event for event in record.events("memray")}
    assert set(captured) == {by_phase.number, by_hand.number}
    for event in captured.values():
        assert (record.path / event["capture"]).stat().st_size == event["capture_bytes"] > 1000
        assert any("/opt/harness/" in place for entry in event["top"] for place in entry["stack"])
        assert (record.path / event["flamegraph"]).is_file()
    assert captured[by_hand.number]["capture"] == shown["capture"]
    assert record.verdict is not None
    assert record.verdict.warnings[0].startswith("profiled by memray in 2 windows only")
    judged = {item.expr: item.ok for item in record.verdict.expectations}
    assert judged == {"memory.rss.peak < 2Gi": None, "memory.rss.idle < 2Gi": True}
    assert "Profiled only in these windows" in (record.path / "report.html").read_text()


def test_a_child_killed_while_the_container_lives(kept: Kept, tmp_path: Path) -> None:
    """cgroup v1 has no group kill: the kubelet says nothing, and later calls any other ending OOMKilled."""
    child = json.dumps(GROWS)
    program = (
        f"import subprocess, sys\n{WAIT}"
        f"code = subprocess.run([sys.executable, '-c', {child}]).returncode\nprint('child', code, flush=True)\n"
        f"{WAIT}sys.exit(3)"
    )

    async def use() -> None:
        async with pod(kept, program, tmp_path) as at:
            collector = OomCollector()
            await collector.attach(context(at.sink, at.subject, cluster=NODES))
            if at.subject.cgroup is None:
                pytest.skip("this machine does not see the node's cgroups")
            at.go()
            await until("the kill", lambda: collector.kills)
            assert at.subject.ending() is None
            assert at.subject.pid in at.subject.pids(), "its first process lives"
            await until("the warning", lambda: at.sink.warnings)
            await until("the child's end in the log", lambda: "child -9" in at.log.read_text())
            at.go()
            ending = await at.subject.wait_ended(30)
            await collector.detach()
            (kill,) = at.sink.of("oom_kill")
            assert len(kill["pids_gone"]) <= 1
            assert at.subject.pid not in kill["pids_gone"]
            assert at.sink.last("oom.kills") == 1
            (warning,) = at.sink.warnings
            assert "while its main process lives on" in warning
            assert (ending.kind, ending.exit_code) == ("crash", 3)
            assert ending.sentence == "ended by itself with exit code 3; before that, 1 OOM kill of its processes"

    asyncio.run(use())


async def _killed_again(at: Started, oom: OomCollector, number: int, *, seen: bool) -> None:
    """Lead the pod's incarnation `number` (from 1) through its growth to its kill."""
    await until("its start in the log", lambda: at.log.read_text().count("here") >= number)
    await until("its start", lambda: len(at.sink.of("restart")) >= number - 1)
    begin = len(at.sink.values("memory.cgroup"))
    at.go()
    await until("its growth in the log", lambda: at.log.read_text().count("grown") >= number)
    if seen:
        await until("its growth", lambda: max(at.sink.values("memory.cgroup")[begin:], default=0) > LIMIT / 2)
    at.go()
    await until("its end", lambda: len(at.sink.of("container_ended")) >= number)
    await until("its kill", lambda: oom.kills >= number)


@pytest.mark.parametrize("seen", [True, False], ids=["cgroup", "kubelet-only"])
def test_each_kill_once_while_the_kubelet_starts_it_again(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, seen: bool
) -> None:
    """`kubelet-only`: as in a cluster whose nodes are other machines; its cgroups are hidden from the harness."""
    if not seen:
        monkeypatch.setattr("harness.subject.pod_cgroup.find", lambda *_: None)

    async def use() -> None:
        async with pod(kept, GROWS_TWICE, tmp_path, policy="Always") as at:
            oom, memory = OomCollector(), MemoryCollector()
            run = context(at.sink, at.subject, cluster=NODES)
            await oom.attach(run)
            await memory.attach(run)
            for number in (1, 2):
                await _killed_again(at, oom, number, seen=seen)
            assert at.subject.ending() is None, "the kubelet goes on"
            await memory.detach()
            await oom.detach()
            # a node that is starved may call a kill "Error": whoever sees the cgroup counts it nevertheless
            words = ("OOMKilled", "Error") if seen else ("OOMKilled",)
            ends = at.sink.of("container_ended")
            ended = [event for event in ends if event["exit_code"] == 137 and event["reason"] in words]
            kills = at.sink.of("oom_kill")
            assert [kill["number"] for kill in kills] == list(range(1, len(kills) + 1))
            assert len(kills) == len(ended) == at.sink.last("oom.kills")
            assert len({event["container_id"] for event in ended}) == len(ended)
            assert len(at.sink.of("restart")) >= 1
            assert (at.subject.cgroup is not None) == seen
            assert (at.sink.last("oom.limit_hits") is None) != seen, "hits nobody saw are not 0"
            (told,) = at.sink.of("kubelet_stats")
            assert told["stands_in"] is not seen
            peak = max(at.sink.values("memory.cgroup"), default=0)
            assert peak <= LIMIT + (1 << 20)
            assert peak > LIMIT / 2 or not seen, "ten times a second, the growth is seen"
            ending = await at.subject.stop(1)
            assert ending.kind == "our_signal"

    asyncio.run(use())


def test_kubelet_samples_stand_in_where_the_cgroup_is_hidden(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.subject.pod_cgroup.find", lambda *_: None)

    async def use() -> None:
        program = "import time\nx = bytearray(24 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1\ntime.sleep(600)"
        async with pod(kept, program, tmp_path) as at:
            memory = MemoryCollector()
            await memory.attach(context(at.sink, at.subject, cluster=NODES))
            await until("two samples", lambda: len(at.sink.values("memory.cgroup")) >= 2, 60)
            await memory.detach()
            for series in ("memory.rss", "memory.cgroup", "memory.working_set"):
                assert 24 << 20 < at.sink.values(series)[-1] < LIMIT
            assert at.sink.last("memory.anon") is None, "the kubelet does not tell"
            (told,) = at.sink.of("kubelet_stats")
            assert told["interval_s"] > 0

    asyncio.run(use())


def test_an_image_that_is_nowhere_is_told_in_the_kubelets_words(kept: Kept, tmp_path: Path) -> None:
    scenario = tmp_path / "own.yaml"
    scenario.write_text(
        "name: own\nsummary: An image that nobody has.\nsubject: {image: 'localhost:1/nobody/has:this'}\n"
        "load:\n  - create: {kind: Secret, count: 1}\n"
    )
    done = harness(
        "run", str(scenario), "--cluster", "kind", "--kind-name", kept.name, "--json", "--out", str(tmp_path)
    )
    run = shown(done)
    assert run["verdict"] == "invalid", "a subject that never was there"
    assert "its container did not start: ErrImagePull" in run["outcome"]["message"]
    assert "image localhost:1/nobody/has:this: is it on the node, or can it be pulled?" in run["outcome"]["message"]


RESTART = """
name: cold
summary: A cold start in a pod.
subject: {controller: fleet, options: {workers: 5}, memory_limit: 256Mi, cpu_limit: 1}
load:
  - create: {kind: Secret, count: 50, size: 1KB}
  - restart: {signal: KILL}
  - settle: {quiet_for: 1s, timeout: 1m}
expect: [completeness.Secret == 1, oom.kills == 0, restarts == 1]
"""


def test_a_restart_step_makes_the_next_pod(kept: Kept, tmp_path: Path) -> None:
    scenario = tmp_path / "cold.yaml"
    scenario.write_text(RESTART)
    done = harness(
        "run", str(scenario), "--cluster", "kind", "--kind-name", kept.name, "--json", "--out", str(tmp_path)
    )
    run = shown(done)
    assert run["verdict"] == "passed", (run["reasons"], run["warnings"])
    assert run["subject"]["pod"]["name"] == "subject-1"
    for name in ("startup.restart", "cpu.throttled", "tasks.settled", "memory.heap.settled"):
        assert run["results"][name]["value"] is not None, (
            name,
            run["results"][name],
            run["collectors"],
            run["warnings"],
        )
    assert run["ending"] is None
