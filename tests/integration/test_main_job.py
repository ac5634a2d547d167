"""The main job as a user runs it: `harness run` in a process of its own, on a real control plane."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

from harness.core import series
from harness.process import leftover_cgroups, leftovers
from harness.record import schemas
from harness.record.history import History
from harness.record.reader import RunRecord

pytestmark = pytest.mark.cluster

_HARNESS = [sys.executable, "-m", "harness.cli.main"]
_NAMED_BY_THE_ISSUE = (
    "memory.rss.peak", "tasks.peak", "oom.kills", "latency.flip.p99", "completeness.BundleDeployment", "writes.noop",
    "load.achieved_per_s",
)  # fmt: skip


def _run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_HARNESS, "run", *arguments], capture_output=True, text=True, timeout=240, env={**os.environ, **(env or {})}
    )


def _shown(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def _validate(record: Path) -> None:
    for file, schema in (("run.json", "run.v1"), ("verdict.json", "verdict.v1")):
        jsonschema.validate(
            json.loads((record / file).read_text()), json.loads((schemas.DIRECTORY / f"{schema}.json").read_text())
        )


def _alive(run_id: str) -> list[str]:
    return [item.command for item in leftovers(run_id)] + [str(item.path) for item in leftover_cgroups(run_id)]


def test_smoke_passes_in_both_arms_and_leaves_valid_records(tmp_path: Path) -> None:
    # the bundles of other tools must not get between the harness and its own certificate authority
    bundle = tmp_path / "empty-bundle.pem"
    bundle.touch()
    env = {"REQUESTS_CA_BUNDLE": str(bundle), "SSL_CERT_FILE": str(bundle), "CURL_CA_BUNDLE": str(bundle)}
    outputs = ("--junit", str(tmp_path / "junit.xml"), "--commit", "c0ffee1", "--github")
    options = ("--profile", "quick", "--set", "flip_rate=max")  # four at a rate are late when the machine is, for 0.3 s
    done = _run("smoke", *options, "--out", str(tmp_path / "runs"), "--json", *outputs, env=env)
    assert done.returncode == 0, done.stderr
    passing, killed = _shown(done)

    assert passing["verdict"] == "passed"
    for name in _NAMED_BY_THE_ISSUE:
        assert passing["results"][name]["value"] is not None, name
    assert passing["results"]["completeness.BundleDeployment"]["value"] == 1
    assert passing["results"]["memory.heap.settled"]["value"] > 0

    assert killed["verdict"] == "passed"
    assert killed["results"]["oom.kills"]["value"] == 1
    assert killed["ending"]["kind"] == "oom_limit"
    assert killed["ending"]["t_ns"] > next(p for p in killed["phases"] if p["action"] == "create")["started_ns"]
    profiles = Path(killed["path"]) / "profiles"
    # memray may leave a log beside them: it complains about the record that the kill cut short
    suffixes = sorted(path.suffix for path in profiles.iterdir() if path.suffix != ".log")
    assert suffixes == [".bin", ".gz", ".html", ".html"]
    text = (Path(killed["path"]) / "oom.md").read_text()
    assert "## Allocation sites at the high-water mark" in text
    assert re.search(r"^\| Secret \| [1-9][0-9,]* \|", text, re.MULTILINE), "objects loaded"
    assert "<script" not in (Path(killed["path"]) / "oom.html").read_text()
    assert not (Path(passing["path"]) / "oom.html").exists()

    for item in (passing, killed):
        record = Path(item["path"])
        _validate(record)
        jsonschema.validate(item, json.loads((schemas.DIRECTORY / "show.v1.json").read_text()))
        assert "<html" in (record / "report.html").read_text()
        assert "BEGIN" not in "".join(p.read_text() for p in record.glob("*.json")), (
            "a key or certificate in the record"
        )
        assert _alive(item["run_id"]) == []
        sampled = {
            row[0] for row in RunRecord(record).sql("SELECT DISTINCT metric FROM samples WHERE source <> 'metrics'")
        }
        assert sampled - set(series.BY_NAME) == {"apiserver.duration"}, "unknown to the exporter"
    assert len(list((tmp_path / "runs" / "experiments").glob("*/experiment.json"))) == 1
    entries = History(tmp_path / "runs" / "history").entries("memory.rss.peak")
    assert [(entry.id, entry.arm, entry.commit) for entry in entries] == [
        (passing["run_id"], "pass", "c0ffee1"),
        (killed["run_id"], "oom", "c0ffee1"),
    ]
    assert entries[0].results["memory.rss.peak"].value == passing["results"]["memory.rss.peak"]["value"]
    suites = ElementTree.fromstring((tmp_path / "junit.xml").read_bytes())
    assert [suites.get(name) for name in ("failures", "errors")] == ["0", "0"]
    assert len(suites) == 2


def _writes_noop(tmp_path: Path, status_patch: str) -> float:
    sets = ("--profile", "quick", "--set", f"status_patch={status_patch}")
    done = _run("label-flip", *sets, "--out", str(tmp_path / status_patch), "--json")
    (shown,) = _shown(done)
    assert shown["verdict"] == "passed", shown["reasons"]
    return float(shown["results"]["writes.noop"]["value"])


def test_comparing_before_patching_saves_every_empty_write(tmp_path: Path) -> None:
    assert _writes_noop(tmp_path, "always") > 0
    assert _writes_noop(tmp_path, "changed") == 0


class _Running:
    """A `harness run` under way; `until` waits for something in its record."""

    def __init__(self, tmp_path: Path, *arguments: str) -> None:
        self.runs = tmp_path / "runs"
        self.process = subprocess.Popen(
            [*_HARNESS, "run", *arguments, "--out", str(self.runs)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def until(self, condition: Callable[[Path], bool], seconds: float = 90) -> Path:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            for record in self.runs.glob("*/run.json"):
                if condition(record.parent):
                    return record.parent
            time.sleep(0.1)
        self.process.kill()
        pytest.fail(f"it did not come to that:\n{self.process.communicate()[0]}")

    def finish(self, seconds: float = 60) -> str:
        return self.process.communicate(timeout=seconds)[0]


def _loading(record: Path) -> bool:
    """Whether the load is under way, with samples of it on disk."""
    loads = any(e["type"] == "phase" and e["name"] == "create-Secret" for e in RunRecord(record).events())
    return (
        loads
        and len(list((record / "samples").glob("part-*.parquet"))) > 1
        and any((record / "requests").glob("part-*"))
    )


def _controlplane_dirs(run_id: str) -> list[int]:
    return [item.pid for item in leftovers(run_id) if "kube-apiserver" in item.command or "etcd" in item.command]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_sealed_and_cleaned_up(tmp_path: Path, number: signal.Signals) -> None:
    running = _Running(tmp_path, "secrets-8k", "--set", "secrets=200000")
    record = running.until(_loading)
    running.process.send_signal(number)
    output = running.finish()
    assert running.process.returncode == 130, output
    assert "INTERRUPTED" in output
    assert "Traceback" not in output
    _validate(record)
    assert RunRecord(record).run.state == "sealed"
    assert _alive(record.name) == []


def test_an_interruption_while_the_cluster_starts_leaves_nothing(tmp_path: Path) -> None:
    running = _Running(tmp_path, "secrets-8k")
    record = running.until(lambda path: bool(_controlplane_dirs(path.name)))
    running.process.send_signal(signal.SIGINT)
    running.finish()
    assert running.process.returncode == 130
    assert _alive(record.name) == []


def test_a_subject_that_crashes_before_it_is_ready_fails_in_one_clear_line(tmp_path: Path) -> None:
    scenario = tmp_path / "broken.yaml"
    scenario.write_text(
        "name: broken\nsummary: It ends at once.\n"
        "subject: {command: [sh, -c, 'echo cannot find my config >&2; exit 3'], memory_limit: 64Mi}\n"
        "load: [{create: {kind: Secret, count: 1}}]\n"
    )
    done = _run(str(scenario), "--out", str(tmp_path / "runs"), "--json")
    (shown,) = _shown(done)
    assert (done.returncode, shown["verdict"]) == (1, "failed")
    assert "cannot find my config" in shown["reasons"][0]
    assert _alive(shown["run_id"]) == []
