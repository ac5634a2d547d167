"""The agent in real Python processes: what it tells, and that the process does not notice it."""

from __future__ import annotations

import json
import signal
import socket
import struct
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from harness.agent import side_dir
from tests.unit.agent.agent_server import AgentServer

TASKS = """
import asyncio, time
async def sleeper(): await asyncio.sleep(60)
async def block():
    while True:
        await asyncio.sleep(0.4)
        time.sleep(0.35)
async def main():
    tasks = [asyncio.create_task(sleeper()) for _ in range(40)] + [asyncio.create_task(block())]
    await asyncio.gather(*tasks)
"""
RUN = TASKS + "asyncio.run(main())\n"


def test_tasks_by_name_lag_of_a_blocked_loop_and_heap() -> None:
    with AgentServer(RUN) as server:
        report = server.until(lambda got: [m for m in got if m.get("tasks") == 42])[-1]
        assert (report["loops"], report["rest"]) == ([42], 0)
        assert report["names"] == {"sleeper": 40, "block": 1, "main": 1}
        assert report["threads"] == 2
        assert report["fds"] >= 4
        late = server.until(lambda got: [lag for m in got for lag in m.get("lags", []) if lag[1] > 150_000_000])
        assert late[0][1] < 10_000_000_000
        server.ask()
        server.until(lambda _: server.of("collect"))
        (heap,) = server.of("collect")
        assert heap["reasons"] == {}
        assert 1 << 20 < heap["pymalloc"] < 1 << 28
        assert 1 << 18 < heap["malloc"] < 1 << 28
        assert 0 < heap["pymalloc_free"] < 1 << 28
        assert 0 <= heap["malloc_free"] < 1 << 28
        server.ask("trim")
        server.until(lambda _: server.of("trim"))
        assert isinstance(server.of("trim")[0]["trimmed"], bool)
        hello = server.of("hello")[0]
        assert hello["pid"] == server.process.pid


def test_loop_without_a_python_frame_is_found_behind_its_tasks() -> None:
    # Not asyncio.run, and run_forever renamed: as with a loop written in C, no frame of asyncio leads to it.
    program = (
        TASKS
        + """
class Own(asyncio.SelectorEventLoop):
    def run_forever(self):
        self._thread_id = __import__("threading").get_ident()
        asyncio._set_running_loop(self)
        while True: self._run_once()
loop = Own()
asyncio.set_event_loop(loop)
loop.create_task(main())
loop.run_forever()
"""
    )
    with AgentServer(program) as server:
        server.until(lambda got: [m for m in got if m.get("names", {}).get("sleeper") == 40])


def test_a_runner_that_has_no_loop_yet_is_not_given_one() -> None:
    # The class of its coroutine is asked for in Runner.run, before the runner makes its loop: there it is held up.
    program = """
import asyncio, sys, threading, time
class Slow:
    @property
    def __class__(self):
        inside.set()
        go_on.wait()
        return Slow
inside, go_on, runner = threading.Event(), threading.Event(), asyncio.Runner()
def run():
    try: runner.run(Slow())
    except ValueError: pass
thread = threading.Thread(target=run)
thread.start()
inside.wait()
time.sleep(1)
print("none" if runner._loop is None else "one", flush=True)
go_on.set()
thread.join()
asyncio.run(asyncio.sleep(60))
"""
    with AgentServer(program) as server:
        assert server.process.stdout is not None
        assert server.process.stdout.readline() == "none\n"
        server.until(lambda got: [m for m in got if m.get("tasks") == 1])


def test_tuples_that_the_program_is_still_filling_are_left_alone() -> None:
    # asyncio is imported and no loop runs: the agent looks for loops everywhere it may. A tuple that it touched while
    # the program fills it could not be resized any more (SystemError).
    program = """
import asyncio, time
end = time.monotonic() + 4
while time.monotonic() < end:
    for _ in range(200):
        tuple(i for i in range(3000))
print("unharmed")
"""
    with AgentServer(program) as server:
        code, output, errors = server.finished()
        assert (code, output) == (0, "unharmed\n"), errors
        assert server.of("hello"), "the agent was not there"


def test_forked_children_and_other_python_processes_connect_too() -> None:
    program = (
        TASKS
        + """
import os, subprocess, sys
if os.fork() == 0:
    asyncio.run(main())
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
asyncio.run(main())
"""
    )
    with AgentServer(program) as server:
        newest: dict[int, int | None] = {}

        def all_there(got: list[dict[str, object]]) -> bool:
            newest.update({m["pid"]: None for m in got if m["type"] == "hello"})  # type: ignore[misc] # JSON
            tasks = {m["connection"]: m["tasks"] for m in got if m["type"] == "report"}
            return len(newest) == 3 and sorted(str(value) for value in tasks.values()) == ["42", "42", "None"]

        server.until(all_there)


def test_program_without_asyncio_ends_as_it_would() -> None:
    program = "import sys; print('out'); print('err', file=sys.stderr); print('asyncio' in sys.modules); sys.exit(3)"
    with AgentServer(program) as server:
        assert server.finished() == (3, "out\nFalse\n", "err\n")


def test_nobody_listens_and_nobody_notices() -> None:
    with AgentServer("print('fine')", env={"HARNESS_AGENT_SOCKET": "/nonexistent/agent"}) as server:
        assert server.finished() == (0, "fine\n", "")


def test_hidden_sitecustomize_runs_and_its_errors_are_its_own(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import builtins; builtins.CHAINED = __file__\n")
    with AgentServer("import sitecustomize; print(CHAINED, sitecustomize.__file__)", path=str(tmp_path)) as server:
        code, out, err = server.finished()
        assert (code, err) == (0, "")
        assert out == f"{tmp_path / 'sitecustomize.py'} {tmp_path / 'sitecustomize.py'}\n"
    (tmp_path / "sitecustomize.py").write_text("raise RuntimeError('as before')\n")
    with AgentServer("print('on')", path=str(tmp_path)) as server:
        code, out, err = server.finished()
        assert (code, out) == (0, "on\n")
        assert "RuntimeError: as before" in err


def test_signal_meant_for_sigwait_reaches_it() -> None:
    program = """
import signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
print("ready", flush=True)
time.sleep(0.5)  # the signal comes while no thread of the program would take it
print(signal.sigwait({signal.SIGTERM}).name)
"""
    with AgentServer(program) as server:
        server.until(lambda _: server.of("report"))
        assert server.process.stdout is not None
        assert server.process.stdout.readline() == "ready\n"
        server.process.send_signal(signal.SIGTERM)
        assert server.finished()[:2] == (0, "SIGTERM\n")


def test_reused_descriptor_is_left_alone() -> None:
    # A daemon closes all descriptors; the next socket gets the number of ours.
    program = """
import os, socket, time
time.sleep(0.3)
os.closerange(3, 100)
pairs = [socket.socketpair() for _ in range(8)]
time.sleep(0.8)
for one, other in pairs:
    for end in (one, other):
        end.setblocking(False)
        try: print("got", end.recv(1000))
        except BlockingIOError: pass
print("done")
"""
    with AgentServer(program) as server:
        assert server.finished() == (0, "done\n", "")


def test_default_sigpipe_does_not_kill_when_the_harness_goes_away() -> None:
    program = """
import signal, time
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
time.sleep(1.5)
print("alive")
"""
    with AgentServer(program) as server:
        server.until(lambda _: server.of("report"))
        for connection in server._partial:
            connection.shutdown(socket.SHUT_RD)  # what the agent sends next meets a broken pipe
        assert server.finished()[:2] == (0, "alive\n")


@pytest.mark.parametrize("exported", [True, False])
def test_heap_reading_takes_nothing_from_standard_error(exported: bool) -> None:
    # Without the exported function, the C library's stderr variable is changed for a moment.
    program = f"""
import ctypes, sys
sys.path.insert(0, {str(side_dir())!r})
from harness_agent import heap
if not {exported}:
    class Hidden: pass
    heap.ctypes.pythonapi = Hidden()
libc = ctypes.CDLL(None)
stream = ctypes.c_void_p.in_dll(libc, "stderr")
original, stats = stream.value, sys._debugmallocstats
def speaking():  # another thread's C code speaks meanwhile
    stats()
    libc.fputs(b"a word of C\\n", ctypes.c_void_p(stream.value))
sys._debugmallocstats = speaking
held = [bytes(400) for _ in range(20000)]
first = heap.collect_and_read()
del held
second = heap.collect_and_read()
assert first["pymalloc"] - second["pymalloc"] > 7_000_000, (first, second)
assert stream.value == original
libc.fputs(b"C still speaks\\n", stream)
libc.fflush(stream)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ("" if exported else "a word of C\n" * 2) + "C still speaks\n"
    assert done.stdout == ""


_CACHED_BY_MALLOC = 7 * sum(32 + 16 * number for number in range(64))
"""What glibc's cache of a thread holds at most: seven freed chunks of each size."""


def test_chunks_that_malloc_keeps_for_a_thread_are_free_memory() -> None:
    program = f"""
import ctypes, json, sys
sys.path.insert(0, {str(side_dir())!r})
from harness_agent import heap
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
libc.mallinfo2.restype = heap._MallInfo2
heap._malloc()
held = [libc.malloc(24 + 16 * number) for number in range(64) for _ in range(7)]
first, raw = heap._malloc(), libc.mallinfo2().uordblks
for chunk in held:
    libc.free(chunk)
second, raw_second = heap._malloc(), libc.mallinfo2().uordblks
print(json.dumps([first[0] - second[0], second[1] - first[1], raw - raw_second]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    handed_back, more_free, to_mallinfo = json.loads(done.stdout)
    assert handed_back == pytest.approx(_CACHED_BY_MALLOC, abs=8192)
    assert more_free == pytest.approx(_CACHED_BY_MALLOC, abs=8192)
    assert abs(to_mallinfo) < 8192  # which is why the cache is looked at


@pytest.mark.parametrize(
    ("maps", "size", "counts", "cached"),
    [
        ("1000-2000 rw-p 00000000 00:00 0    [heap]", 0x291, [1, *[0] * 62, 7], 32 + 7 * (32 + 16 * 63)),
        ("1000-2000 rw-p 00000000 00:00 0    [heap]", 0x311, [1] * 64, 0),  # another release of the C library
        ("1000-2000 rw-p 00000000 00:00 0    [heap]", 0x291, [1] * 63 + [40_000], 0),
        ("1000-2000 rw-p 00000000 00:00 0    [heap]", 0x291, [1] * 20, 0),  # it ends there
        ("f000-ff00 rw-p 00000000 00:00 0    [heap]", 0x291, [1] * 64, 0),
        ("1000-2000 rw-p 00000000 00:00 0    [stack]", 0x291, [1] * 64, 0),
    ],
)
def test_only_a_cache_that_is_known_is_counted(
    tmp_path: Path, maps: str, size: int, counts: list[int], cached: int
) -> None:
    spec = spec_from_file_location("agent_heap", side_dir() / "harness_agent" / "heap.py")
    assert spec is not None
    assert spec.loader is not None
    heap = module_from_spec(spec)
    spec.loader.exec_module(heap)
    (tmp_path / "maps").write_text(f"0400-0500 r-xp 00000000 00:00 0    /bin/python\n{maps}\n")
    (tmp_path / "mem").write_bytes(bytes(0x1008) + struct.pack(f"<Q{len(counts)}H", size, *counts))
    assert heap._cached(str(tmp_path)) == cached
    assert heap._cached(str(tmp_path / "none")) == 0


def _counted(message: dict[str, object]) -> dict[tuple[str, ...], int]:
    """Rows of a census: (sort, name, state, frame) to count."""
    return {tuple(map(str, row[:4])): row[4] for row in message["census"]}  # type: ignore[attr-defined] # JSON


def test_census_of_tasks_by_coroutine_and_state_and_of_threads() -> None:
    program = (
        TASKS
        + """
import threading
async def inner(): await asyncio.sleep(60)
async def outer(): await inner()
async def stubborn():
    while True:
        try: await asyncio.sleep(60)
        except asyncio.CancelledError: pass
def park(): threading.Event().wait()
async def more():
    for number in range(3): threading.Thread(target=park, daemon=True, name=f"pool-{number}").start()
    tasks = [asyncio.create_task(outer()) for _ in range(5)] + [asyncio.create_task(stubborn())]
    await asyncio.sleep(0.1)
    tasks[-1].cancel()
    await main()
asyncio.run(more())
"""
    )
    with AgentServer(program) as server:
        server.until(lambda got: [m for m in got if m.get("tasks") == 48])
        server.ask()
        server.until(lambda _: server.of("collect"))
        (message,) = server.of("collect")
        counted = _counted(message)
        assert counted["task", "sleeper", "waiting", "sleep"] == 40
        assert counted["task", "outer", "waiting", "sleep"] == 5
        assert counted["task", "stubborn", "cancelling", "sleep"] == 1
        assert counted["thread", "pool-N", "None", "threading.wait"] == 3
        assert sum(count for (sort, *_), count in counted.items() if sort == "thread") == 4, "ours is not among them"
        assert message["census_reasons"] == {}


def test_census_of_greenlets_from_their_start_to_their_end() -> None:
    program = """
import gevent, time
print("imported", flush=True)
input()  # until the agent has seen gevent
def leaks(): gevent.sleep(60)
def ends(): pass
kept = [gevent.spawn(leaks) for _ in range(30)]
gevent.joinall([gevent.spawn(ends) for _ in range(20)])
later = gevent.spawn_later(50, leaks)
print("spawned", flush=True)
gevent.wait()
"""
    with AgentServer(program) as server:
        assert server.process.stdout is not None
        assert server.process.stdout.readline() == "imported\n"
        known = len(server.of("report"))
        server.until(lambda _: len(server.of("report")) >= known + 3)
        assert server.process.stdin is not None
        server.process.stdin.write("\n")
        server.process.stdin.flush()
        assert server.process.stdout.readline() == "spawned\n"
        server.ask()
        server.until(lambda _: server.of("collect"))
        greenlets = {key: n for key, n in _counted(server.of("collect")[0]).items() if key[0] == "greenlet"}
        assert greenlets == {
            ("greenlet", "leaks", "waiting", "None"): 30,
            ("greenlet", "leaks", "created", "None"): 1,
        }
