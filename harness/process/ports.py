"""Loopback ports for servers that this run is about to start."""

from __future__ import annotations

import errno
import os
import random
import socket
from collections import deque
from pathlib import Path

from harness.core.errors import EnvironmentFault

FIRST_PORT = 15000
"""Below are well-known servers that a person may start later."""
TRIES = 200

_CLAIM = "\0controller-harness-port-{}"
_MARKS = 64
"""Of so many claims others are told: the servers of those before listen, or are gone."""
_claimed: set[int] = set()
_marks: deque[int] = deque()
"""Descriptors of the newest marks; the kernel takes them away when the process ends, however it ends."""
_random = random.SystemRandom()


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket() as probe:
        # As servers do; without it a port whose old connections are in TIME_WAIT would look busy.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is free now; the next caller may be given the same."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def claim_port(host: str = "127.0.0.1") -> int:
    """A free port that neither this process nor another harness of this machine that lives has given out before.

    It lies outside the range from which the kernel takes the ports of outgoing connections, where there is room: a load
    with thousands of connections could otherwise take it before its server listens, or while a server restarts.
    """
    last = _first_ephemeral() - 1
    for attempt in range(TRIES):
        inside = attempt >= TRIES // 2 or last - FIRST_PORT < 1000
        port = free_port(host) if inside else _random.randint(FIRST_PORT, last)
        if port not in _claimed and (inside or is_free(port, host)) and _claim(port):
            return port
    raise EnvironmentFault(f"no free port on {host}", remedy="end some servers")


def _claim(port: int) -> bool:
    """Keep other harnesses from it: its server listens seconds later."""
    mark = socket.socket(socket.AF_UNIX)
    try:
        mark.bind(_CLAIM.format(port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            mark.close()
            return False
        # Not Linux: there are no abstract addresses, and each process knows of its own ports only.
    _marks.append(mark.detach())
    if len(_marks) > _MARKS:
        os.close(_marks.popleft())
    _claimed.add(port)
    return True


def _first_ephemeral() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32768
