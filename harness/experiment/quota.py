"""A store that would not hold the load, or does not hold it any more.

Beforehand the load's need is held against the quota of an etcd of ours, and against the disk it is on. While a run goes on an
etcd that is full refuses every write for good (NOSPACE, until somebody raises its quota and disarms the alarm), so whoever
meets that ends the run, and says it once.
"""

from __future__ import annotations

import shutil
import tempfile

from harness.cluster.choice import EMBEDDED, ETCD_QUOTA, KUBECONFIG
from harness.core import etcd
from harness.core.errors import EnvironmentFault, RunFault, UsageError
from harness.core.sinks import Sink
from harness.core.units import format_value
from harness.experiment.options import RunOptions
from harness.scenario import storage
from harness.scenario.model import Scenario

_OTHERS_QUOTA = 2 * 2**30
"""What an etcd has of which nobody has said anything."""


class StorageFull(RunFault):
    """etcd takes no more writes: the load cannot be carried out, and the run is invalid."""


def check(scenario: Scenario, options: RunOptions) -> None:
    """Raises UsageError where the load would not fit into etcd's quota, EnvironmentFault where the disk is too small for it.

    Of a cluster that is not the run's own the quota is not known: `remark` has what there is to say then.
    """
    where = options.cluster.provider
    if where == KUBECONFIG:
        if scenario.etcd_quota is not None:
            raise UsageError(
                "the quota of an etcd that is not the run's own cannot be chosen",
                place=scenario.name,
                remedy="leave out etcd_quota, or use --cluster embedded or kind",
            )
        return
    if options.observe is not None:
        return  # nothing is sent
    need, quota = storage.need(scenario), scenario.etcd_quota or ETCD_QUOTA
    if need.bytes > quota:
        raise UsageError(
            f"the load needs about {_size(need.bytes)} in etcd ({_of(need)}), more than its quota of {_size(quota)}",
            place=scenario.name,
            remedy=f"add --set etcd_quota={_enough(need.bytes)}, or create fewer or smaller objects",
        )
    if where != EMBEDDED:
        return
    directory = tempfile.gettempdir()
    free = shutil.disk_usage(directory).free
    if need.bytes > free:
        raise EnvironmentFault(
            f"the load needs about {_size(need.bytes)} in etcd ({_of(need)}), and {_size(free)} are free there",
            place=directory,
            remedy="make room, set TMPDIR to a larger disk, or create fewer or smaller objects",
        )


def remark(scenario: Scenario, options: RunOptions) -> str | None:
    """What there is to say of a load for an etcd whose quota is not known; None: it fits into what etcd has by default."""
    if options.cluster.provider != KUBECONFIG or options.observe is not None:
        return None
    need = storage.need(scenario)
    if need.bytes <= _OTHERS_QUOTA:
        return None
    return (
        f"the load needs about {_size(need.bytes)} in etcd ({_of(need)}); the quota of this cluster's is not known, "
        f"{_size(_OTHERS_QUOTA)} by default"
    )


def told(message: str, sink: Sink) -> StorageFull | None:
    """The end of the run where a refusal means that etcd is full, with the event that says so; None for any other."""
    if etcd.NOSPACE not in message:
        return None
    sink.event(etcd.EVENT, message=etcd.SENTENCE)
    return StorageFull(etcd.SENTENCE)


def _of(need: storage.Need) -> str:
    return f"{need.objects:,} objects and {need.revisions:,} older revisions"


def _size(size: float) -> str:
    return format_value(size, "bytes")


def _enough(size: int) -> str:
    """The next whole GiB."""
    return f"{-(-size // 2**30)}Gi"
