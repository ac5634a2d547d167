"""What attaching memray runs inside a Python process: a thread that tracks allocations from one word to another.

This text is brought in with a call of `session` behind it. The thread connects to an abstract Unix socket of the harness and
obeys one JSON line after another: `start` (with `capture`), `ping`, `stop`. The end of the connection is a `stop` too, so
that nothing stays attached when the harness goes away, however it goes.

It is a guest: standard library only, no `threading`, no signals, and whatever goes wrong is said on the connection.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def harness_session(name: str, side: str) -> None:
    """Serve the harness at the socket `name`; `side` is a directory with memray, where the process has none."""
    import _socket
    import _thread
    import json
    import signal
    import sys

    synchronous = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - synchronous)
    control = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    trackers: list[Any] = []

    def say(**fields: object) -> None:
        data = json.dumps(fields).encode() + b"\n"
        while data:
            data = data[control.send(data, _socket.MSG_NOSIGNAL) :]

    def stop() -> None:
        while trackers:
            trackers.pop().__exit__(None, None, None)
        if side in sys.path:
            sys.path.remove(side)

    def start(capture: str, objects: bool) -> None:
        import atexit

        if side not in sys.path:
            sys.path.append(side)  # last: what the process has itself comes first. memray imports more as it goes
        import memray

        destination = memray.FileDestination(capture, overwrite=True, compress_on_exit=False)
        tracker = memray.Tracker(destination=destination, trace_python_allocators=objects)
        tracker.__enter__()
        trackers.append(tracker)
        atexit.register(stop)

    def where() -> str | None:
        threading = sys.modules.get("threading")
        frame = sys._current_frames().get(threading.main_thread().ident) if threading else None
        return f"{frame.f_code.co_name} ({frame.f_code.co_filename}:{frame.f_lineno})" if frame else None

    def obey(order: dict[str, str]) -> None:
        if order["do"] == "start":
            start(order["capture"], order.get("objects") == "yes")
            say(type="started")
        elif order["do"] == "ping":
            say(type="pong", main=where())
        elif order["do"] == "stop":
            stop()
            say(type="stopped")

    try:
        control.connect("\0" + name)
        say(type="hello", python=".".join(map(str, sys.version_info[:3])), thread=_thread.get_native_id())
        rest = b""
        while True:
            data = control.recv(4096)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                try:
                    obey(json.loads(line))
                except BaseException as error:  # noqa: BLE001  # told to the harness, never to the process
                    say(type="error", message=f"{type(error).__name__}: {error}")
    except BaseException:  # noqa: BLE001, S110  # nothing of ours may reach the process
        pass
    finally:
        try:  # noqa: SIM105  # contextlib would cost the process memory
            stop()
        except BaseException:  # noqa: BLE001, S110  # as above
            pass
        control.close()
