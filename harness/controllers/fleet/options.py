"""The command line. Switches bear the same names here, in scenarios and in the docs: `status_patch`, `cache.Secret`."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from harness.controllers.fleet.helm import HelmCache
from harness.controllers.fleet.series import SeriesMode
from harness.controllers.runtime.command_line import Parser, count, rate, switch
from harness.controllers.runtime.command_line import add_choice as _add_choice
from harness.controllers.runtime.election import ElectionOptions
from harness.controllers.runtime.status import StatusPatch

CONTROLLERS = ("management", "cluster", "gitrepo", "bundle", "bundledeployment")
DEFAULT_WORKERS = 50
"""What Fleet's own chart sets for each of its reconcilers; SEEDS.md row 2 speaks of these 50."""


class EventMapping(StrEnum):
    """Which Bundles a change of a Cluster queues: all of its namespace, or those that match it before or after."""

    ALL = "all"
    MATCHING = "matching"


class SecretCache(StrEnum):
    """Whether every Secret is kept in memory, of each what a PartialObjectMetadata holds, or none: read when needed."""

    FULL = "full"
    METADATA = "metadata"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Options:
    """What one process was told. `workers` holds a number for each of CONTROLLERS."""

    kubeconfig: Path
    namespace: str | None
    metrics: tuple[str, int] | None
    workers: dict[str, int]
    status_patch: StatusPatch
    event_mapping: EventMapping
    cache_secret: SecretCache
    helm_cache: HelmCache = HelmCache.BOUNDED
    series: SeriesMode = SeriesMode.BOUNDED
    index: bool = True
    """Whether related objects are found by an index, or by a look at all of their kind."""
    qps: float | None = None
    """Requests a second at most, watches too (client-go's QPS); None: no limit."""
    burst: int = 1
    """Of them at once, where there were fewer before."""
    election: ElectionOptions | None = None
    """None: it works at once, without a Lease."""


def parse(arguments: Sequence[str]) -> Options:
    """The options in `arguments`. Ends the process with one line and status 2 where they are wrong."""
    parser = _build()
    known = parser.parse_all(arguments)
    default = known.workers if known.workers is not None else DEFAULT_WORKERS
    workers = {name: getattr(known, f"workers.{name}") or default for name in CONTROLLERS}
    return Options(
        kubeconfig=known.kubeconfig,
        namespace=known.namespace,
        metrics=known.metrics,
        workers=workers,
        status_patch=known.status_patch,
        event_mapping=known.event_mapping,
        cache_secret=known.cache_secret,
        helm_cache=known.helm_cache,
        series=known.series,
        index=known.index,
        qps=known.qps,
        burst=known.burst,
        election=_election(parser, known),
    )


def _election(parser: Parser, known: argparse.Namespace) -> ElectionOptions | None:
    if not known.leader_elect:
        return None
    if not known.duration_s > known.renew_s > known.retry_s:
        parser.error("leader election needs lease-duration > renew-deadline > retry-period")
    return ElectionOptions(
        known.lease_namespace, known.lease_name, known.duration_s, known.renew_s, known.retry_s
    )  # fmt: skip


def _build() -> Parser:
    parser = Parser("fleet", __doc__)
    add = parser.add_argument
    add("--workers", type=count, metavar="N", help=f"workers of each controller (default: {DEFAULT_WORKERS})")
    for name in CONTROLLERS:
        add(f"--workers.{name}", dest=f"workers.{name}", type=count, metavar="N", help=f"workers of {name} alone")
    _add_choice(parser, "--status_patch", "status_patch", StatusPatch, StatusPatch.ALWAYS,
                "send each status write, or only one that changes something")  # fmt: skip
    _add_choice(parser, "--event_mapping", "event_mapping", EventMapping, EventMapping.ALL,
                "Bundles queued by a change of a Cluster: all of its namespace, or the matching ones")  # fmt: skip
    _add_choice(parser, "--cache.Secret", "cache_secret", SecretCache, SecretCache.FULL,
                "keep all Secrets in memory, their metadata only, or read one by name when it is needed")  # fmt: skip
    _add_choice(parser, "--helm_cache", "helm_cache", HelmCache, HelmCache.BOUNDED,
                "keep rendered releases for ever, or those that are there and used last")  # fmt: skip
    _add_choice(parser, "--metrics", "series", SeriesMode, SeriesMode.BOUNDED,
                "series by name for every Bundle there ever was, or sums")  # fmt: skip
    add("--index", type=switch, default=True, metavar="on|off",
        help="find related objects by an index, or by a look at all of their kind (default: on)")  # fmt: skip
    add("--qps", type=rate, default=None, metavar="N", help="requests a second at most (default: no limit)")
    add("--burst", type=count, default=1, metavar="N", help="of them at once, after a rest (default: 1)")
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
    return parser


def _switch(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is not one of true, false")
    return text == "true"


def _duration(text: str) -> float:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m)", text)
    seconds = float(match[1]) * {"ms": 0.001, "s": 1.0, "m": 60.0}[match[2]] if match else 0.0
    if not match or seconds <= 0 or not math.isfinite(seconds):
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration, such as 15s or 500ms")
    return seconds
