"""kube-burner as a sender: a binary that somebody gives (`KUBE_BURNER`), asked for the same Secrets as the load generator.

Its configuration is made here, by its documentation: one job without iterations, pauses, measurements, verification, waiting
or cleaning up, and a rate that it cannot reach. Its payload is one text of the middle size, filled in by its template, where
the load generator draws and encodes each one anew: what differs is in its favour.
"""

from __future__ import annotations

import base64
import json
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.core.errors import RunFault
from harness.process import Exit, spawn

VARIABLE = "KUBE_BURNER"
RATE = 20_000
"""Requests a second that it is allowed: far more than any of them sends."""


def binary() -> Path | None:
    """The binary that was given; None where none was. Raises RunFault for one that is no program."""
    given = os.environ.get(VARIABLE)
    if not given:
        return None
    path = Path(given).absolute()
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise RunFault("not a program", place=f"{VARIABLE}={given}", remedy="give the path of a kube-burner binary")
    return path


def write_config(directory: Path, plan: Mapping[str, Any]) -> Path:
    """Its job for the create phase of a plan of the load generator; returns the configuration's path."""
    phase = plan["phases"][0]
    low, high = phase["params"]["size"]
    payload = base64.b64encode(random.Random(plan["seed"]).randbytes((low + high) // 2)).decode()
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": phase["names"].replace("{i:05d}", "{{.Replica}}"), "labels": plan["labels"]},
        "type": "Opaque",
        "data": {"payload": "{{.payload}}"},
    }
    template = directory / "secret.json"
    # It takes out what is between the first {{ and the last }} of a line before it looks at the kind: one of them a line.
    template.write_text(json.dumps(secret, indent=1))
    job = {
        "name": "secrets", "jobType": "create", "jobIterations": 1, "qps": RATE, "burst": RATE,
        "namespace": plan["namespace"], "namespacedIterations": False, "cleanup": False, "waitWhenFinished": False,
        "podWait": False, "preLoadImages": False, "verifyObjects": False, "errorOnVerify": False, "gc": False,
        "objects": [{"objectTemplate": str(template), "replicas": phase["count"], "inputVars": {"payload": payload}}],
    }  # fmt: skip
    config = directory / "kube-burner.json"
    config.write_text(json.dumps({"global": {"gc": False}, "jobs": [job]}))  # JSON is YAML
    return config


class KubeBurner:
    """A kube-burner that has been told to begin: it has no other way of waiting."""

    def __init__(self, pid: int, wait: Any, log: Path) -> None:
        self.pid = pid
        self._wait = wait
        self._log = log

    @classmethod
    async def start(cls, program: Path, plan: Mapping[str, Any], kubeconfig: Path, directory: Path) -> KubeBurner:
        """Start it."""
        config, log = write_config(directory, plan), directory / "kube-burner.log"
        command = [str(program), "init", "--config", str(config), "--kubeconfig", str(kubeconfig), "--skip-log-file"]
        child = await spawn(command, name="kube-burner", env=dict(os.environ), cwd=directory, stdout=log, stderr=log)
        return cls(child.pid, child, log)

    async def ended(self, timeout_s: float) -> Exit:
        """Wait for its end. Raises RunFault where it failed, or is not over in time."""
        try:
            done: Exit = await self._wait.wait(timeout_s)
        except TimeoutError:
            raise RunFault(f"kube-burner was not over after {timeout_s:.0f} s", place=str(self._log)) from None
        finally:
            await self._wait.stop(1.0)
        if done.code != 0:
            raise RunFault(f"kube-burner ended with {done.code}: {self._last_words()}", place=str(self._log))
        return done

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no message"
