"""What memray's attaching runs inside a Python process: a thread that tracks allocations from one word to another.

`ORDER` stands in front of this text: `{"socket": abstract Unix socket of the harness, "side": directory with memray}`. The
thread connects there and obeys one JSON line after another: `start` (with `capture`), `ping`, `stop`. The end of the
connection is a `stop` too, so that nothing stays attached when the harness goes away, however it goes.

It is a guest: standard library only, no `threading`, no signals, and whatever goes wrong is said on the connection.
"""
# ruff: noqa

ORDER: dict  # set by what is put in front


def harness_session():
    import _socket
    import _thread
    import json
    import signal
    import sys

    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - {11, 7, 4, 8, 6})
    control = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    trackers = []

    def say(**fields):
        data = json.dumps(fields).encode() + b"\n"
        while data:
            data = data[control.send(data, _socket.MSG_NOSIGNAL) :]

    def stop():
        while trackers:
            trackers.pop().__exit__(None, None, None)

    def start(capture):
        import atexit

        loaded = "memray" in sys.modules
        if not loaded:
            sys.path.append(ORDER["side"])
        try:
            import memray
        finally:
            if not loaded:
                sys.path.remove(ORDER["side"])
        destination = memray.FileDestination(capture, overwrite=True, compress_on_exit=False)
        tracker = memray.Tracker(destination=destination)
        tracker.__enter__()
        trackers.append(tracker)
        atexit.register(stop)

    def where():
        threading = sys.modules.get("threading")
        frame = sys._current_frames().get(threading.main_thread().ident) if threading else None
        return f"{frame.f_code.co_name} ({frame.f_code.co_filename}:{frame.f_lineno})" if frame else None

    def obey(order):
        if order["do"] == "start":
            start(order["capture"])
            say(type="started")
        elif order["do"] == "ping":
            say(type="pong", main=where())
        elif order["do"] == "stop":
            stop()
            say(type="stopped")

    try:
        control.connect("\0" + ORDER["socket"])
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
                except BaseException as error:
                    say(type="error", message=f"{type(error).__name__}: {error}")
    except BaseException:
        pass
    finally:
        try:
            stop()
        except BaseException:
            pass
        control.close()


harness_session()
