"""Loopback ports."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from harness.process import ports
from harness.process.ports import claim_port, free_port, is_free


def test_a_port_is_never_claimed_twice() -> None:
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    claimed = [claim_port() for _ in range(100)]
    assert len(set(claimed)) == 100
    assert len(list(descriptors.iterdir())) <= before + 64, "a night of runs must not run out of descriptors"


def test_a_port_that_another_harness_claimed_is_not_given_out(monkeypatch: pytest.MonkeyPatch) -> None:
    there = "from harness.process.ports import claim_port; print(claim_port(), flush=True); input()"
    command = [sys.executable, "-c", there]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        taken = int(other.stdout.readline())
        drawn: list[int] = []

        class Drawn:
            """Draws that port first."""

            def randint(self, first: int, last: int) -> int:
                assert first <= taken <= last
                drawn.append(taken if not drawn else random.randint(first, last))
                return drawn[-1]

        monkeypatch.setattr(ports, "_random", Drawn())
        assert claim_port() != taken
        assert drawn[0] == taken
        other.communicate("", timeout=60)
    drawn.clear()
    assert claim_port() == taken, "whoever claimed it is gone"


def test_ports_are_free_and_a_listening_one_is_not() -> None:
    for port in (claim_port(), free_port()):
        assert is_free(port)
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # it may have connections in TIME_WAIT
            server.bind(("127.0.0.1", port))
            server.listen(1)
            assert not is_free(port)
        assert is_free(port)
