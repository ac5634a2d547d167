"""A real run with secrets in every place that has one: none of them in anything that it leaves, and nothing open to others.

The canaries: content of a Secret of the cluster, an argument and an environment variable of the subject, a variable of the
harness's own, what a hook says, and the private keys and kubeconfigs of all identities.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pytest
import yaml

from harness.core.paths import data_dir
from harness.record.reader import RunRecord
from tests.held import until_there

pytestmark = pytest.mark.cluster

_CANARIES = {
    "Secret of the cluster": "canary-in-a-secret-5f1c0a9b",
    "argument of the subject": "canary-in-an-argument-7d2e",
    "environment of the subject": "canary-in-the-environment-91b3",
    "environment of the harness": "canary-of-the-harness-c48d",
    "words of a hook": "canary-said-by-a-hook-02ef",
}
_SUBJECT = "import runpy, sys; del sys.argv[1:3]; runpy.run_module('harness.controllers.watcher', run_name='__main__')"
_SCENARIO = """name: secrets-stay-secret
summary: A watcher that reads every Secret there is.
subject:
  command:
    [{python}, -c, "{code}", --token, {argument}, --kubeconfig, "{{kubeconfig}}",
     --metrics-bind-address, "127.0.0.1:{{port:metrics}}"]
  env: {{GITHUB_TOKEN: {environment}}}
  metrics: "http://127.0.0.1:{{port:metrics}}/metrics"
  ready: {{http: "http://127.0.0.1:{{port:metrics}}/metrics"}}
  memory_limit: 512Mi
load:
  - hook: {{command: [{python}, {hook}], timeout: 60s}}
  - create: {{kind: Secret, count: 200, size: [2KB, 5KB], rate: max}}
  - {held}
  - settle: {{quiet_for: 1s, timeout: 60s}}
expect: [completeness.Secret == 1]
"""
_HOOK = """
import asyncio, os, pathlib
from harness.kube.api import Api
from harness.core.kinds import find

async def main():
    value = pathlib.Path(__file__).with_name("value").read_text()
    async with await Api.connect(pathlib.Path(os.environ["KUBECONFIG"])) as api:
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "canary"}, "stringData": {"k": value}}
        await api.create(find("Secret"), secret, "default")
        await api.merge_patch(find("Secret"), "canary", {"stringData": {"more": value + value}}, "default")

asyncio.run(main())
print("api_key=" + pathlib.Path(__file__).with_name("said").read_text())
"""


def _scenario(place: Path) -> Path:
    (place / "hook.py").write_text(_HOOK)
    (place / "value").write_text(_CANARIES["Secret of the cluster"])
    (place / "said").write_text(_CANARIES["words of a hook"])
    path = place / "secrets-stay-secret.yaml"
    path.write_text(
        _SCENARIO.format(
            python=sys.executable, code=_SUBJECT, hook=place / "hook.py", argument=_CANARIES["argument of the subject"],
            environment=_CANARIES["environment of the subject"], held=json.dumps(until_there(place / "looked")),
        )
    )  # fmt: skip
    return path


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _listening(harness: psutil.Process) -> set[tuple[str, str]]:
    """Program and address of each TCP socket that the harness or anything it started listens on."""
    found = set()
    for each in [harness, *harness.children(recursive=True)]:
        try:
            found |= {
                (each.name(), item.laddr.ip)
                for item in each.net_connections("tcp")
                if item.status == psutil.CONN_LISTEN
            }
        except psutil.Error:
            continue
    return found


class _Seen:
    """What was there while the run went on."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {}
        self.modes: dict[str, int] = {}
        self.listening: set[tuple[str, str]] = set()
        self.sockets: dict[str, int] = {}

    @property
    def enough(self) -> bool:
        """Whether all sorts of files were there, and servers of the harness and of what it starts."""
        suffixes, programs = {name.rpartition(".")[2] for name in self.keys}, {name for name, _ in self.listening}
        return suffixes >= {"key", "crt", "kubeconfig"} and programs >= {"controlplane", "python"}

    def look(self, run: Path, harness: psutil.Process) -> None:
        """Read the private files of the run's cluster, as root can, and its sockets."""
        plan = run / "plan.json"
        self.listening |= _listening(harness)
        if not plan.is_file():
            return
        private = Path(json.loads(plan.read_text())["key_file"]).parent
        self.modes[str(private)] = _mode(private)
        for path in private.iterdir():
            if path.is_file():
                self.modes[str(path)] = _mode(path)
                self.keys[path.name] = path.read_bytes()


def _everything(place: Path) -> Iterator[tuple[str, bytes]]:
    """Each file that was left: its bytes, what it unpacks to, and the text of every column of every table."""
    for path in place.rglob("*"):
        if not path.is_file():
            continue
        raw = path.read_bytes()
        yield str(path), raw
        if raw.startswith(b"\x1f\x8b"):
            yield f"{path} unpacked", gzip.decompress(raw)
        if path.suffix == ".parquet":
            rows = duckdb.sql(f"SELECT * FROM read_parquet('{path}')").fetchall()
            yield f"{path} read", repr(rows).encode()


def _forms(secret: str) -> list[bytes]:
    """As it is, and in base64 at each of three offsets, as it would be inside something else."""
    inner = [base64.b64encode(b"\0" * shift + secret.encode())[4:-4] for shift in range(3)]
    return [secret.encode(), *inner]


def test_nothing_that_a_run_leaves_holds_a_secret_and_nothing_is_open_to_others(tmp_path: Path) -> None:
    given, left = tmp_path / "given", tmp_path / "left"
    given.mkdir()
    left.mkdir()
    command = [
        *(sys.executable, "-m", "harness.cli.main", "run", str(_scenario(given)), "--out", str(left / "runs")),
        *("--pyroscope", "on", "--junit", str(left / "junit.xml"), "--markdown", str(left / "a.md")),
        *("--checks", str(left / "checks.json")),
    ]  # fmt: skip
    env = {**os.environ, "AWS_SECRET_ACCESS_KEY": _CANARIES["environment of the harness"], "COLUMNS": "400"}
    seen = _Seen()
    with (left / "stdout").open("wb") as out, (left / "stderr").open("wb") as err:
        running = subprocess.Popen(command, stdout=out, stderr=err, env=env)
        harness = psutil.Process(running.pid)
        deadline = time.monotonic() + 200
        try:
            while running.poll() is None and time.monotonic() < deadline:
                for run in (left / "runs").glob("2*"):
                    seen.look(run, harness)
                if seen.enough:
                    (given / "looked").touch()  # the run goes on
                time.sleep(0.3)
        except (FileNotFoundError, psutil.Error):
            pass  # it is being taken away
        finally:
            (given / "looked").touch()
            code = running.wait(timeout=200)
    (record,) = (RunRecord(path.parent) for path in (left / "runs").glob("*/run.json"))
    said = (left / "stderr").read_text() + (left / "stdout").read_text()
    assert code == 0, said
    subprocess.run(
        [sys.executable, "-m", "harness.cli.main", "export", str(record.path), "-o", str(left / "run.om")],
        check=True,
        timeout=60,
    )

    # the cluster's private files: to be read by their owner only, and by nobody afterwards
    # servers of the harness and of all that it starts
    assert seen.enough, (sorted(seen.keys), seen.listening)
    assert {path: oct(mode) for path, mode in seen.modes.items() if mode & 0o077} == {}
    assert not any(Path(path).exists() for path in seen.modes)
    assert {address for _, address in seen.listening} <= {"127.0.0.1", "::1"}, seen.listening
    # what is kept, and what was said
    private = {name: content for name, content in seen.keys.items() if name.endswith((".key", ".kubeconfig"))}
    lines = {name: max(content.splitlines(), key=len) for name, content in private.items()}
    names = {name for name, _ in _everything(left)}
    assert any("samples" in name and name.endswith("read") for name in names)
    for name, content in _everything(left):
        for what, canary in _CANARIES.items():
            own = what == "words of a hook" and name.endswith("hook.log")  # what it says is kept as it was said, 0600
            assert own or not any(form in content for form in _forms(canary)), f"{what} is in {name}"
        assert b"PRIVATE KEY" not in content, name
        for what, line in lines.items():
            assert what.endswith(".kubeconfig") or line not in content, f"{what} is in {name}"
        assert b"client-key:" not in content, f"a kubeconfig is in {name}"
    # logs may hold what a subject says: its owner's eyes only
    assert {path.name: oct(_mode(path)) for path in record.path.glob("*.log") if _mode(path) & 0o077} == {}
    _used_all_of_its_rights(record, "watcher-subject")


def _used_all_of_its_rights(record: RunRecord, role: str) -> None:
    """The audit log's word, as the record keeps it: each verb that the role has was used, and no other."""
    rules: list[dict[str, Any]] = yaml.safe_load((data_dir("manifests") / "rbac" / f"{role}.yaml").read_text())["rules"]
    allowed = {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}
    rows = record.sql(
        "SELECT DISTINCT labels->>'kind', labels->>'verb' FROM samples WHERE metric IN ('api.requests', 'writes.total')"
    )
    assert {(f"{kind.lower()}s", verb) for kind, verb in rows} == allowed
