"""memray attached to a process with files, processes and a network of its own, as one in a pod has them."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from memray import FileReader

from harness.collectors import procfs
from harness.collectors.attach import container, entry
from harness.collectors.attach.record import Recording, record
from harness.collectors.attach.target import inspect
from harness.core.errors import EnvironmentFault
from harness.core.handles import Launch, SharedFolder
from harness.toolchain import inject
from tests.collecting import ListSink, launch
from tests.integration.conftest import Printed

_ISOLATED = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]


def _unshared() -> bool:
    tools = all(shutil.which(name) for name in ("unshare", "mount", "ip"))
    return tools and subprocess.run([*_ISOLATED, "true"], capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(not _unshared(), reason="no namespaces of one's own can be made here")

_PROGRAM = """
import time
kept = []
def holds_on():
    kept.append(bytearray(1 << 16))
print("ready", flush=True)
while True:
    holds_on()
    print("held", flush=True)
    time.sleep(0.01)
    del kept[:-100]
"""


class Contained(NamedTuple):
    pid: int
    plan: Launch
    held: list[bytes]
    """A line for each time that it has held on."""

    async def holds_on(self) -> None:
        """Wait until it has done so, all of it, once more."""
        target = len(self.held) + 2
        while len(self.held) < target:  # noqa: ASYNC110 # another process's work
            await asyncio.sleep(0.01)


@pytest.fixture
def contained(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Contained]:
    """A Python process that finds memray (False: does not) and writes captures at paths where there is nothing for us."""
    plan = launch([sys.executable], ListSink(), tmp_path / "run")
    plan.shared = SharedFolder(tmp_path / "shared", str(tmp_path / "inside" / "shared"))
    assert plan.python is not None
    side = asyncio.run(inject.ensure(plan.python, Printed()))
    for name in ("shared", "tools", "inside/shared", "inside/tools", "inside/side", "run"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    script = (
        f"mount --bind {side} {tmp_path}/inside/side && mount --bind {tmp_path}/shared {tmp_path}/inside/shared && "
        f'mount --bind {tmp_path}/tools {tmp_path}/inside/tools && ip link set lo up && exec "$@"'
    )
    command = [*_ISOLATED, "sh", "-c", script, "sh", sys.executable, "-c", _PROGRAM]
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    if getattr(request, "param", True):
        env["PYTHONPATH"] = str(tmp_path / "inside" / "side")
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            (pid,) = procfs.children_of(process.pid)
            held: list[bytes] = []
            threading.Thread(target=held.extend, args=(process.stdout,), daemon=True).start()
            yield Contained(pid, plan, held)
        finally:
            process.kill()


def _names(capture: Path, *, left: bool) -> set[str]:
    with FileReader(capture) as reader:
        records = reader.get_leaked_allocation_records() if left else reader.get_high_watermark_allocation_records()
        return {frame[0] for record in records for frame in record.stack_trace()}
    raise AssertionError("a reader swallows nothing")


def test_it_is_entered_left_alone_and_its_capture_is_copied_out(contained: Contained, tmp_path: Path) -> None:
    async def cycle() -> Path:
        folder = await entry.prepare(contained.plan, Printed())
        attachment = await entry.enter(contained.plan, [contained.pid], folder / "a.bin", Printed())
        await contained.holds_on()
        await attachment.ping()
        await attachment.detach()
        return attachment.capture

    with pytest.raises(EnvironmentFault, match="is in another container"):
        inspect(contained.pid)
    copied = entry.into_record(asyncio.run(cycle()), tmp_path / "run")
    assert copied == tmp_path / "run" / "profiles" / "a.bin"
    assert "holds_on" in _names(copied, left=False)
    before = procfs.read_process(contained.pid)
    time.sleep(0.2)
    after = procfs.read_process(contained.pid)
    assert before is not None
    assert after is not None, "it lives on"
    assert not list((tmp_path / "inside" / "shared").iterdir()), "outside there is nothing at its paths"


def test_a_kill_leaves_a_capture_that_can_be_read(contained: Contained) -> None:
    async def cycle() -> Path:
        folder = await entry.prepare(contained.plan, Printed())
        attachment = await entry.enter(contained.plan, [contained.pid], folder / "k.bin", Printed())
        await contained.holds_on()
        os.kill(contained.pid, signal.SIGKILL)
        with pytest.raises(Exception, match="is gone"):
            await attachment.detach()
        return attachment.capture

    assert "holds_on" in _names(asyncio.run(cycle()), left=True)


@pytest.mark.parametrize("contained", [False], indirect=True)
def test_by_hand_memray_is_put_where_a_container_without_it_finds_it(contained: Contained, tmp_path: Path) -> None:
    """Twice: what is there the second time is used as it is."""
    shared = container.Shared(
        SharedFolder(tmp_path / "shared", str(tmp_path / "inside" / "shared")),
        SharedFolder(tmp_path / "tools", str(tmp_path / "inside" / "tools")),
    )

    async def look(name: str) -> Recording:
        return await record(contained.pid, 0.5, tmp_path / "run", Printed(), asyncio.Event(), name=name, pod=shared)

    with pytest.raises(EnvironmentFault, match="memray is not in its container"):
        asyncio.run(container.examine(contained.pid))
    for name in ("first", "second"):
        found = asyncio.run(look(name))
        assert not found.ended, "it lives on"
        assert found.event["capture"] == f"profiles/{name}.bin"
        assert "holds_on" in _names(tmp_path / "run" / "profiles" / f"{name}.bin", left=False)
        assert (tmp_path / "run" / found.event["flamegraph"]).is_file()
    assert [path.name[:8] for path in (tmp_path / "tools").iterdir()] == ["by-hand-"]


def test_without_memray_inside_it_is_said_what_to_do(contained: Contained, tmp_path: Path) -> None:
    empty = tmp_path / "proc"
    (empty / "self").mkdir(parents=True)
    (empty / "self" / "status").write_text("CapEff:\t000001ffffffffff\n")
    (empty / str(contained.pid)).mkdir()
    (empty / str(contained.pid) / "environ").write_bytes(b"PYTHONPATH=/nowhere\0A=b\0")
    with pytest.raises(EnvironmentFault, match="memray is not in its container"):
        container._examine(contained.pid, empty)
    (empty / "self" / "status").write_text("CapEff:\t0000000000000000\n")
    with pytest.raises(EnvironmentFault, match="run the harness as root"):
        container._examine(contained.pid, empty)
