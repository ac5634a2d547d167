"""`harness serve` as a user meets it: one line that says where, one line where it cannot, and the documented exit codes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

_SERVE = [sys.executable, "-m", "harness.cli.main", "serve"]


def _ended(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*_SERVE, *arguments], capture_output=True, text=True, timeout=120, cwd=cwd)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_and_ends_when_told(tmp_path: Path, number: int) -> None:
    command = [*_SERVE, "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        address = line.split()[0]
        assert address.startswith("http://127.0.0.1:")
        assert "Ctrl-C ends it" in line
        with urllib.request.urlopen(address, timeout=60) as answer:
            assert b"There are no runs yet" in answer.read()
        server.send_signal(number)
        out, error = server.communicate(timeout=60)
    assert server.returncode == 130
    assert (out, error) == ("", "")


def test_a_taken_port_is_one_line_with_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = _ended("--port", str(port), cwd=tmp_path)
    assert done.returncode == 4
    assert done.stderr == (
        f"harness: 127.0.0.1:{port}: the port is taken; choose another with --port, or --port 0 for any that is free\n"
    )


@pytest.mark.parametrize(
    ("arguments", "says"), [(("--out", "nothing"), "no such folder"), (("--port", "65536"), "65535")]
)
def test_bad_usage(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    done = _ended(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr


def test_only_loopback_listens(tmp_path: Path) -> None:
    command = [*_SERVE, "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline().split("/")[2].split(":")[1])
            listening = [
                line.split()[1]
                for table in ("tcp", "tcp6")
                for line in Path(f"/proc/{server.pid}/net/{table}").read_text().splitlines()[1:]
                if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")
            ]
        finally:
            os.kill(server.pid, signal.SIGINT)
    assert listening == [f"0100007F:{port:04X}"]
