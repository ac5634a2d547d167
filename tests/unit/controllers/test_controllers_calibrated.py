"""The reference controller with known truth: its switches, the arithmetic of its truth, what one reconcile does."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Coroutine
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import pytest
import yaml

from harness.controllers.calibrated import endings
from harness.controllers.calibrated.controller import ITEMS, CalibratedController
from harness.controllers.calibrated.ledger import Ledger
from harness.controllers.calibrated.options import Options, parse
from harness.controllers.calibrated.truth import Doses, Totals, due
from harness.controllers.runtime.metrics import Metrics
from harness.controllers.runtime.program import StartError
from harness.core.paths import data_dir, scenarios_dir

_ENDINGS = [sys.executable, "-I", "-S", endings.__file__]


def options(*arguments: str) -> Options:
    return parse(["--kubeconfig", "k", *arguments])


# -- switches ----------------------------------------------------------------------------------------------------------


def test_without_switches_it_does_its_work_and_nothing_else() -> None:
    plain = options()
    assert plain.doses == Doses()
    assert plain.doses.total(range(10), 10) == Totals(reconciles=10, writes=10)
    assert (plain.latency_s, plain.cpu_s, plain.truth) == (0, 0, None)
    assert (plain.kill_at, plain.thrash_at, plain.exit_at, plain.signal_at) == (None,) * 4


def test_switches_are_written_as_in_scenarios() -> None:
    made = options(
        "--bytes_per_object=100..10KiB", "--memory_factor=+5%", "--leak=1KiB", "--ballast=2MB", "--tasks_left=1/10",
        "--noop_writes=2", "--extra_writes=0.5", "--latency=20ms", "--latency_factor=1.1", "--cpu=2ms", "--seed=7",
        "--kill_at=100", "--signal_at=5", "--signal=KILL", "--exit_code=3",
    )  # fmt: skip
    assert made.doses == Doses(
        seed=7, bytes_per_object=(100, 10240), memory_factor=1.05, leak=1024, ballast=2_000_000,
        tasks_left=Fraction(1, 10), noop_writes=Fraction(2), extra_writes=Fraction(1, 2),
    )  # fmt: skip
    assert made.latency_s == pytest.approx(0.022)
    assert (made.cpu_s, made.kill_at, made.signal_at, made.signal, made.exit_code) == (0.002, 100, 5, signal.SIGKILL, 3)


@pytest.mark.parametrize(
    ("argument", "part"),
    [
        ("--bytes_per_object=10KiB..100", "ends below where it begins"),
        ("--bytes_per_object=ten", "'ten' is not a size"),
        ("--leak=1KX", "'1KX' is not a size"),
        ("--leak=-1", "'-1' is not a size"),
        ("--latency=20", "'20' is not a duration with its unit"),
        ("--tasks_left=1/0", "is not a number per reconcile"),
        ("--tasks_left=-1/10", "less than none"),
        ("--memory_factor=5%%", "is not a factor"),
        ("--memory_factor=-150%", "is not a factor"),
        ("--signal=HUMP", "is not a signal"),
        ("--exit_code=256", "is not an exit code"),
        ("--kill_at=0", "is not a whole number of 1 or more"),
        ("--noop_write=1", "did you mean '--noop_writes'?"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(capsys: pytest.CaptureFixture[str], argument: str, part: str) -> None:
    with pytest.raises(SystemExit) as ended:
        options(argument)
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n")) == (2, 1)
    assert part in said


# -- truth -------------------------------------------------------------------------------------------------------------


def test_what_is_held_is_drawn_by_seed_and_index_and_is_the_same_for_ever() -> None:
    doses = Doses(seed=11, bytes_per_object=(100, 10240))
    assert [doses.held(index) for index in range(4)] == PINNED
    assert sum(map(doses.held, range(2000))) == 10_525_860
    assert [Doses(seed=12, bytes_per_object=(100, 10240)).held(index) for index in range(4)] != PINNED


PINNED = [2935, 4256, 9859, 2067]


def test_draws_fill_their_range_evenly() -> None:
    drawn = [Doses(bytes_per_object=(100, 109)).held(index) for index in range(10_000)]
    assert set(drawn) == set(range(100, 110))
    assert all(850 < drawn.count(size) < 1150 for size in range(100, 110))


def test_what_is_held_has_its_size_and_is_no_zeros() -> None:
    doses = Doses(bytes_per_object=(10240, 10240), memory_factor=1.05)
    held = doses.content(3)
    assert len(held) == doses.held(3) == 10752
    assert len(zlib.compress(bytes(held))) > 10_000
    assert held != doses.content(4)


@pytest.mark.parametrize("share", ["0", "1/10", "1/3", "2", "2.5", "0.999"])
def test_shares_fall_due_exactly(share: str) -> None:
    wanted = Fraction(share)
    dues = [due(wanted, number) for number in range(1, 1001)]
    assert sum(dues) == int(wanted * 1000)
    assert max(dues) - min(dues) <= 1


def test_totals() -> None:
    doses = Doses(
        bytes_per_object=(10, 10), leak=7, ballast=1000, tasks_left=Fraction(1, 10), noop_writes=Fraction(2),
        extra_writes=Fraction(1, 2),
    )  # fmt: skip
    assert doses.total(range(20), 25) == Totals(25, 20 * 10 + 1000, 175, 2, 25 + 12 + 50, 50)
    assert doses.total((), 0) == Totals()


# -- one reconcile -----------------------------------------------------------------------------------------------------


class Patches:
    """A FAKE API: keeps the patches."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    async def merge_patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert path.startswith("/apis/calibrated.harness.dev/v1/namespaces/ns/items/item-")
        assert path.endswith("/status")
        self.bodies.append(body)
        return {}


class Bench:
    """A controller with the fake, and the ways to feed it."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.api, self.metrics, self.path = Patches(), Metrics(), directory / "truth.jsonl"
        made = options(f"--truth={self.path}", *arguments)
        self.ledger = Ledger(self.metrics, self.path)
        self.subject = CalibratedController(self.api, made, self.metrics, self.ledger)  # type: ignore[arg-type]
        self.queue = self.subject.controller.queue

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.ledger.__exit__(None, None, None)

    def event(self, index: int, type_: str = "ADDED", *, generation: int = 1, version: int = 1) -> str:
        name = f"item-{index}"
        metadata = {
            "name": name,
            "namespace": "ns",
            "uid": name,
            "resourceVersion": str(version),
            "generation": generation,
        }
        item = {"metadata": {**metadata, "managedFields": ["long"]}, "spec": {"index": index}, "status": {}}
        self.subject.informer._take({"type": type_, "object": item})
        return f"ns/{name}"

    async def reconcile(self, *indexes: int) -> None:
        for index in indexes:
            await self.subject.reconcile(self.event(index))

    def told(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"calibrated_truth_{name}")

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(within())


def test_what_it_does_and_what_it_says_are_what_the_switches_say(tmp_path: Path) -> None:
    switches = ("--bytes_per_object=100..10KiB", "--tasks_left=1/10", "--noop_writes=2", "--extra_writes=1/2",
                "--leak=1KiB", "--ballast=1MiB", "--seed=5")  # fmt: skip

    async def test() -> None:
        with Bench(tmp_path, *switches) as bench:
            await bench.reconcile(*range(25))
            true = options(*switches).doses.total(range(25), 25)
            assert (true.tasks_left, true.noop_writes, true.writes, true.leaked_bytes) == (
                2,
                50,
                25 + 12 + 50,
                25 * 1024,
            )
            told = {name: bench.told(name) for name in ("held_bytes", "leaked_bytes", "tasks_left", "objects")}
            told |= {name: bench.told(f"{name}_total") for name in ("reconciles", "writes", "noop_writes")}
            assert told == {
                "held_bytes": true.held_bytes, "leaked_bytes": true.leaked_bytes, "tasks_left": 2, "objects": 25,
                "reconciles": 25, "writes": true.writes, "noop_writes": true.noop_writes,
            }  # fmt: skip
            # What was really done:
            bodies = bench.api.bodies
            assert (len(bodies), bodies.count({})) == (true.writes, true.noop_writes)
            changing = [body["status"]["written"] for body in bodies if body]
            assert len(set(changing)) == len(changing) == 25 + 12
            ready = [
                body
                for body in bodies
                if body.get("status", {}).get("conditions") == [{"type": "Ready", "status": "True"}]
            ]
            assert len(ready) == 25
            left = [task for task in asyncio.all_tasks() if task.get_coro().__qualname__ == "calibrated.left"]  # type: ignore[union-attr]
            assert len(left) == 2
            held = bench.subject._held
            assert sum(map(len, held.values())) + 2**20 == true.held_bytes
            assert len(bench.subject._ballast or b"") == 2**20
            assert sum(map(len, bench.subject._leaked)) == true.leaked_bytes
            assert len(bench.lines) == 25
            last = bench.lines[-1]
            assert (last["number"], last["name"], last["index"], last["tasks_left"]) == (25, "item-24", 24, 2)
            assert last["event_ns"] < last["sent_ns"] < last["done_ns"] < time.monotonic_ns()

    run(test)


def test_what_an_object_held_goes_with_it_and_what_was_leaked_stays(tmp_path: Path) -> None:
    async def test() -> None:
        with Bench(tmp_path, "--bytes_per_object=1000", "--leak=10") as bench:
            await bench.reconcile(0, 1)
            await bench.subject.reconcile(bench.event(0, "DELETED", version=2))
            await bench.subject.reconcile("ns/item-0")  # gone already
            assert (bench.told("held_bytes"), bench.told("leaked_bytes"), bench.told("objects")) == (1000, 20, 1)
            assert len(bench.subject._held) == 1

    run(test)


def test_its_own_writes_queue_nothing_and_a_new_spec_does(tmp_path: Path) -> None:
    async def test() -> None:
        with Bench(tmp_path) as bench:
            key = bench.event(0)
            assert (await bench.queue.get(), len(bench.queue)) == (key, 0)
            bench.queue.done(key)
            bench.event(0, "MODIFIED", version=2)
            assert len(bench.queue) == 0
            bench.event(0, "MODIFIED", version=3, generation=2)
            assert len(bench.queue) == 1

    run(test)


def test_latency_passes_before_the_reconcile_without_holding_a_worker(tmp_path: Path) -> None:
    async def test() -> None:
        with Bench(tmp_path, "--latency=50ms", "--latency_factor=2") as bench:
            for index in range(5):
                bench.event(index)
            assert (len(bench.queue), bench.queue.delayed) == (0, 5)
            for _ in range(5):
                key = await bench.queue.get()
                assert key is not None
                await bench.subject.reconcile(key)
            waits = [(line["sent_ns"] - line["event_ns"]) / 1e9 for line in bench.lines]
            assert min(waits) >= 0.1

    run(test)


def test_cpu_is_burnt_and_told(tmp_path: Path) -> None:
    async def test() -> None:
        with Bench(tmp_path, "--cpu=20ms") as bench:
            began = time.thread_time()
            await bench.reconcile(0, 1)
            assert time.thread_time() - began >= 0.04
            assert 0.04 <= (bench.told("cpu_seconds_total") or 0) <= time.thread_time() - began

    run(test)


def test_what_it_keeps_of_an_object_is_little(tmp_path: Path) -> None:
    async def test() -> None:
        with Bench(tmp_path) as bench:
            item = bench.subject.informer.store.get(bench.event(7))
            assert item is not None
            assert sorted(item["metadata"]) == ["generation", "name", "namespace", "resourceVersion", "uid"]
            assert item["spec"] == {"index": 7}
            assert len(item) == 2

    run(test)


@pytest.mark.parametrize(
    ("how", "call"), [("kill", "allocate_past_the_limit"), ("thrash", "thrash"), ("signal", "die_of")]
)
def test_it_ends_after_so_many_reconciles_and_says_so_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, call: str
) -> None:
    async def test() -> None:
        ended: list[int] = []
        with Bench(tmp_path, f"--{how}_at=3") as bench:
            monkeypatch.setattr(endings, call, lambda *_: ended.append(len(bench.lines)))
            await bench.reconcile(*range(5))
            assert ended == [4]  # three reconciles, and the line that announces it
            assert [line["how"] for line in bench.lines if line["type"] == "end"] == [how]

    run(test)


def test_a_truth_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"missing/truth.jsonl: the truth cannot be written there: No such file"):
        Ledger(Metrics(), tmp_path / "missing" / "truth.jsonl")


# -- endings, for real -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "code"), [("exit:3", 3), ("signal:SEGV", -signal.SIGSEGV), ("signal:KILL", -signal.SIGKILL)]
)
def test_an_ending_is_what_it_is_called(how: str, code: int) -> None:
    assert subprocess.run([*_ENDINGS, how], timeout=20, check=False).returncode == code


def test_an_unknown_ending_is_one_line() -> None:
    ended = subprocess.run([*_ENDINGS, "vanish"], capture_output=True, text=True, timeout=20, check=False)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "'vanish' is not oom, thrash" in ended.stderr


def test_allocating_without_a_limit_stops_before_the_machine_does() -> None:
    with pytest.raises(MemoryError, match="still alive with 4 MiB allocated: there is no memory limit below"):
        endings.allocate_past_the_limit(4 << 20)


def test_thrashing_reads_on_and_on_and_leaves_no_file(tmp_path: Path) -> None:
    with subprocess.Popen([*_ENDINGS, "thrash"], env={**os.environ, "TMPDIR": str(tmp_path)}) as process:
        try:
            read = [64 << 20]  # more than an interpreter reads when it starts
            deadline = time.monotonic() + 60
            while len(read) < 4:
                assert time.monotonic() < deadline
                now = int(Path(f"/proc/{process.pid}/io").read_text().split()[1])
                if now > read[-1]:
                    read.append(now)
        finally:
            process.kill()
    assert all(after > before for before, after in pairwise(read))
    assert list(tmp_path.iterdir()) == []


# -- what comes with it ------------------------------------------------------------------------------------------------


def test_the_crd_and_the_role_are_those_of_the_kind() -> None:
    crd = yaml.safe_load((scenarios_dir() / "calibrated" / "crd.yaml").read_text())
    (version,) = crd["spec"]["versions"]
    names = crd["spec"]["names"]
    assert (crd["spec"]["group"], version["name"], names["kind"], names["plural"]) == (
        ITEMS.group, ITEMS.version, ITEMS.kind, ITEMS.plural,
    )  # fmt: skip
    assert version["subresources"] == {"status": {}}
    role = yaml.safe_load((data_dir("manifests") / "rbac" / "calibrated.yaml").read_text())
    assert role["metadata"]["name"] == "harness-calibrated"
    assert [(rule["resources"], rule["verbs"]) for rule in role["rules"]] == [
        (["items"], ["list", "watch"]), (["items/status"], ["patch"]),
    ]  # fmt: skip


def test_it_carries_nothing_of_the_harness_and_nothing_heavy() -> None:
    code = """
import sys, harness.controllers.calibrated.__main__
mine = [name for name in sys.modules if name.startswith("harness.") and not name.startswith("harness.controllers")]
heavy = [name for name in ("duckdb", "plotly", "numpy", "scipy", "locust", "gevent", "memray", "rich", "typer")
         if name in sys.modules]
print(mine, heavy)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.split() == ["[]", "[]"]


def test_an_unusable_kubeconfig_is_one_line_and_status_1(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "harness.controllers.calibrated", "--kubeconfig", str(tmp_path / "none")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert ended.stderr.startswith("calibrated: kubeconfig ")
