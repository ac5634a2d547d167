"""Benchmark `flips`: labels of Clusters changed one after another, by the load generator and by the bare loop."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.core.handles import Progress
from harness.core.ids import RUN_LABEL, namespace_of, new_run_id
from harness.core.kinds import find
from tests.bench.creates import CONCURRENCY, Sides, plan_of, sides
from tests.bench.rounds import Rounds
from tests.bench.senders import BareLoop, Loadgen, Sent, measure
from tests.bench.sheet import Sheet
from tests.bench.statistics import pair_ratios

COUNT = 2000
CLUSTER = find("Cluster.management.cattle.io")
LABEL = "bench"
RATE = "flips, load generator"
RATIO = "flips, load generator / bare loop"
_TIMEOUT_S = 120.0
_SIDES: tuple[tuple[str, type[Loadgen | BareLoop]], ...] = (("load generator", Loadgen), ("bare loop", BareLoop))


class FlipsBenchmark:
    """Flips labels, each side those of Clusters that it has made itself."""

    name = "flips"
    title = f"flip a label of each of {COUNT:,} Clusters, {CONCURRENCY} at a time, as fast as it goes"
    method = (
        "one merge patch for each Cluster of management.cattle.io, in turn by load generator and tests/bench/bare_loop.py on one "
        "embedded cluster (every second pair the other way round), after creating them, which does not count; no controller runs"
    )
    rounds = 5
    share = 0.1
    headline = RATE

    def __init__(self, count: int = COUNT) -> None:
        """`count`: flips of a turn."""
        self._count = count

    async def run(self, rounds: Rounds, directory: Path, progress: Progress, sheet: Sheet) -> None:
        """See `Benchmark`."""
        progress.step("flips: a cluster")
        async with sides(directory, progress) as bench:
            for number in rounds:
                pair: dict[str, Sent] = {}
                for name, kind in _SIDES if number % 2 else reversed(_SIDES):
                    progress.step(f"flips: round {number} of {rounds.wanted}, {name}")
                    sent, wrong = await turn(bench, kind, f"{kind.__name__.lower()}-{number}", self._count)
                    if wrong is not None:
                        sheet.problem(f"round {number}, {name}: {wrong}")
                        break
                    pair[name] = sent
                if len(pair) == len(_SIDES):
                    _write(sheet, pair["load generator"], pair["bare loop"])


async def turn(bench: Sides, kind: type[Loadgen | BareLoop], place: str, count: int) -> tuple[Sent, str | None]:
    """Create so many Clusters, flip each, and take them away: what the flips took, and what was not complete of them."""
    run_id = new_run_id()
    plan = flips_of(bench, run_id, count)
    sent = await functools.partial(measure, kind)(plan, bench.made(place))
    there = (await bench.api.list(CLUSTER, metadata_only=True)).items
    flipped = sum((each["metadata"].get("labels") or {}).get(LABEL) == run_id[-5:] for each in there)
    await bench.api.delete_collection(CLUSTER)
    wrong = None
    if not (sent.done == flipped == count and sent.failed == 0):
        why = f" ({sent.error})" if sent.error else ""
        wrong = f"{sent.done:,} of {count:,} flipped, {sent.failed:,} failed, {flipped:,} found in the API{why}"
    return sent, wrong


def flips_of(bench: Sides, run_id: str, count: int) -> Mapping[str, Any]:
    """The plan: a phase that creates, and one that flips."""
    plan = dict(plan_of(bench.files, run_id, namespace_of(run_id), count=count, seed=1, timeout_s=_TIMEOUT_S))
    about = {
        "kind": CLUSTER.alias, "api_version": CLUSTER.api_version, "object_kind": CLUSTER.kind, "path": CLUSTER.path(),
        "namespaced": False, "names": f"cluster-{run_id[-5:]}-{{i:05d}}",
    }  # fmt: skip
    (create,) = plan["phases"]
    plan["labels"] = {RUN_LABEL: run_id}
    plan["phases"] = [
        create | about | {"name": "create-Cluster", "params": {}},
        create | about | {"name": "flip", "action": "flip", "params": {"labels": {LABEL: run_id[-5:]}}},
    ]
    return plan


def _write(sheet: Sheet, ours: Sent, bare: Sent) -> None:
    sheet.add(RATE, "per_second", ours.per_s)
    sheet.extend(RATIO, "ratio", pair_ratios([ours.per_s], [bare.per_s]))
    sheet.add("flips, bare loop", "per_second", bare.per_s)
    sheet.add("CPU per flip, load generator", "seconds", ours.cpu_s / ours.done)
    sheet.add("CPU per flip, bare loop", "seconds", bare.cpu_s / bare.done)
