"""Children under their supervisor, as the harness that holds them sees it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import EnvironmentFault, UsageError
from harness.core.ids import new_run_id
from harness.process import PIPE, STDOUT, Child, descendants, leftovers, spawn

RUN_ID = new_run_id()
ENV = {"PATH": os.environ["PATH"], "HARNESS_RUN_ID": RUN_ID}


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await body()

    asyncio.run(bounded())


async def line(child: Child) -> str:
    assert child.stdout is not None
    return (await child.stdout.readline()).decode().strip()


async def until(condition: Callable[[], object]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the condition never came true")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the second where it goes between open and read
        return False


def test_a_child_runs_on_the_cpus_it_was_given() -> None:
    one = max(os.sched_getaffinity(0))
    code = "import os; print(sorted(os.sched_getaffinity(0)))"

    async def body() -> None:
        for cpus, expected in (({one}, [one]), (None, sorted(os.sched_getaffinity(0)))):
            child = await spawn(python(code), name="c", env=ENV, stdout=PIPE, cpus=cpus)
            assert await line(child) == str(expected)
            await child.stop()
        with pytest.raises(EnvironmentFault, match=r"cannot be pinned to the CPUs 4000: .*; use --no-pin"):
            await spawn(python(code), name="c", env=ENV, cpus=[4000])

    run(body)


def test_streams_environment_and_exit(tmp_path: Path) -> None:
    async def body() -> None:
        code = "import os,sys; print(os.environ['X'], os.getcwd(), flush=True); print(input()[::-1]); print('e', file=sys.stderr)"
        child = await spawn(
            python(code), name="c", env={**ENV, "X": "1=2"}, cwd=Path("/"), stdin=PIPE, stdout=PIPE, stderr=PIPE,
            remove=[tmp_path],
        )  # fmt: skip
        assert os.getsid(child.supervisor_pid) == child.supervisor_pid  # out of a terminal's reach
        assert alive(child.pid)
        assert await line(child) == "1=2 /"
        assert child.returned() is None
        assert child.stdin is not None
        assert child.stderr is not None
        child.stdin.write(b"abc\n")
        assert await line(child) == "cba"
        assert await child.stderr.read() == b"e\n"  # ends with the child, though its supervisor lives on
        exit_ = await child.wait(10)
        assert (exit_.code, exit_.signal, exit_.sent, exit_.supervised) == (0, None, (), True)
        assert exit_.max_rss_bytes > 2**20
        assert exit_.cpu_s > 0
        assert await child.stop() == exit_ == await child.stop() == child.returned()

    run(body)


def test_output_to_a_file_is_appended_and_private(tmp_path: Path) -> None:
    async def body() -> None:
        log = tmp_path / "logs" / "c.log"
        for word in ("one", "two"):
            code = f"import sys; print('{word}', flush=True); print('err', file=sys.stderr)"
            child = await spawn(python(code), name="c", env=ENV, stdout=log, stderr=STDOUT)
            await child.wait(10)
            await child.stop()
        assert log.read_text() == "one\nerr\ntwo\nerr\n"
        assert log.stat().st_mode & 0o777 == 0o600

    run(body)


def test_long_lines_and_unread_output_do_not_block_the_end() -> None:
    async def body() -> None:
        child = await spawn(python("print('x' * 3_000_000)"), name="c", env=ENV, stdout=PIPE)
        assert len(await line(child)) == 3_000_000
        await child.stop()
        flood = await spawn(["yes"], name="flood", env=ENV, stdout=PIPE)
        await line(flood)
        await flood.stop(0)

    run(body)


@pytest.mark.parametrize(
    ("code", "expected", "number"),
    [
        ("raise SystemExit(3)", 3, None),
        ("import os; os.abort()", 134, 6),
        ("import os; os.kill(os.getpid(), 9)", 137, 9),
    ],
)
def test_codes_follow_the_shell(code: str, expected: int, number: int | None) -> None:
    async def body() -> None:
        child = await spawn(python(code), name="c", env=ENV)
        exit_ = await child.wait(10)
        assert (exit_.code, exit_.signal, exit_.sent) == (expected, number, ())
        await child.stop()

    run(body)


@pytest.mark.parametrize(
    ("command", "options", "error", "words"),
    [
        (["no-such-command"], {}, UsageError, "c: cannot start 'no-such-command': no such command on PATH"),
        (["./nope"], {"cwd": Path("/")}, UsageError, "no such command in /"),
        ([__file__], {}, UsageError, "not executable; chmod +x"),
        (["true"], {"cwd": Path("/no/such")}, UsageError, "cannot work in '/no/such'"),
        (["true"], {"cgroup": Path("/no/such")}, EnvironmentFault, "cannot join the cgroup /no/such: No such file"),
    ],
)
def test_a_command_that_cannot_start(command: list[str], options: dict[str, Any], error: type, words: str) -> None:
    async def body() -> None:
        with pytest.raises(error, match=words.replace("+", r"\+")):
            await spawn(command, name="c", env=ENV, **options)
        assert leftovers(RUN_ID) == []

    run(body)


def test_a_script_whose_interpreter_is_missing(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)

    async def body() -> None:
        with pytest.raises(UsageError, match="interpreter its first line names"):
            await spawn([str(script)], name="c", env=ENV)

    run(body)


def test_children_inherit_no_descriptors_and_no_terminal() -> None:
    async def body() -> None:
        code = "import os; print(sorted(os.listdir('/proc/self/fd')), os.getsid(0) == os.getpid(), flush=True); input()"
        children = [await spawn(python(code), name="c", env=ENV, stdin=PIPE, stdout=PIPE) for _ in range(3)]
        for child in children:
            # 3 is the listing's own.
            assert await line(child) == "['0', '1', '2', '3'] True"
        for child in children:
            await child.stop(0)

    run(body)


def test_stop_asks_first_and_insists_later() -> None:
    async def body() -> None:
        polite = (
            "import signal,sys,time; signal.signal(15, lambda *_: sys.exit(7)); print(1, flush=True); time.sleep(60)"
        )
        deaf = "import signal,time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
        child = await spawn(python(polite), name="polite", env=ENV, stdout=PIPE)
        await line(child)
        exit_ = await child.stop(20)
        assert (exit_.code, exit_.sent) == (7, (15,))
        child = await spawn(python(deaf), name="deaf", env=ENV, stdout=PIPE)
        await line(child)
        exit_ = await child.stop(0.1)
        assert (exit_.code, exit_.signal, exit_.sent) == (137, 9, (15, 9))
        child = await spawn(python(deaf), name="deaf", env=ENV, stdout=PIPE)
        await line(child)
        assert (await child.kill()).sent == (9,)

    run(body)


def test_a_stopped_process_is_ended_too() -> None:
    async def body() -> None:
        code = "import signal,sys,time; signal.signal(15, lambda *_: sys.exit(7)); print(1, flush=True); time.sleep(60)"
        child = await spawn(python(code), name="c", env=ENV, stdout=PIPE)
        await line(child)
        child.send_signal(signal.SIGSTOP)
        exit_ = await child.stop(20)
        assert (exit_.code, exit_.sent) == (7, (19, 15))

    run(body)


def test_wait_has_a_deadline() -> None:
    async def body() -> None:
        child = await spawn(["sleep", "60"], name="c", env=ENV)
        with pytest.raises(TimeoutError):
            await child.wait(0.05)
        child.send_signal(signal.SIGINT)
        assert (await child.wait(10)).code == 130
        await child.stop()

    run(body)


# A daemon: double fork, a session of its own, deaf to SIGTERM.
DAEMON = "(setsid sh -c 'trap \"\" TERM; sleep 60; sleep 60' &)"


def test_what_the_main_process_leaves_behind_is_ended() -> None:
    async def body() -> None:
        program = f"{DAEMON}; sleep 60 & read _; exit 5"
        child = await spawn(["sh", "-c", program], name="c", env=ENV, stdin=PIPE, kill_grace_s=0.1)
        await until(lambda: len(descendants(child.supervisor_pid)) >= 4)
        below = descendants(child.supervisor_pid)
        assert child.stdin is not None
        child.stdin.write(b"\n")
        assert (await child.wait(10)).code == 5
        await child.stop()
        assert not any(map(alive, below))
        assert leftovers(RUN_ID) == []

    run(body)


def test_paths_are_removed_at_the_end_only(tmp_path: Path) -> None:
    async def body() -> None:
        directory, file = tmp_path / "d", tmp_path / "f"
        (directory / "sub").mkdir(parents=True)
        (directory / "sub" / "x").touch()
        file.touch()
        child = await spawn(["true"], name="c", env=ENV, remove=[directory, file, tmp_path / "never-made"])
        await child.wait(10)
        await child.end()
        assert directory.exists()
        assert file.exists()
        await child.release()
        assert not directory.exists()
        assert not file.exists()

    run(body)


def test_without_its_supervisor_a_child_does_not_live_on(tmp_path: Path) -> None:
    async def body() -> None:
        kept = tmp_path / "kept"
        kept.touch()
        child = await spawn(["sh", "-c", f"{DAEMON}; sleep 60"], name="c", env=ENV, remove=[kept])
        await until(lambda: len(descendants(child.supervisor_pid)) >= 4)
        below = descendants(child.supervisor_pid)
        os.kill(child.supervisor_pid, signal.SIGKILL)
        exit_ = await child.wait(10)
        assert not exit_.supervised
        assert exit_.signal == signal.SIGKILL
        assert not any(map(alive, below))
        await child.stop()
        assert not kept.exists()

    run(body)


def test_a_supervisor_that_is_terminated_ends_its_child() -> None:
    async def body() -> None:
        child = await spawn(["sleep", "60"], name="c", env=ENV)
        os.kill(child.supervisor_pid, signal.SIGTERM)
        assert (await child.wait(10)).signal == signal.SIGTERM
        await child.stop()
        assert leftovers(RUN_ID) == []

    run(body)


def test_spawning_that_is_cancelled_leaves_nothing() -> None:
    async def body() -> None:
        for delay in (0, 0.005, 0.01, 0.02, 0.03):
            spawning = asyncio.create_task(spawn(["sleep", "60"], name="c", env=ENV))
            await asyncio.sleep(delay)
            spawning.cancel()
            (result,) = await asyncio.gather(spawning, return_exceptions=True)
            if isinstance(result, Child):  # it was faster
                await result.stop(0)
            assert leftovers(RUN_ID) == []

    run(body)
