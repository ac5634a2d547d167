"""The harness's end of the agent's socket, for tests: starts a Python program with the agent in it and listens."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Self

from harness.agent import side_dir


class AgentServer:
    """One program under observation. Messages carry the number of their connection."""

    def __init__(self, program: str, *, env: Mapping[str, str] | None = None, path: str = "") -> None:
        self.directory = tempfile.TemporaryDirectory(prefix="hns-")
        address = f"{self.directory.name}/agent"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(address)
        self._listener.listen()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._partial: dict[socket.socket, bytes] = {}
        self.messages: list[dict[str, Any]] = []
        places = [str(side_dir()), *([path] if path else [])]
        self.process = subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(places), "HARNESS_AGENT_SOCKET": address, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        for pid in {hello["pid"] for hello in self.of("hello")} - {self.process.pid}:  # they hold our pipes open
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.communicate(timeout=10)
        for connection in self._partial:
            connection.close()
        self._selector.close()
        self._listener.close()
        self.directory.cleanup()

    def until(self, condition: Callable[[list[dict[str, Any]]], object], limit_s: float = 60.0) -> Any:
        """Receive until `condition(messages)` is true; its value."""
        deadline = time.monotonic() + limit_s
        while not (answer := condition(self.messages)):
            assert time.monotonic() < deadline, self.messages[-3:]
            self._receive()
        return answer

    def of(self, type_: str) -> list[dict[str, Any]]:
        """Messages of a type."""
        return [message for message in self.messages if message["type"] == type_]

    def ask(self, command: str = "collect") -> None:
        """Send a command to all connections."""
        for connection in self._partial:
            connection.send(f'{{"command":"{command}"}}\n'.encode())

    def finished(self) -> tuple[int, str, str]:
        """Exit code, standard output and error of the program once it has ended, receiving meanwhile."""
        deadline = time.monotonic() + 20
        while self.process.poll() is None:
            assert time.monotonic() < deadline
            self._receive()
        out, err = self.process.communicate(timeout=10)
        return self.process.returncode, out, err

    def _receive(self) -> None:
        for key, _ in self._selector.select(0.05):
            assert isinstance(key.fileobj, socket.socket)
            if key.fileobj is self._listener:
                connection, _address = self._listener.accept()
                self._partial[connection] = b""
                self._selector.register(connection, selectors.EVENT_READ)
                continue
            try:
                data = key.fileobj.recv(1 << 20)
            except ConnectionResetError:
                data = b""
            if not data:
                self._selector.unregister(key.fileobj)
                continue
            *lines, rest = (self._partial[key.fileobj] + data).split(b"\n")
            self._partial[key.fileobj] = rest
            number = list(self._partial).index(key.fileobj)
            self.messages += [{**json.loads(line), "connection": number} for line in lines]
