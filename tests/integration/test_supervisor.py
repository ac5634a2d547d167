"""Nothing is left of a run's processes, files and cgroups, however the harness goes.

Each test starts a small program in the harness's place and ends it in one way.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.core.ids import new_run_id
from harness.process import end_leftovers, leftover_cgroups, leftovers
from harness.subject import limits

DEADLINE_S = 20.0

# A tree that is hard to end: a deaf grandchild, a daemon in a session of its own, a process in a group of its own.
TREE = r"""
import os, signal, subprocess, sys, time
sleep = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(120)"
def python(code, **options):
    return subprocess.Popen([sys.executable, "-I", "-S", "-c", code], **options)
deaf = python(sleep)
group = python(sleep, process_group=0)
daemon = python(
    "import os, time\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork() == 0:\n"
    "        open(os.environ['UP'] + '-daemon', 'w').close()\n"
    f"        exec({sleep!r})\n"
)
daemon.wait()
while not os.path.exists(os.environ["UP"] + "-daemon"):
    time.sleep(0.01)
def polite(*_):
    open(os.environ["TRACE"], "w").write("terminated")
    sys.exit(0)
signal.signal(signal.SIGTERM, polite)
open(os.environ["UP"], "w").close()
time.sleep(120)
"""

HARNESS = r"""
import asyncio, json, os, sys
from pathlib import Path
from harness.process import spawn
order = json.loads(sys.argv[1])
async def main():
    children = []
    try:
        for number in range(order["children"]):
            marks = {name.upper(): f"{order['marks']}/{name}{number}" for name in ("trace", "up")}
            env = {**os.environ, "HARNESS_RUN_ID": order["run_id"], **marks}
            children.append(await spawn(
                [sys.executable, "-I", "-S", "-c", order["tree"]], name=f"tree-{number}", env=env, kill_grace_s=order["grace_s"],
                cgroup=[Path(path) for path in order["cgroups"]], remove=[Path(path) for path in order["remove"]],
            ))
        if order["fork"] and os.fork() == 0:  # it holds every lifeline open
            import time; time.sleep(60); os._exit(0)
        await asyncio.sleep(120)
    finally:
        for child in children:
            await child.stop(order["grace_s"])
asyncio.run(main())
"""


class Run:
    """A program in the harness's place."""

    def __init__(self, tmp_path: Path) -> None:
        self.run_id = new_run_id()
        self.tmp_path = tmp_path
        self.data = tmp_path / "data"
        (self.data / "etcd").mkdir(parents=True)
        self.process: subprocess.Popen[bytes] | None = None

    def start(
        self, *, children: int = 1, fork: bool = False, cgroup: Path | None = None, grace_s: float = 0.5
    ) -> subprocess.Popen[bytes]:
        order = {
            "run_id": self.run_id, "children": children, "tree": TREE, "marks": str(self.tmp_path),
            "remove": [str(path) for path in (*([cgroup, cgroup.parent] if cgroup else []), self.data)],
            "cgroups": [str(cgroup)] if cgroup else [], "fork": fork, "grace_s": grace_s,
        }  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-c", HARNESS, json.dumps(order)], start_new_session=True, stderr=subprocess.DEVNULL
        )
        return self.process

    def wait_up(self, children: int = 1) -> None:
        until(lambda: all((self.tmp_path / f"up{number}").exists() for number in range(children)))

    def assert_terminated(self, children: int = 1) -> None:
        """Each was asked to end, and had the time to say so."""
        for number in range(children):
            assert (self.tmp_path / f"trace{number}").read_text() == "terminated"

    def assert_nothing_left(self) -> None:
        until(lambda: not leftovers(self.run_id))
        until(lambda: not self.data.exists())
        until(lambda: not leftover_cgroups(self.run_id))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    yield run
    assert run.process is not None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(run.process.pid, signal.SIGKILL)
    run.process.wait(DEADLINE_S)
    for process in leftovers(run.run_id):
        os.kill(process.pid, signal.SIGKILL)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        time.sleep(0.02)


def test_the_harness_is_killed(run: Run) -> None:
    harness = run.start(children=2, grace_s=10)
    run.wait_up(2)
    until(lambda: len(leftovers(run.run_id)) == 2 * 5)  # supervisor, main process, deaf child, its group, daemon
    harness.kill()
    harness.wait(DEADLINE_S)
    run.assert_nothing_left()
    run.assert_terminated(2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_the_harness_is_terminated(run: Run, number: signal.Signals) -> None:
    harness = run.start()
    run.wait_up()
    harness.send_signal(number)
    assert harness.wait(DEADLINE_S) == -number
    run.assert_nothing_left()


def test_ctrl_c_reaches_the_harness_only(run: Run) -> None:
    harness = run.start(grace_s=10)
    run.wait_up()
    os.killpg(harness.pid, signal.SIGINT)  # what a terminal does: the whole foreground group
    assert harness.wait(DEADLINE_S) != 0
    run.assert_nothing_left()
    run.assert_terminated()  # asked by stop(), not interrupted


@pytest.mark.parametrize("delay_ms", [0, 120, 160, 200, 240, 280, 320, 400])
def test_the_harness_is_killed_while_it_starts_children(run: Run, delay_ms: int) -> None:
    harness = run.start(children=8)
    time.sleep(delay_ms / 1000)
    harness.kill()
    harness.wait(DEADLINE_S)
    until(lambda: not leftovers(run.run_id))


def test_a_fork_of_the_harness_does_not_keep_children_alive(run: Run) -> None:
    harness = run.start(fork=True)
    run.wait_up()
    harness.kill()
    harness.wait(DEADLINE_S)
    run.assert_nothing_left()  # the fork itself carries no marks
    os.killpg(harness.pid, 0)  # and still lives


def test_harness_and_supervisor_are_killed_together(run: Run) -> None:
    harness = run.start()
    run.wait_up()
    found = leftovers(run.run_id)
    (supervisor,) = [item for item in found if "supervisor.py" in item.command]
    os.kill(supervisor.pid, signal.SIGSTOP)  # or it would be faster than this test
    harness.kill()
    harness.wait(DEADLINE_S)
    os.kill(supervisor.pid, signal.SIGKILL)
    # The one case in which something stays, until `harness clean`: it is found, and known to be an orphan.
    until(lambda: len(leftovers(run.run_id)) == 3)  # without the main process, which went along
    assert not any("polite" in item.command for item in leftovers(run.run_id))
    assert all(item.orphaned for item in leftovers(run.run_id))
    assert end_leftovers(leftovers(run.run_id)) == []
    assert leftovers(run.run_id) == []


@pytest.mark.skipif(not limits.probe().ok, reason=f"no memory limits here: {limits.probe().sentence}")
def test_cgroups_go_with_the_harness(run: Run) -> None:
    cgroup = limits.create(run.run_id, 0, 256 * 2**20)
    harness = run.start(cgroup=cgroup.path)
    run.wait_up()
    until(lambda: len(cgroup.pids()) == 4)  # all but the supervisor
    assert [item.path for item in leftover_cgroups(run.run_id)] == [cgroup.path.parent]
    harness.kill()
    harness.wait(DEADLINE_S)
    run.assert_nothing_left()
