"""Prometheus, Grafana and Pyroscope beside the harness, on loopback: what `harness dashboards` brings up and down.

Prometheus is the program of this machine (package `prometheus`), Grafana and Pyroscope are containers; each is left out with a
sentence where it cannot be had. All that is written is in the state directory; the data stays until it is purged.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.core import paths
from harness.core.errors import EnvironmentFault
from harness.core.process_id import ProcessId
from harness.kube.kubeconfig import write_private
from harness.process.ports import is_free
from harness.web import containers

HOST = "127.0.0.1"
READY_S = 60.0
STOP_S = 20.0
RETENTION = "2y"
"""Of exported runs too, which come with their own time."""
_STATE = "prometheus.json"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where each listens on loopback; those of the files in `dashboards/` are the defaults."""

    prometheus: int = 9090
    metrics: int = 9464
    """Of `harness run --metrics-port`, which is scraped."""
    grafana: int = 3000
    pyroscope: int = 4040


def directory() -> Path:
    """Configuration, data, logs; for the owner's eyes only."""
    path = paths.state_dir() / "dashboards"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def provision(ports: Ports) -> Path:
    """The files of `dashboards/` with these ports, where the programs look for them."""
    source, target = paths.data_dir("dashboards"), directory() / "provisioned"
    shutil.rmtree(target, ignore_errors=True)
    for part in ("prometheus", "grafana", "pyroscope"):
        shutil.copytree(source / part, target / part)
    (target / "boards").mkdir()
    for board in source.glob("*.json"):
        shutil.copy(board, target / "boards")
    wanted = asdict(ports)
    for path in target.rglob("*.y*ml"):
        text = path.read_text()
        for name, default in asdict(Ports()).items():
            text = text.replace(f"{HOST}:{default}", f"{HOST}:{wanted[name]}")
        text = text.replace(f"http_listen_port: {Ports().pyroscope}", f"http_listen_port: {ports.pyroscope}")
        path.write_text(text)
    return target


def password() -> Path:
    """File with the password of Grafana's `admin`, made up once."""
    path = directory() / "grafana-password"
    if not path.is_file():
        write_private(path, secrets.token_urlsafe(18).encode())
    return path


def up(ports: Ports) -> Iterator[str]:
    """Bring up what can be had; a sentence for each. Raises EnvironmentFault where Prometheus cannot be had."""
    provisioned = provision(ports)
    yield _prometheus_up(provisioned / "prometheus" / "prometheus.yml", ports.prometheus)
    yield f"scraped: 127.0.0.1:{ports.metrics}, by `harness run … --metrics-port {ports.metrics}`"
    yield from containers.up(provisioned, password(), grafana=ports.grafana, pyroscope=ports.pyroscope)


def down(*, purge: bool = False) -> Iterator[str]:
    """End what `up` has brought up; `purge` removes the data too."""
    yield from containers.down()
    process = _running()
    if process is None:
        yield "prometheus is not up"
    else:
        _end(process)
        yield "prometheus is down"
    (directory() / _STATE).unlink(missing_ok=True)
    if purge:
        shutil.rmtree(directory())
        yield "its data is removed"


def data() -> Path:
    """Where Prometheus keeps its blocks."""
    return directory() / "data"


def _prometheus_up(config: Path, port: int) -> str:
    if _running() is not None:
        raise EnvironmentFault("Prometheus is up already", place=str(directory()), remedy="harness dashboards down")
    program = find("prometheus")
    if not is_free(port, HOST):
        raise EnvironmentFault(
            "the port is in use or may not be used",
            place=f"{HOST}:{port}",
            remedy="name another with --prometheus-port",
        )
    log = directory() / "prometheus.log"
    command = [
        program, f"--config.file={config}", f"--storage.tsdb.path={data()}", f"--storage.tsdb.retention.time={RETENTION}",
        f"--web.listen-address={HOST}:{port}", "--log.level=warn",
    ]  # fmt: skip
    with log.open("w") as out:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    process = ProcessId.of(child.pid)
    deadline = time.monotonic() + READY_S
    while child.poll() is None and time.monotonic() < deadline:
        if _answers(f"http://{HOST}:{port}/-/ready"):
            assert process is not None
            write_private(directory() / _STATE, json.dumps(asdict(process)).encode())
            return f"prometheus: http://{HOST}:{port}"
        time.sleep(0.1)
    child.kill()
    child.wait(STOP_S)
    last = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-1:]
    raise EnvironmentFault(f"Prometheus did not become ready: {''.join(last) or 'it said nothing'}", place=str(log))


def find(program: str) -> str:
    """A program of the package `prometheus`. Raises EnvironmentFault where there is none."""
    found = shutil.which(program)
    if found is None:
        raise EnvironmentFault(
            f"there is no {program} on this machine", remedy="install it (Debian, Ubuntu: apt-get install prometheus)"
        )
    return found


def _running() -> ProcessId | None:
    """The Prometheus that `up` started, where it still lives."""
    try:
        process = ProcessId(**json.loads((directory() / _STATE).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return process if process.lives() else None


def _end(process: ProcessId) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)
        deadline = time.monotonic() + STOP_S
        while time.monotonic() < deadline:
            if not process.lives():
                return
            time.sleep(0.1)
    raise EnvironmentFault(f"Prometheus (pid {process.pid}) does not end", place=str(directory()))


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2):
            return True
    except (OSError, urllib.error.URLError):
        return False
