"""What was published, and how it is measured here: cases, each of which is two settings of one scenario, and their claims.

Written before anything was measured; metric, limit and payload do not follow from results. The source of each is a row of
the project's table of published cases; docs/claims.md tells them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.core import metrics
from harness.gate.published_curves import CURVES, CurveSpec
from harness.record.gate import Scale

__all__ = ["CASES", "CURVES", "Case", "CurveSpec", "Kind", "Stated", "chosen", "row_of", "rows", "unit_of"]

Kind = Literal["change", "about", "killed", "alerted"]
"""`change`: a metric falls by so much. `about`: it changes by about so much. `killed`: off is OOM-killed, on is not.
`alerted`: where off is OOM-killed, its alert metric said so before, and not already when it was idle."""


@dataclass(frozen=True, slots=True)
class Stated:
    """One claim about one metric."""

    claim: str
    published: str
    metric: str
    change: float | None
    """As `record.claims.Claim.published_change`; None: less, but nobody said how much."""
    kind: Kind = "change"
    scale: Scale = "relative"


@dataclass(frozen=True, slots=True)
class Case:
    """Two arms over one scenario. `quick` is set over both in the quick profile, `common` in any."""

    id: str
    row: int
    scenario: str
    subject: str
    off: Mapping[str, str]
    on: Mapping[str, str]
    stated: tuple[Stated, ...]
    source: str
    limit: str
    payload: str
    chosen: str
    common: Mapping[str, str] = field(default_factory=dict)
    quick: Mapping[str, str] = field(default_factory=dict)
    headline: bool = True
    must_have: tuple[str, ...] = ()
    """Results without which a run did not do all its work: a probe that never came, an object that is not there."""
    other_runtime: bool = False
    """The claim is about a runtime that this subject does not have: measured and told, but not held against it."""

    def sets(self, arm: Literal["off", "on"], *, quick: bool) -> dict[str, str]:
        """All values of one arm."""
        return {**self.common, **(self.quick if quick else {}), **(self.off if arm == "off" else self.on)}


_FLIP = ("latency.flip.max", "latency.deployed.max", "completeness.BundleDeployment")
_FLEET_1, _FLEET_2 = "row 1: Fleet, cache and memory", "row 2: Fleet, 300 GitRepos"
_AGENT = "row 3: Fleet agent concurrency"
_KUBE_RS, _KSERVE = "row 4: kube-rs watcher, 0.91 against 0.92", "row 5: KServe"
_ALL = {
    "cache.Secret": "full", "options.cache.Bundle": "full", "options.index": "off", "options.manifest": "annotation",
    "options.helm_cache": "leaking", "options.metrics": "unbounded", "options.conflict": "retry",
    "options.selector_cache": "off", "status_patch": "always", "event_mapping": "all",
}  # fmt: skip
_FEWER = {
    "cache.Secret": "none", "options.cache.Bundle": "metadata", "options.index": "on", "options.manifest": "secret",
    "options.helm_cache": "bounded", "options.metrics": "bounded", "options.conflict": "requeue",
    "options.selector_cache": "on", "status_patch": "changed", "event_mapping": "matching",
}  # fmt: skip
_FLIP_SCENARIO_HAS = ("options.index", "status_patch", "event_mapping")
"""What row 2 is about, and what it is measured under when it is not what is measured."""
_SMOKE_QUICK = {
    "secrets": "600", "repos": "10", "bundles_per_repo": "5", "clusters": "4", "flips": "4",
}  # fmt: skip
_FLIP_QUICK = {"repos": "20", "bundles_per_repo": "5"}
_SECRETS_QUICK = {"secrets": "1500", "used": "20", "services": "10"}
_GO_QUICK = {"secrets": "4000", "repos": "20"}
_GO_QUICK_ALIVE = {"secrets": "2000", "repos": "20"}
_GO_ALL = {"watch": "off", "disable_for": "none"}
_GO_BY_NAME = {"watch": "off", "disable_for": "Secret"}
_SIZED = "2 to 5 KB is what the row tells of a Secret; the limit is far above what either arm needs, so that both live"
_FLIPS = "the published number of objects in the full profile; the limit is far above what either arm needs"


def _switch(row: int, scenario: str, name: str, off: str, on: str, *stated: Stated, source: str, **also: str) -> Case:
    """One switch alone, all others as they are in the headline's `off`; `also` is set in both arms."""
    others = {
        key: value for key, value in _ALL.items() if key != name and (scenario == "smoke" or key in _FLIP_SCENARIO_HAS)
    }
    return Case(
        id=f"{row}-{name}", row=row, scenario=scenario, subject="fleet", off={name: off}, on={name: on}, stated=stated,
        source=source, limit="512Mi", payload="Secrets of 2 to 5 KB" if scenario == "smoke" else "3,000 Bundles",
        chosen=_SIZED if scenario == "smoke" else _FLIPS, common={**others, **also}, headline=False,
        must_have=_FLIP,
    )  # fmt: skip


CASES: tuple[Case, ...] = (
    Case(
        id="1-all", row=1, scenario="smoke", subject="fleet", off=_ALL, on=_FEWER, quick=_SMOKE_QUICK, source=_FLEET_1,
        stated=(
            Stated("all of Fleet's cache and memory changes together take 30 % less memory", "30 % less memory",
                   "memory.rss.settled", -0.30),
            Stated("all of Fleet's cache and memory changes together are 40 % faster", "40 % faster",
                   "latency.deployed.p99", -0.40),
        ),
        limit="512Mi", payload="Secrets of 2 to 5 KB", chosen=_SIZED, must_have=_FLIP,
    ),
    _switch(1, "smoke", "cache.Secret", "full", "none",
            Stated("Secrets kept out of the cache take less memory", "no figure for it alone", "memory.rss.settled", None),
            source=_FLEET_1),
    _switch(1, "smoke", "options.cache.Bundle", "full", "metadata",
            Stated("a metadata-only watch of Bundles takes less memory", "no figure for it alone", "memory.rss.settled", None),
            source=_FLEET_1),
    _switch(1, "smoke", "options.manifest", "annotation", "secret",
            Stated("manifests in Secrets instead of annotations take less memory", "no figure for it alone",
                   "memory.rss.settled", None), source=_FLEET_1),
    _switch(1, "smoke", "options.helm_cache", "leaking", "bounded",
            Stated("a Helm cache that does not leak takes less memory", "no figure for it alone", "memory.rss.settled", None),
            source=_FLEET_1),
    _switch(1, "smoke", "options.metrics", "unbounded", "bounded",
            Stated("metrics that do not grow without bound are fewer series", "no figure for it alone", "metrics.series", None),
            source=_FLEET_1),
    _switch(1, "label-flip", "options.conflict", "retry", "requeue",
            Stated("to requeue after a conflict instead of retrying in place is faster", "no figure for it alone",
                   "latency.deployed.p99", None), source=_FLEET_1, bundles_from="load", edits="3000"),
    _switch(1, "smoke", "options.reclaim", "none", "trim",
            Stated("to reclaim memory at rest takes less of it (the article's outlook)", "no figure", "memory.rss.settled",
                   None), source=_FLEET_1),
    _switch(1, "smoke", "options.cache.BundleDeployment", "full", "adaptive",
            Stated("a cache that keeps what is read often takes less memory (the article's outlook)", "no figure",
                   "memory.rss.settled", None), source=_FLEET_1),
    _switch(1, "smoke", "options.index", "off", "on",
            Stated("an index instead of a look at all objects is faster", "no figure for it alone", "latency.deployed.p99",
                   None), source=_FLEET_1),
    Case(
        id="2-all", row=2, scenario="label-flip", subject="fleet", quick=_FLIP_QUICK, source=_FLEET_2,
        off={"status_patch": "always", "event_mapping": "all", "options.selector_cache": "off"},
        on={"status_patch": "changed", "event_mapping": "matching", "options.selector_cache": "on"},
        stated=(
            Stated("comparing before patching, queueing fewer Bundles and keeping parsed selectors bring a flip from 2 minutes "
                   "to under 1",
                   "2 minutes to under 1", "latency.flip.max", -0.50),
            Stated("most status patches were empty", "many of them empty", "writes.noop", None, scale="absolute"),
        ),
        limit="512Mi", payload="300 GitRepos of 10 Bundles, one of them selects the label", chosen=_FLIPS,
        must_have=_FLIP,
    ),
    _switch(2, "label-flip", "status_patch", "always", "changed",
            Stated("comparing before patching makes a flip faster", "2 minutes to under 2 seconds with 50 GitRepos",
                   "latency.flip.max", None), source=_FLEET_2),
    _switch(2, "label-flip", "event_mapping", "all", "matching",
            Stated("queueing only the Bundles that match makes a flip faster", "no figure for it alone",
                   "latency.flip.max", None), source=_FLEET_2),
    _switch(2, "label-flip", "options.selector_cache", "off", "on",
            Stated("keeping parsed label selectors makes a flip faster", "no figure for it alone", "latency.flip.max", None),
            source=_FLEET_2),
    _switch(2, "label-flip", "options.queue", "fifo", "fair",
            Stated("a fair queue brings a flip to the Bundles it concerns before those it does not", "no figure",
                   "latency.flip.max", None), source=_FLEET_2),
    Case(
        id="3-goroutines", row=3, scenario="native-secrets-8k", subject="native-go", source=_AGENT,
        off={"workers": "1"}, on={"workers": "1001"}, common={"secrets": "200", "repos": "20"},
        quick={"secrets": "20", "repos": "5"},
        stated=(
            Stated("2,000 goroutines that wait take about 4 MB of stack", "2 KB each", "memory.rss.idle", 4e6,
                   kind="about", scale="absolute"),
        ),
        limit="512Mi", payload="none: what is compared waits before any load",
        chosen="1,000 more workers in each of two controllers are 2,000 more goroutines; the limit never matters",
    ),
    Case(
        id="3-tasks", row=3, scenario="smoke", subject="fleet", source=_AGENT, off={"workers": "1"}, on={"workers": "401"},
        common={
            "secrets": "100", "repos": "5", "bundles_per_repo": "2", "clusters": "2", "flips": "2",
            "options.workers.clustergroup": "1", "options.workers.imagescan": "1",
        },
        stated=(
            Stated("2,000 goroutines that wait take about 4 MB of stack", "2 KB each", "memory.rss.idle", 4e6,
                   kind="about", scale="absolute"),
        ),
        limit="512Mi", payload="none: what is compared waits before any load",
        chosen="400 more workers in each of five controllers are 2,000 more asyncio tasks; the limit never matters",
        headline=False, must_have=_FLIP, other_runtime=True,
    ),
    Case(
        id="3-shards", row=3, scenario="label-flip", subject="fleet", source=_AGENT, off={"options.shards": "1"},
        on={"options.shards": "2"}, common={"status_patch": "always", "event_mapping": "all"},
        stated=(
            Stated("to scale out beside the workers makes a flip faster", "no figure", "latency.flip.max", None),
        ),
        limit="512Mi", payload="300 GitRepos of 10 Bundles, one of them selects the label",
        chosen="two shards for the two cores that the project measures on; the limit is far above what both together need",
        headline=False, must_have=_FLIP,
    ),
    Case(
        id="4-native", row=4, scenario="native-watcher-init", subject="native-rust", source=_KUBE_RS,
        off={"kube": "0.91"}, on={"kube": "current"}, quick={"secrets": "2000", "handed_on": "4000"},
        stated=(
            Stated("handing on the initial list as it comes halves the peak", "45 MB to 23 MB with 2,000 pods",
                   "memory.cgroup.peak", -0.49),
        ),
        limit="512Mi", payload="Secrets of 2 to 5 KB; 2,000 pods of the published case are about that size",
        chosen="8,000 as in row 5, in the quick profile the published 2,000; both arms are one program with the same "
        "crates but for kube itself; the limit never matters",
    ),
    Case(
        id="4-native-store", row=4, scenario="native-watcher-init", subject="native-rust", source=_KUBE_RS,
        off={"kube": "0.91"}, on={"kube": "current"}, common={"store": "on"},
        stated=(
            Stated("with a reflector's store too, handing on as it comes lowers the peak", "no figure",
                   "memory.cgroup.peak", None),
        ),
        limit="512Mi", payload="Secrets of 2 to 5 KB", chosen="as the headline", headline=False,
    ),
    Case(
        id="4-native-watch_list", row=4, scenario="native-watcher-init", subject="native-rust", source=_KUBE_RS,
        off={"kube": "0.91"}, on={"kube": "current", "watch_list": "on"},
        stated=(
            Stated("the API's streaming list needs no buffer either", "no figure", "memory.cgroup.peak", None),
        ),
        limit="512Mi", payload="Secrets of 2 to 5 KB", chosen="as the headline", headline=False,
    ),
    Case(
        id="4-streaming", row=4, scenario="watcher-init", subject="watcher", source=_KUBE_RS,
        off={"initial_list": "buffered"}, on={"initial_list": "streaming"}, quick={"secrets": "1500", "handed_on": "3000"},
        stated=(
            Stated("handing on the initial list as it comes halves the peak", "45 MB to 23 MB with 2,000 pods",
                   "memory.cgroup.peak", -0.49),
        ),
        limit="512Mi", payload="Secrets of 2 to 5 KB; 2,000 pods of the published case are about that size",
        chosen="8,000 as in row 5, so that the interpreter's own memory is the smaller part; the limit never matters",
        headline=False, other_runtime=True,
    ),
    Case(
        id="4-watch_list", row=4, scenario="watcher-init", subject="watcher", source=_KUBE_RS,
        off={"initial_list": "buffered"}, on={"initial_list": "streaming", "watch_list": "on"},
        stated=(
            Stated("the API's streaming list needs no buffer either", "no figure", "memory.cgroup.peak", None),
        ),
        limit="512Mi", payload="Secrets of 2 to 5 KB", chosen="as the headline", headline=False,
    ),
    Case(
        id="5-killed", row=5, scenario="kserve-secrets-8k", subject="kserve", source=_KSERVE, off={"mode": "cache"},
        on={"mode": "get"}, quick={**_SECRETS_QUICK, "secrets": "3000", "memory_limit": "64Mi"},
        stated=(
            Stated("with every Secret cached it is OOM-killed, with reads by name it lives", "OOM-killed; alive",
                   "oom.kills", None, kind="killed", scale="absolute"),
            Stated("an alert comes before the kill", "alerts before the limit", "oom.kills", None, kind="alerted",
                   scale="absolute"),
        ),
        limit="96Mi", payload="Secrets of 2 to 5 KB",
        chosen="the published 2 to 5 KB are memory per Secret in Go, about its payload; the limit is twice what the idle "
        "controller takes",
        must_have=("latency.ready.max",),
    ),
    Case(
        id="5-auto", row=5, scenario="kserve-secrets-8k", subject="kserve", source=_KSERVE, off={"mode": "cache"},
        on={"mode": "auto"},
        stated=(
            Stated("falling back from the cache to reads above a threshold lives", "alive", "oom.kills", None,
                   kind="killed", scale="absolute"),
        ),
        limit="96Mi", payload="Secrets of 2 to 5 KB", chosen="as the headline", must_have=("latency.ready.max",),
        headline=False,
    ),
    Case(
        id="5-memory", row=5, scenario="kserve-secrets-8k", subject="kserve", source=_KSERVE, off={"mode": "cache"},
        on={"mode": "get"}, common={"memory_limit": "512Mi"}, quick=_SECRETS_QUICK,
        stated=(
            Stated("reads by name instead of the cache take 80 % less memory", "80 % less memory", "memory.cgroup.settled",
                   -0.80),
        ),
        limit="512Mi", payload="Secrets of 2 to 5 KB",
        chosen="a limit that both arms live under, so that both have a settled value; what the limit counts is compared",
        must_have=("latency.ready.max",), headline=False,
    ),
    Case(
        id="5-native-killed", row=5, scenario="native-secrets-8k", subject="native-go", source=_KSERVE, off=_GO_ALL,
        on=_GO_BY_NAME, common={"memory_limit": "32Mi"}, quick=_GO_QUICK,
        stated=(
            Stated("with every Secret cached it is OOM-killed, with reads by name it lives", "OOM-killed; alive",
                   "oom.kills", None, kind="killed", scale="absolute"),
        ),
        limit="32Mi", payload="Secrets of 2 to 5 KB",
        chosen="the cache comes about at the first read and the fix is DisableFor, as published; the limit by the same rule as "
        "in Python: twice the 9 to 15 MiB that the idle controller takes, up to the next 16 MiB",
    ),
    Case(
        id="5-native-memory", row=5, scenario="native-secrets-8k", subject="native-go", source=_KSERVE, off=_GO_ALL,
        on=_GO_BY_NAME, quick=_GO_QUICK_ALIVE,
        stated=(
            Stated("reads by name instead of the cache take 80 % less memory", "80 % less memory", "memory.cgroup.settled",
                   -0.80),
        ),
        limit="512Mi", payload="Secrets of 2 to 5 KB",
        chosen="a limit that both arms live under, so that both have a settled value; what the limit counts is compared",
    ),
    Case(
        id="5-native-none", row=5, scenario="native-secrets-8k", subject="native-go", source=_KSERVE,
        off={"cache": "all"}, on={"cache": "none"},
        stated=(
            Stated("without a watch of Secrets it takes less memory than with a cache of all", "no figure",
                   "memory.cgroup.settled", None),
        ),
        limit="512Mi", payload="Secrets of 2 to 5 KB", chosen="as above, with a controller of Secrets in the one arm",
        headline=False,
    ),
)  # fmt: skip


def rows() -> list[int]:
    """The rows that there are cases of."""
    return sorted({case.row for case in CASES})


def chosen(wanted: list[int], *, headlines_only: bool) -> list[Case]:
    """The cases of these rows, in order."""
    return [case for case in CASES if case.row in wanted and (case.headline or not headlines_only)]


def row_of(case_id: str) -> int | None:
    """The row of a case; None where there is none of that id any more."""
    return next((case.row for case in CASES if case.id == case_id), None)


def unit_of(metric: str) -> str:
    """The unit of a metric of the catalogue."""
    return str(metrics.resolve(metric).metric.unit)
