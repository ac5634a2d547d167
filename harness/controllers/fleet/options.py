"""The command line. Switches bear the same names here, in scenarios and in the docs: `status_patch`, `cache.Secret`."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from harness.controllers.fleet.helm import HelmCache
from harness.controllers.fleet.manifest import ManifestPlace
from harness.controllers.fleet.series import SeriesMode
from harness.controllers.runtime.cache import CacheMode
from harness.controllers.runtime.command_line import Parser, count, rate, switch
from harness.controllers.runtime.command_line import add_choice as _add_choice
from harness.controllers.runtime.election import ElectionOptions
from harness.controllers.runtime.order import QueueOrder
from harness.controllers.runtime.reclaim import Reclaim
from harness.controllers.runtime.status import Conflict, StatusPatch

CONTROLLERS = (
    "management", "cluster", "clustergroup", "gitrepo", "imagescan", "bundle", "bundledeployment", "agent",
)  # fmt: skip
DEFAULT_WORKERS = 50
"""What Fleet's own chart sets for each of its reconcilers; docs/claims.md row 2 speaks of these 50."""
CACHED_KINDS = ("Secret", "GitRepo", "Bundle", "BundleDeployment", "Cluster.management.cattle.io")
"""Of which `cache.KIND` says what is kept."""
DEFAULT_CACHE_SIZE = 100


class EventMapping(StrEnum):
    """Which Bundles a change of a Cluster queues: all of its namespace, or those that match it before or after."""

    ALL = "all"
    MATCHING = "matching"


class Agent(StrEnum):
    """What is done with a BundleDeployment: reported as deployed, its objects applied, or nothing: others are its agents."""

    REPORT = "report"
    APPLY = "apply"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Options:
    """What one process was told. `workers` holds a number for each of CONTROLLERS, `caches` a mode for each of CACHED_KINDS."""

    kubeconfig: Path
    namespace: str | None
    metrics: tuple[str, int] | None
    workers: dict[str, int]
    status_patch: StatusPatch
    event_mapping: EventMapping
    caches: dict[str, CacheMode]
    cache_size: int = DEFAULT_CACHE_SIZE
    """Whole objects that `adaptive` keeps, of each kind."""
    helm_cache: HelmCache = HelmCache.BOUNDED
    series: SeriesMode = SeriesMode.BOUNDED
    index: bool = True
    """Whether related objects are found by an index, or by a look at all of their kind."""
    selector_cache: bool = False
    queue: QueueOrder = QueueOrder.FIFO
    conflict: Conflict = Conflict.RETRY
    manifest: ManifestPlace = ManifestPlace.ANNOTATION
    agent: Agent = Agent.REPORT
    reclaim: Reclaim = Reclaim.NONE
    registry: str | None = None
    """Where tags of images are asked for; None: only ImageScans that list them are reconciled."""
    qps: float | None = None
    """Requests a second at most, watches too (client-go's QPS); None: no limit."""
    burst: int = 1
    """Of them at once, where there were fewer before."""
    shards: int = 1
    shard: int | None = None
    """Which of `shards` this process is; None: it is the one that starts them, or there is one only."""
    metrics_socket: Path | None = None
    """Where a shard tells its metrics to the process that has started it."""
    election: ElectionOptions | None = None
    """None: it works at once, without a Lease."""
    arguments: tuple[str, ...] = field(default=(), repr=False)
    """The command line, for processes that this one starts."""


def parse(arguments: Sequence[str]) -> Options:
    """The options in `arguments`. Ends the process with one line and status 2 where they are wrong."""
    parser = _build()
    known = vars(parser.parse_all(arguments))
    default = known.pop("workers") or DEFAULT_WORKERS
    known["workers"] = {name: known.pop(f"workers.{name}") or default for name in CONTROLLERS}
    known["caches"] = {kind: known.pop(f"cache.{kind}") for kind in CACHED_KINDS}
    known["election"] = _election(parser, known)
    if known["shard"] is not None and known["shard"] >= known["shards"]:
        parser.error(f"shard {known['shard']} is none of {known['shards']}: they count from 0")
    if known["shards"] > 1 and known["election"] is not None:
        parser.error("shards and leader election exclude each other: each shard would need a Lease of its own")
    return Options(**known, arguments=tuple(arguments))


def _election(parser: Parser, known: dict[str, object]) -> ElectionOptions | None:
    names = ("lease_namespace", "lease_name", "duration_s", "renew_s", "retry_s")
    values = [known.pop(name) for name in names]
    if not known.pop("leader_elect"):
        return None
    election = ElectionOptions(*values)  # type: ignore[arg-type] # argparse has converted them
    if not election.duration_s > election.renew_s > election.retry_s:
        parser.error("leader election needs lease-duration > renew-deadline > retry-period")
    return election


def _build() -> Parser:
    parser = Parser("fleet", __doc__)
    add = parser.add_argument
    add("--workers", type=count, metavar="N", help=f"workers of each controller (default: {DEFAULT_WORKERS})")
    for name in CONTROLLERS:
        add(f"--workers.{name}", dest=f"workers.{name}", type=count, metavar="N", help=f"workers of {name} alone")
    _add_choice(parser, "--status_patch", "status_patch", StatusPatch, StatusPatch.ALWAYS,
                "send each status write, or only one that changes something")  # fmt: skip
    _add_choice(parser, "--conflict", "conflict", Conflict, Conflict.RETRY,
                "when somebody else wrote first: read and write again, holding the worker, or requeue with back-off")  # fmt: skip
    _add_choice(parser, "--event_mapping", "event_mapping", EventMapping, EventMapping.ALL,
                "Bundles queued by a change of a Cluster: all of its namespace, or the matching ones")  # fmt: skip
    add("--selector_cache", type=switch, default=False, metavar="on|off",
        help="keep parsed label selectors, or parse them for each match (default: off)")  # fmt: skip
    _add_choice(parser, "--queue", "queue", QueueOrder, QueueOrder.FIFO,
                "as they come, or in turns: what has changed and what may have; within that GitRepos, namespaces")  # fmt: skip
    _add_caches(parser)
    _add_choice(parser, "--manifest", "manifest", ManifestPlace, ManifestPlace.ANNOTATION,
                "a Bundle's manifest in an annotation of each BundleDeployment, or in a Secret read by name")  # fmt: skip
    _add_choice(parser, "--agent", "agent", Agent, Agent.REPORT,
                "report BundleDeployments as deployed, apply their objects, or leave both to others")  # fmt: skip
    _add_choice(parser, "--helm_cache", "helm_cache", HelmCache, HelmCache.BOUNDED,
                "keep rendered releases for ever, or those that are there and used last")  # fmt: skip
    _add_choice(parser, "--metrics", "series", SeriesMode, SeriesMode.BOUNDED,
                "series by name for every Bundle there ever was, or sums")  # fmt: skip
    _add_choice(parser, "--reclaim", "reclaim", Reclaim, Reclaim.NONE,
                "when it comes to rest: nothing, collect garbage, or also return free memory to the kernel")  # fmt: skip
    add("--index", type=switch, default=True, metavar="on|off",
        help="find related objects by an index, or by a look at all of their kind (default: on)")  # fmt: skip
    add("--registry", type=_url, default=None, metavar="URL",
        help="ask there for the tags of images (OCI distribution API; default: none)")  # fmt: skip
    add("--qps", type=rate, default=None, metavar="N", help="requests a second at most (default: no limit)")
    add("--burst", type=count, default=1, metavar="N", help="of them at once, after a rest (default: 1)")
    add("--shards", type=count, default=1, metavar="N",
        help="processes, each of which reconciles its share of the objects (default: 1)")  # fmt: skip
    add("--shard", type=_number, default=None, help=argparse.SUPPRESS)
    add("--metrics-socket", dest="metrics_socket", type=Path, default=None, help=argparse.SUPPRESS)
    _add_election(parser)
    return parser


def _add_caches(parser: Parser) -> None:
    for kind in CACHED_KINDS:
        _add_choice(parser, f"--cache.{kind}", f"cache.{kind}", CacheMode, CacheMode.FULL,
                    f"keep every {kind}, its metadata only, that and those read last, or none")  # fmt: skip
    parser.add_argument("--cache_size", type=count, default=DEFAULT_CACHE_SIZE, metavar="N",
                        help=f"of adaptive: whole objects kept, of each kind (default: {DEFAULT_CACHE_SIZE})")  # fmt: skip


def _add_election(parser: Parser) -> None:
    add = parser.add_argument
    default = ElectionOptions("default", "fleet")
    add("--leader-elect", type=_switch, nargs="?", const=True, default=False, metavar="true|false",
        help="work only while holding a Lease, so that several replicas can run (default: false)")  # fmt: skip
    add("--leader-elect-resource-namespace", dest="lease_namespace", default=default.namespace, metavar="NS",
        help=f"namespace of the Lease (default: {default.namespace})")  # fmt: skip
    add("--leader-elect-resource-name", dest="lease_name", default=default.name, metavar="NAME",
        help=f"name of the Lease (default: {default.name})")  # fmt: skip
    for flag, dest, value, what in (
        ("lease-duration", "duration_s", default.duration_s, "a Lease that has not changed for so long may be taken"),
        ("renew-deadline", "renew_s", default.renew_s, "a leader that could not renew for so long ends"),
        ("retry-period", "retry_s", default.retry_s, "between two looks at the Lease, or two renewals"),
    ):
        add(f"--leader-elect-{flag}", dest=dest, type=_duration, default=value, metavar="DURATION",
            help=f"{what} (default: {value:g}s)")  # fmt: skip


def _switch(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is not one of true, false")
    return text == "true"


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError(f"{text!r} is not an address, such as http://127.0.0.1:5000")
    return text.rstrip("/")


def _duration(text: str) -> float:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m)", text)
    seconds = float(match[1]) * {"ms": 0.001, "s": 1.0, "m": 60.0}[match[2]] if match else 0.0
    if not match or seconds <= 0 or not math.isfinite(seconds):
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration, such as 15s or 500ms")
    return seconds
