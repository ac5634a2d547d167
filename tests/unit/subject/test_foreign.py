"""A process that somebody else has started: found, measured, never ended; and what cannot be measured, in one line."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.clock import RunClock
from harness.core.errors import EnvironmentFault, HarnessError, UsageError
from harness.subject import foreign


def test_it_is_found_and_lives_on_and_its_end_is_seen() -> None:
    async def check(process: subprocess.Popen[bytes]) -> None:
        subject = await foreign.find(process.pid, RunClock())
        try:
            assert (subject.runtime, subject.pids()[0], subject.ending()) == ("python", process.pid, None)
            assert subject.command[1:] == ["-c", "import time; time.sleep(60)", "--token=REDACTED"]
            assert process.poll() is None
            process.kill()
            process.wait()  # its number may now be another's
            ending = await asyncio.wait_for(subject.wait_ended(), 10)
            assert (ending.kind, ending.exit_code) == ("gone", None)
            assert ending.sentence == f"process {process.pid} has ended; how, only its parent knows"
            assert subject.pids() == []
        finally:
            subject.close()
            subject.close()

    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "--token=geheim"]) as process:
        try:
            asyncio.run(check(process))
        finally:
            process.kill()


def test_a_process_that_is_just_becoming_another_program_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = tmp_path / "77" / "cmdline"
    words.parent.mkdir()
    words.write_bytes(b"")  # as the kernel shows it within exec

    async def told() -> list[str]:
        asyncio.get_running_loop().call_later(0.1, words.write_bytes, b"sleep\0\x36\0")
        return await foreign._words(77, tmp_path)

    assert foreign.command_line(77, tmp_path) == []
    assert asyncio.run(told()) == ["sleep", "6"]
    words.write_bytes(b"")
    monkeypatch.setattr(foreign, "EXEC_S", 0.05)
    assert asyncio.run(foreign._words(77, tmp_path)) == []  # it has none, and never will


def test_a_zombie_has_ended_although_its_number_is_still_taken() -> None:
    async def check(process: subprocess.Popen[bytes]) -> None:
        subject = await foreign.find(process.pid, RunClock())
        try:
            process.kill()
            ending = await asyncio.wait_for(subject.wait_ended(), 10)  # nobody has waited for it yet
            assert ending.kind == "gone"
        finally:
            subject.close()

    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            asyncio.run(check(process))
            with pytest.raises(UsageError, match="it has ended already; its parent has not taken notice"):
                foreign.check(process.pid)
        finally:
            process.kill()


def test_itself_and_what_is_not_there_are_refused() -> None:
    with pytest.raises(UsageError, match="that is the harness itself; name the controller's process"):
        foreign.check(os.getpid())
    with pytest.raises(UsageError, match=r"^pid 4194303: there is no such process; "):
        foreign.check(4194303)


@pytest.mark.parametrize(
    ("stat", "owner", "said"),
    [
        ("77 (kworker/0:1 (x)) S 2 0", None, "it is a thread of the kernel"),
        ("77 (sshd) S 1 0", 4242, "it belongs to user 4242: only they and root can measure it"),
        ("77 (mine) S 1 0", None, ""),
    ],
)
def test_what_is_not_ours_to_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stat: str, owner: int | None, said: str
) -> None:
    (tmp_path / "77").mkdir()
    (tmp_path / "77" / "stat").write_text(stat)
    if owner is not None:  # the tree is ours: we become somebody else
        monkeypatch.setattr(foreign.os, "geteuid", lambda: 1000)
        monkeypatch.setattr(foreign, "_owner", lambda _path: owner)
    if not said:
        foreign.check(77, tmp_path)
        return
    with pytest.raises(HarnessError, match=said) as caught:
        foreign.check(77, tmp_path)
    assert isinstance(caught.value, UsageError if owner is None else EnvironmentFault)
