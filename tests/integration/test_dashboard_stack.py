"""`harness dashboards up | add | down` with a real Prometheus. Docker is a script of this file that notes what it is asked:
images cannot be pulled where tests run.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from harness.cli import dashboards
from harness.core.errors import EnvironmentFault, UsageError
from harness.process import ports
from harness.record.reader import RunRecord
from harness.web import containers
from harness.web.stack import Ports, down, password, provision
from tests import dashboard_queries as queries
from tests import records

_DOCKER = """#!/bin/sh
echo "$@" >> {log}
case "$1" in
  version) {version} ;;
  image) exit 1 ;;
  pull) {pull} ;;
  ps) case "$*" in *grafana*) echo c0ffee ;; esac ;;
esac
"""


class _Stack:
    """The verb, with a state directory, ports and a docker of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.bin = directory / "bin"
        self.bin.mkdir()
        for program in ("prometheus", "promtool"):
            (self.bin / program).symlink_to(queries.need(program))
        self.log = directory / "docker.log"
        self.log.touch()
        self.ports = dict(
            zip(("prometheus", "metrics", "grafana", "pyroscope"), (ports.claim_port() for _ in range(4)), strict=True)
        )

    def docker(self, *, version: str = "echo 28", pull: str = "echo pulled") -> None:
        path = self.bin / "docker"
        path.write_text(_DOCKER.format(log=self.log, version=version, pull=pull))
        path.chmod(0o755)

    def call(self, *words: str, code: int = 0) -> list[str]:
        env = {**os.environ, "HARNESS_STATE": str(self.directory / "state"), "PATH": str(self.bin)}
        command = [sys.executable, "-m", "harness.cli.main", "dashboards", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)
        assert done.returncode == code, done.stderr
        return (done.stderr if code else done.stdout).splitlines()

    def up(self, code: int = 0) -> list[str]:
        return self.call(
            "up", *(word for name, port in self.ports.items() for word in (f"--{name}-port", str(port))), code=code
        )


@pytest.fixture
def stack(tmp_path: Path) -> _Stack:
    return _Stack(tmp_path)


def test_it_comes_up_provisioned_takes_runs_and_goes(stack: _Stack, tmp_path: Path) -> None:
    stack.docker(pull="echo 'pull access denied' >&2; exit 1")
    record, _ = records.passing(tmp_path / "run")
    try:
        said = stack.up()
        assert said[0] == f"prometheus: http://127.0.0.1:{stack.ports['prometheus']}"
        assert said[2:] == [
            "pyroscope: left out: the image grafana/pyroscope:2.0.6 cannot be had: pull access denied",
            "grafana: left out: the image grafana/grafana:11.6.0 cannot be had: pull access denied",
        ]
        server = queries.Prometheus(f"http://127.0.0.1:{stack.ports['prometheus']}")
        assert _scraped(server) == [f"http://127.0.0.1:{stack.ports['metrics']}/metrics"]
        assert len(server.ask("/api/v1/rules")["groups"]) == 2
        assert stack.call("add", str(record.path)) == [f"{record.path} added"]
    finally:
        said = stack.call("down")
    assert said == ["grafana is down", "prometheus is down"]
    assert ports.is_free(stack.ports["prometheus"])
    stack.up()
    try:
        assert _found(server, record), "what was added is there, also after a restart"
    finally:
        assert stack.call("down", "--purge")[-1] == "its data is removed"
    assert not (tmp_path / "state" / "dashboards").exists()


def _scraped(server: queries.Prometheus) -> list[str]:
    """What it scrapes, as soon as it has looked for that: some seconds after it is ready."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if jobs := server.ask("/api/v1/targets")["activeTargets"]:
            return [each["scrapeUrl"] for each in jobs]
        time.sleep(0.2)
    pytest.fail("it scrapes nothing")


def _found(server: queries.Prometheus, record: RunRecord) -> bool:
    at = record.run.started_at.timestamp() + 20
    found = server.ask("/api/v1/query", query=f'harness_memory_rss_bytes{{run_id="{record.run.run_id}"}}', time=at)[
        "result"
    ]
    return len(found) == 1


def test_containers_are_started_on_loopback_with_all_that_is_provisioned(
    stack: _Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.docker()
    monkeypatch.setenv("PATH", str(stack.bin))
    monkeypatch.setenv("HARNESS_STATE", str(stack.directory / "state"))
    provisioned = provision(Ports(**stack.ports))
    said = list(
        containers.up(provisioned, password(), grafana=stack.ports["grafana"], pyroscope=stack.ports["pyroscope"])
    )
    state = stack.directory / "state" / "dashboards"
    assert said[0] == f"pyroscope: http://127.0.0.1:{stack.ports['pyroscope']}"
    assert said[1].startswith(
        f"grafana: http://127.0.0.1:{stack.ports['grafana']} (admin's password: {state / 'grafana-password'})"
    )
    assert (state / "grafana-password").stat().st_mode & 0o777 == 0o600
    started = [line for line in stack.log.read_text().splitlines() if line.startswith("run ")]
    assert len(started) == 2
    for line in started:
        assert "--network host" in line
        assert " -p " not in line
    assert f"GF_SERVER_HTTP_ADDR=127.0.0.1 -e GF_SERVER_HTTP_PORT={stack.ports['grafana']} " in started[1]
    assert (state / "grafana-password").read_text() not in stack.log.read_text()
    mounts = {
        there: Path(here)
        for here, there in (word.split(":")[:2] for word in started[1].split() if word.endswith(":ro"))
    }
    provisioning = mounts["/etc/grafana/provisioning"]
    sources = yaml.safe_load((provisioning / "datasources" / "harness.yaml").read_text())["datasources"]
    assert [each["url"] for each in sources] == [
        f"http://127.0.0.1:{stack.ports[name]}" for name in ("prometheus", "pyroscope")
    ]
    provider = yaml.safe_load((provisioning / "dashboards" / "harness.yaml").read_text())["providers"][0]
    boards = mounts[provider["options"]["path"]]
    assert {json.loads(path.read_text())["uid"] for path in boards.glob("*.json")} == {
        f"harness-{name}" for name in queries.BOARDS
    }
    assert list((provisioning / "alerting").glob("*.yaml"))
    pyroscope = yaml.safe_load((state / "provisioned" / "pyroscope" / "pyroscope.yaml").read_text())
    assert (pyroscope["server"]["http_listen_address"], pyroscope["server"]["http_listen_port"]) == (
        "127.0.0.1",
        stack.ports["pyroscope"],
    )


def test_what_is_missing_is_one_clear_line(stack: _Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(stack.bin))
    assert containers.missing() == "there is no docker on this machine"
    stack.docker(version="echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    assert containers.missing() == "docker does not answer: Cannot connect to the Docker daemon"
    with socket.create_server(("127.0.0.1", stack.ports["prometheus"])):
        (line,) = stack.up(code=4)
    assert line.startswith(
        f"harness: 127.0.0.1:{stack.ports['prometheus']}: the port is in use or may not be used; name another"
    )
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path / "state"))
    with pytest.raises(UsageError, match="there is no such file"):
        dashboards.add([str(tmp_path / "none.om")])
    (tmp_path / "bad.om").write_text("no metrics\n")
    with pytest.raises(EnvironmentFault, match="promtool refused it"):
        dashboards.add([str(tmp_path / "bad.om")])
    assert list(down())[-1] == "prometheus is not up"
    (stack.bin / "docker").unlink()
    (stack.bin / "prometheus").unlink()
    (line,) = stack.up(code=4)
    assert (
        line
        == "harness: there is no prometheus on this machine; install it (Debian, Ubuntu: apt-get install prometheus)"
    )
    stack.ports["grafana"] = stack.ports["prometheus"]
    assert stack.up(code=2) == ["harness: two ports are the same; name a port of its own for each"]
