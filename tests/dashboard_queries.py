"""For tests of the dashboards: every query of every panel with its variables filled in, and a real Prometheus to ask."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.core import paths
from harness.process import ports

DIRECTORY = paths.data_dir("dashboards")
BOARDS = ("run", "controller", "compare", "nightly", "published")
_LABEL_VALUES = re.compile(r"label_values\((?P<selector>.+), (?P<label>\w+)\)")
_DEADLINE_S = 60


@dataclass(frozen=True)
class Query:
    """One PromQL query of a dashboard: of a panel, an annotation or a variable."""

    board: str
    where: str
    expr: str
    instant: bool = False
    every_s: int = 5
    """What Grafana takes for the scrape interval: of the data source, or of the query itself."""

    @property
    def name(self) -> str:
        return f"{self.board}: {self.where}"


def board(name: str) -> dict[str, Any]:
    return json.loads((DIRECTORY / f"{name}.json").read_text())


def panels(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels, those in rows too, without the rows."""
    for panel in document["panels"]:
        yield from (each for each in [*panel.get("panels", ()), panel] if each["type"] != "row")


def queries(name: str) -> Iterator[Query]:
    document = board(name)
    for panel in panels(document):
        for target in panel["targets"]:
            if "expr" in target:
                yield Query(
                    name,
                    f"{panel['title']} {target['refId']}",
                    target["expr"],
                    bool(target.get("instant")),
                    _seconds(target),
                )
    for annotation in document.get("annotations", {}).get("list", ()):
        if annotation.get("expr"):
            yield Query(name, f"annotation {annotation['name']}", annotation["expr"])
    for variable in document["templating"]["list"]:
        if variable["type"] == "query":
            found = _LABEL_VALUES.fullmatch(variable["query"])
            assert found, variable["query"]
            selector, label = found["selector"], found["label"]
            yield Query(
                name, f"variable {variable['name']}", f"group by ({label}) (last_over_time({selector}[$__range]))"
            )


def profile_queries(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Title of the panel and the query of each that asks Pyroscope."""
    for panel in panels(board(name)):
        for target in panel["targets"]:
            if "profileTypeId" in target:
                yield panel["title"], target


def _seconds(target: dict[str, Any]) -> int:
    return int(target.get("interval", "5s").removesuffix("s"))


def fill(expr: str, values: Mapping[str, str], every_s: int = 5) -> str:
    """`$name` and `${name}` replaced, also Grafana's own: `$__rate_interval` is four scrapes where one looks closely."""
    known = {"__rate_interval": f"{4 * every_s}s", "__interval": "5s", "__range": "7d"} | dict(values)

    def value(match: re.Match[str]) -> str:
        return known[match["braced"] or match["plain"]]

    return re.sub(r"\$(?:\{(?P<braced>\w+)(?::\w+)?\}|(?P<plain>\w+))", value, expr)


@dataclass(frozen=True)
class Prometheus:
    """A running one."""

    url: str

    def ask(self, path: str, **parameters: object) -> Any:
        query = urllib.parse.urlencode(parameters, doseq=True)
        with urllib.request.urlopen(f"{self.url}{path}?{query}", timeout=30) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        return found["data"]

    def series(self, query: Query, values: Mapping[str, str], start: float, end: float) -> list[dict[str, Any]]:
        """What the panel would get: a range, or the value at the end of it. Fails where the query does not parse."""
        expr = fill(query.expr, values, query.every_s)
        try:
            if query.instant:
                return self.ask("/api/v1/query", query=expr, time=end)["result"]
            return self.ask("/api/v1/query_range", query=expr, start=start, end=end, step=1)["result"]
        except urllib.error.HTTPError as error:
            pytest.fail(f"{query.name}: {expr}: {error.read().decode()}")


def need(program: str) -> str:
    """The program. A test without it fails in CI, where `.ci/run` installs it, and is skipped, with a word, elsewhere."""
    found = shutil.which(program)
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            f"{program} is not installed: apt-get install prometheus"
        )
    return found


def backfill(storage: Path, *files: Path) -> None:
    """Blocks from OpenMetrics files, by promtool."""
    for file in files:
        command = [need("promtool"), "tsdb", "create-blocks-from", "openmetrics", str(file), str(storage)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr


@contextmanager
def prometheus(directory: Path, config: Mapping[str, Any] | None = None) -> Iterator[Prometheus]:
    """A real Prometheus over `directory`/data on a free port of loopback; ended at the end."""
    (directory / "prometheus.yml").write_text(yaml.safe_dump(dict(config or {"scrape_configs": []})))
    port = ports.claim_port()
    command = [
        need("prometheus"), f"--config.file={directory / 'prometheus.yml'}", f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=100y", "--log.level=warn",
    ]  # fmt: skip
    with (directory / "prometheus.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        server = Prometheus(f"http://127.0.0.1:{port}")
        _until_ready(server, process, directory / "prometheus.log")
        yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=30)


def _until_ready(server: Prometheus, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{server.url}/-/ready", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"Prometheus is not ready:\n{log.read_text()}")
