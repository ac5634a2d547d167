"""A load worker of another machine (`python -m loadgen --serve HOST:PORT`): serves one run after another, a process for each.

It waits at the gate of whatever master comes to be there, is told the plan, and works as any other load worker does. To the
API server it is itself: in a pod by the pod's own ServiceAccount, at its own address of the server. Outside a pod, which is for
trying it on one machine, the plan's files are used.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import gevent
from gevent.event import Event
from locust import runners

from loadgen import joined, secret
from loadgen.fields import PlanError
from loadgen.gate import Refused, enter
from loadgen.plan import Plan, load
from loadgen.pod import in_pod

WRONG, REFUSED = 2, 4
_PAUSE_S = 1.0
"""Between two runs, and after one that failed: whatever is wrong, it must not be tried a hundred times a second."""
_MASTER_S = 10
"""Heartbeats come every second."""


def serve(address: str) -> int:
    """Serve runs until SIGTERM or SIGINT. Returns the exit code: 2 and 4 are for people, all else is tried again."""
    command = [sys.executable, "-P", "-m", "loadgen", "--enter", address]
    ending = Event()
    children: list[subprocess.Popen[bytes]] = []

    def end() -> None:
        ending.set()
        for each in children:
            if each.poll() is None:
                each.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, end)
    while not ending.is_set():
        child = subprocess.Popen(command, stdin=subprocess.PIPE)  # it goes when its standard input ends
        children[:] = [child]
        if ending.is_set():  # the signal came while it was being started
            child.terminate()
        code = child.wait()
        if not ending.is_set() and code in (WRONG, REFUSED):
            return code
        ending.wait(_PAUSE_S)
    return 0


def run(host: str, port: int) -> int:
    """Wait to be let in, and work for one run. Returns the exit code."""
    # There is nothing to be ended in order before there is a run.
    waiting = [gevent.signal_handler(number, os._exit, 0) for number in (signal.SIGTERM, signal.SIGINT)]
    joined.go_with(sys.stdin.fileno(), lambda: os._exit(0))
    try:
        known = secret.read(secret.named())
        told, ticket = enter(host, port, known)
        plan = _plan(told["plan"])
    except (PlanError, Refused) as fault:
        sys.stderr.write(f"loadgen: {fault}\n")
        return REFUSED if isinstance(fault, Refused) else WRONG
    # Nothing else tells that a master on another machine is gone; until then its load would go on, and nobody count it.
    runners.MASTER_HEARTBEAT_TIMEOUT = _MASTER_S
    for handler in waiting:
        handler.cancel()
    return joined.work_for(plan, host, int(told["port"]), ticket)


def _plan(document: Mapping[str, object]) -> Plan:
    """The plan as it stands, with our own credentials where we have some."""
    with tempfile.TemporaryDirectory(prefix="loadgen-") as folder:
        path = Path(folder) / "plan.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        plan = load(path)
    own = in_pod(os.environ)
    if own is None:
        return plan
    return replace(
        plan, server=own["server"], ca_file=own["ca_file"], token_file=own["token_file"], cert_file=None, key_file=None
    )
