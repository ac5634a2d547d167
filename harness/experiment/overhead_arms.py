"""What `harness overhead` compares: the same work with each collector and without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.overhead import Compared

REFERENCE = "nothing"
TOGETHER = "passive"
PASSIVE = ("memory", "oom", "tasks", "metrics", "audit", "latency", "host", "apiserver")


@dataclass(frozen=True, slots=True)
class OverheadArm(Compared):
    """How a run is made, beside the collectors that are on."""

    memray: str = "off"
    pyroscope: str = "off"
    profile: str | None = None


def _profiler(name: str, words: str, **more: str) -> OverheadArm:
    return OverheadArm(name, words, PASSIVE, TOGETHER, **more)


ARMS: tuple[OverheadArm, ...] = (
    OverheadArm(REFERENCE, "no collector", (), None),
    OverheadArm("nothing-again", "no collector either: what differs is noise", (), REFERENCE),
    *(OverheadArm(name, f"the collector {name} alone", (name,), REFERENCE) for name in PASSIVE),
    OverheadArm(TOGETHER, "all passive collectors together", PASSIVE, REFERENCE),
    _profiler("passive-again", "the same again: what differs is noise"),
    _profiler("memray-launch", "memray from the start on", memray="launch"),
    _profiler("memray-attach", "memray attached for the work", memray="attach"),
    _profiler("on-demand", "memray in one window, while the load is sent", profile="{windows: [create-GitRepo-2]}"),
    _profiler("pyroscope", "Pyroscope, CPU only", pyroscope="on"),
)
NAMES = tuple(arm.name for arm in ARMS if arm.against is not None)


def chosen(only: Sequence[str]) -> list[OverheadArm]:
    """The arms named, with those that they are compared with, in the order of `ARMS`; of nothing, all."""
    wanted = {*only} or {arm.name for arm in ARMS}
    wanted |= {arm.against for arm in ARMS if arm.name in wanted and arm.against is not None}
    return [arm for arm in ARMS if arm.name in wanted]


def small(repos: int) -> int:
    """GitRepos of the first, small helping of the work; even, so that half of them is a whole number."""
    return max(2, repos // 10 * 2)


def scenario(arm: OverheadArm, repos: int, bundles: int) -> str:
    """The work, as a scenario file: the reference controller makes Bundles of GitRepos, and deploys half of them.

    In two helpings, which differ in nothing but their size: see `collectors/meter.py`.
    """
    profile = f"profile: {arm.profile}\n" if arm.profile else ""
    helpings = "".join(
        f"  - create: {{kind: GitRepo, count: {count}, bundles: {bundles}, matching: {max(1, count // 2)}}}\n"
        "  - settle: {quiet_for: 1s, timeout: 1m}\n"
        for count in (small(repos), repos)
    )
    return (
        "name: overhead\n"
        "summary: A known amount of work, to see what looking at it costs.\n"
        "subject: {controller: fleet, options: {workers: 50}, memory_limit: 2Gi, ready_timeout: 2m}\n"
        "load:\n"
        "  - create: {kind: Cluster.management.cattle.io, count: 1, labels: {env: prod}}\n"
        f"{helpings}{profile}"
    )
