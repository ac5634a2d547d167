"""Files that a user names: acknowledgements, kubeconfigs, kind configurations, stacks, captures, parts of a history."""

from __future__ import annotations

import asyncio
import datetime
import functools
import gzip
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from harness.cluster import guard, isolation, kind_config
from harness.collectors import memray_summary
from harness.core import stacks
from harness.core.errors import HarnessError
from harness.core.programs import is_go
from harness.gate import acks
from harness.kube.kubeconfig import client_files
from harness.kube.transport import Transport
from harness.record.history import History, of_run
from tests import records
from tests.fuzz.folder import folder
from tests.fuzz.inputs import HOSTILE, altered, as_json, mutated
from tests.fuzz.property import Broken, Target

_ACKS = b"""acks:
  - {metric: memory.heap.settled, scenario: smoke, until: 2026-12-01, reason: "known, #7"}
  - metric: latency.flip.p99
    scenario: label-flip
    until: 2026-12-31
    reason: known
"""
_KUBECONFIG: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "c",
    "clusters": [
        {"name": "k", "cluster": {"server": "https://127.0.0.1:6443", "certificate-authority": "ca.crt"}},
        {
            "name": "d",
            "cluster": {
                "server": "https://127.0.0.1:6443",
                "certificate-authority-data": "AAAA",
                "insecure-skip-tls-verify": False,
            },
        },
    ],
    "users": [
        {"name": "u", "user": {"client-certificate": "u.crt", "client-key": "u.key"}},
        {"name": "t", "user": {"tokenFile": "token"}},
        {"name": "i", "user": {"token": "secret-value"}},
        {"name": "n", "user": None},
    ],
    "contexts": [
        {"name": name, "context": {"cluster": cluster, "user": user}}
        for name, cluster, user in (("c", "k", "u"), ("prod-eu", "k", "t"), ("i", "d", "i"), ("n", "d", "n"))
    ],
}
_KIND = {
    "kind": "Cluster",
    "apiVersion": "kind.x-k8s.io/v1alpha4",
    "networking": {"ipFamily": "ipv4"},
    "nodes": [{"role": "control-plane", "extraMounts": [{"hostPath": "a", "containerPath": "b"}]}, {"role": "worker"}],
    "kubeadmConfigPatches": ["kind: ClusterConfiguration\n"],
}
_STACKS = {
    "schema": stacks.SCHEMA,
    "kind": "memray",
    "source": "a.bin",
    "frames": [["f", "a.py", 3], ["g", "b.py", 0]],
    "moments": {"peak": [[10, 1, [0, 1]], [4, 2, []]], "end": [[1, 1, [1]]]},
}
_WORDS = (
    b"!!python/object/apply:os.system [id]",
    b"!!timestamp x",
    b"!!int ''",
    b"!!bool x",
    b"&a [*a]",
    b"*a",
    b"<<: *a",
    b"---\n",
    b"\t",
    b"2026-99-99",
    b"0o9",
    b"1:99:99",
    b"? {}",
    b"{",
    b"]",
    *(word.encode() for word in HOSTILE),
)
_ROOM = 8 << 30
_CHILD_S = 30


def _acks(content: bytes) -> None:
    path = folder() / "acks.yaml"
    path.write_bytes(content)
    known = acks.load(path, datetime.date(2026, 11, 22))
    known.warnings(["smoke"])


def _kubeconfig(content: bytes) -> None:
    path = folder() / "kubeconfig"
    path.write_bytes(content)
    asked: list[Callable[[], object]] = [
        lambda: guard.check(path, "c", allowed=False),
        lambda: client_files(path),
        lambda: isolation.isolate(path, None, folder()),
        lambda: asyncio.run(_connect(path)),
    ]
    failed: HarnessError | None = None
    for each in asked:  # each reads it for itself: none may fail otherwise because another did
        try:
            each()
        except HarnessError as error:
            failed = error if failed is None or "secret-value" in str(error) else failed
    if failed is not None:
        if "secret-value" in str(failed):
            raise Broken("an error shows what a kubeconfig holds")
        raise failed


async def _connect(path: Path) -> None:
    transport = await Transport.connect(path)
    await transport.close()


def _kind(content: bytes) -> None:
    path = folder() / "kind.yaml"
    path.write_bytes(content)
    kind_config.complete(kind_config.load(str(path)), folder())


def _kept_stacks(content: bytes) -> None:
    path = folder() / f"a{stacks.SUFFIX}"
    path.write_bytes(content)
    profile = stacks.load(path)
    for moment in profile.moments:
        profile.total(moment)
    stacks.dump(profile, folder() / f"b{stacks.SUFFIX}")


def _program(content: bytes) -> None:
    path = folder() / "program"
    path.write_bytes(content)
    is_go(path)


@functools.cache
def _part() -> bytes:
    """A part of a history, as the harness writes it."""
    with tempfile.TemporaryDirectory() as place:
        record, verdict = records.passing(Path(place) / "run")
        history = History(Path(place) / "history")
        history.add([of_run(record.run, verdict)])
        (part,) = history.directory.glob("part-*.parquet")
        return part.read_bytes()


def _history(content: bytes) -> None:
    directory = folder() / "history"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    (directory / f"part-v1-0-{'0' * 32}.parquet").write_bytes(content)
    history = History(directory)
    history.metrics()
    history.entries("memory.rss.peak")
    history.export(folder() / "out.csv")


@functools.cache
def capture() -> bytes:
    """A small memray capture, made by a process of its own."""
    path = folder() / "small.bin"
    code = f"import memray\nwith memray.Tracker({str(path)!r}):\n    kept = [bytearray(5000) for _ in range(20)]\n"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    return path.read_bytes()


def _capture(content: bytes) -> None:
    """As the harness reads it: in a process of its own, which may die of it, but not stay or eat all memory."""
    path = folder() / "mutated.bin"
    path.write_bytes(content)
    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_AS, (_ROOM, _ROOM))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.signal(signal.SIGVTALRM, signal.SIG_DFL)  # which ends it
            signal.setitimer(signal.ITIMER_VIRTUAL, _CHILD_S)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            memray_summary.summarise(memray_summary.read(str(path)))
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGVTALRM), "memray's reader hangs"


_yaml = altered((_KUBECONFIG,)).map(
    lambda document: yaml.safe_dump(document, allow_unicode=True).encode(errors="replace")
)
_kind_yaml = altered((_KIND,)).map(
    lambda document: yaml.safe_dump(document, allow_unicode=True).encode(errors="replace")
)
_stacks = st.one_of(altered((_STACKS,)).map(as_json), mutated((as_json(_STACKS),))).map(
    lambda data: gzip.compress(data, 1)
)

TARGETS = (
    Target("acks", mutated((_ACKS,), _WORDS), _acks, (), 2, (_ACKS,)),
    Target(
        "kubeconfigs",
        st.one_of(_yaml, mutated((yaml.safe_dump(_KUBECONFIG).encode(),), _WORDS)),
        _kubeconfig,
        (),
        0.4,
        (yaml.safe_dump(_KUBECONFIG).encode(),),
    ),
    Target("kind-configs", st.one_of(_kind_yaml, mutated((yaml.safe_dump(_KIND).encode(),), _WORDS)), _kind, (), 0.5),
    Target(
        "kept-stacks",
        st.one_of(_stacks, mutated((gzip.compress(as_json(_STACKS)),))),
        _kept_stacks,
        (ValueError, OSError),
        1,
    ),
    Target("programs", mutated((b"\x7fELF" + b"\xff Go buildinf:" * 2,)), _program, (), 0.5),
    Target("history-parts", st.deferred(lambda: mutated((_part(),))), _history, (), 0.04),
    Target("memray-captures", st.deferred(lambda: mutated((capture(),))), _capture, (), 0.04),
)
