"""A fake of an API server for the load generator's tests: it keeps names and misbehaves on demand.

It is no Kubernetes: what the load generator does to a real API server is tested in tests/integration/test_loadgen.py.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """What to answer. `status` 0: close without a word; `keep`: carry the request out although the answer denies it."""

    status: int = 201
    reason: str = ""
    message: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    keep: bool = False
    delay: threading.Event | None = None
    """Answer only when it is set."""
    pause_s: float = 0.0
    drip: bool = False
    """Send the answer a byte at a time, for ever."""


@dataclass
class Seen:
    """One request as it came in; `attempt` counts those for the same object, from 1."""

    method: str
    path: str
    name: str
    attempt: int
    headers: dict[str, str]
    body: dict[str, Any]


class FakeAPI:
    """Takes creates and patches. `behave(seen)` decides on each; None means as usual."""

    def __init__(self, behave: Callable[[Seen], Reply | None]) -> None:
        self.behave = behave
        self.seen: list[Seen] = []
        self.objects: set[str] = set()
        self.attempts: Counter[str] = Counter()
        self.connections = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.url = ""
        self.deaf = "/deaf/"
        """The body of a request to a path with this in it is never read."""

    def answer(self, seen: Seen) -> Reply:
        """The reply to `seen`, after keeping what it asks to keep."""
        reply = self.behave(seen)
        with self.lock:
            if reply is None:
                exists = seen.method == "POST" and seen.name in self.objects
                message = f'secrets "{seen.name}" already exists'
                reply = Reply(409, "AlreadyExists", message) if exists else Reply(keep=True)
            if reply.keep:
                self.objects.add(seen.name)
        return reply


def _handler(api: FakeAPI) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            with api.lock:
                api.connections += 1

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
            pass

        def do_POST(self) -> None:
            if api.deaf in self.path:
                api.closing.wait()
                return
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = body["metadata"].get("name") or self.path.rpartition("/")[2]
            with api.lock:
                api.attempts[name] += 1
                seen = Seen(self.command, self.path, name, api.attempts[name], dict(self.headers), body)
                api.seen.append(seen)
            self.reply(api.answer(seen))

        do_PATCH = do_POST  # noqa: N815  # the base class looks for this name

        def reply(self, reply: Reply) -> None:
            if reply.delay is not None:
                while not (reply.delay.wait(0.05) or api.closing.is_set()):
                    pass
            api.closing.wait(reply.pause_s)
            if reply.status == 0:
                self.close_connection = True
                return
            status = {"kind": "Status", "reason": reply.reason, "message": reply.message}
            data = json.dumps(status if reply.status >= 400 else {"kind": "Secret"}).encode()
            self.send_response(reply.status)
            for key, value in reply.headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(data) if not reply.drip else 1_000_000))
            self.end_headers()
            while reply.drip and not api.closing.wait(0.05):
                self.wfile.write(b" ")
            self.wfile.write(data)

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are what these tests are about."""


@contextmanager
def serve(behave: Callable[[Seen], Reply | None], context: ssl.SSLContext | None = None) -> Iterator[FakeAPI]:
    """A FakeAPI on a free loopback port; `context` makes it https."""
    api = FakeAPI(behave)
    server = _Server(("127.0.0.1", 0), _handler(api))
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    api.url = f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield api
    finally:
        api.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
