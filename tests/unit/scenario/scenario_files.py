"""Scenario texts for the tests of this directory."""

from __future__ import annotations

from pathlib import Path

from harness.core.errors import HarnessError
from harness.scenario.load import load
from harness.scenario.model import Scenario

RUN_ID = "20261122-093015-k4x7q"

# The example of the design, word for word.
DESIGN = """\
name: label-flip
summary: One label on one Cluster; every bundle is queued, the matching ones must deploy.
seed: 7
params: {repos: 300, bundles_per_repo: 10, workers: 50, matching: 1, status_patch: always, memory_limit: 512Mi}
profiles: {quick: {repos: 20, bundles_per_repo: 5}, gate: {repos: 30}}
subject: {controller: fleet, options: {workers: "{workers}", status_patch: "{status_patch}"}, memory_limit: "{memory_limit}"}
engaged: [{metric: reconciles.total, min: 100}]
load:
  - create: {kind: Cluster.management.cattle.io, count: 1}
  - create: {kind: GitRepo, count: "{repos}", bundles: "{bundles_per_repo}", matching: "{matching}", rate: 200/s}
  - settle: {quiet_for: 3s, timeout: 10m}
  - flip: {kind: Cluster.management.cattle.io, labels: {env: prod}}
    probes:
      - {name: flip, until: BundleDeployment}
      - {name: deployed, until: {kind: BundleDeployment, condition: Ready}}
collect: [memory, oom, tasks, metrics, audit, latency]
expect: [oom.kills == 0, completeness.BundleDeployment == 1, latency.flip.p99 < 60s]
"""


def changed(old: str, new: str, text: str = DESIGN) -> str:
    """`text` with one occurrence of `old`, which must be there, replaced."""
    assert old in text, old
    return text.replace(old, new, 1)


def error_of(directory: Path, text: str | bytes) -> str:
    """The message with which a file of that text is refused, without the directory; "" where it is taken."""
    path = directory / "x.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    try:
        load(path)
    except HarnessError as error:
        return str(error).replace(f"{path}", "x.yaml")
    return ""


def scenario(**parts: object) -> Scenario:
    """A resolved scenario around `parts`."""
    return Scenario.model_validate(
        {"name": "test", "summary": "A test.", "subject": {"controller": "fleet", "memory_limit": "512Mi"}, **parts}
    )
