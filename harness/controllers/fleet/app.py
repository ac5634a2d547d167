"""Puts the controllers together and runs them until told to stop."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from prometheus_client import Gauge

from harness.controllers.fleet.bundle import BundleController
from harness.controllers.fleet.caches import Caches
from harness.controllers.fleet.cluster import ClusterController
from harness.controllers.fleet.context import Context
from harness.controllers.fleet.deployment import DeploymentController
from harness.controllers.fleet.gitrepo import GitRepoController
from harness.controllers.fleet.management import ManagementController
from harness.controllers.fleet.options import Options
from harness.controllers.runtime.client import Api
from harness.controllers.runtime.election import Election
from harness.controllers.runtime.manager import Manager
from harness.controllers.runtime.metrics import Metrics
from harness.controllers.runtime.program import serve
from harness.controllers.runtime.throttle import Throttle

_PARTS = (ManagementController, ClusterController, GitRepoController, BundleController, DeploymentController)


async def run(options: Options) -> None:
    """Run until SIGTERM or SIGINT. Raises as `runtime.program.serve`."""

    def build(api: Api, metrics: Metrics) -> Manager:
        manager = Manager()
        if options.qps is not None:
            api.throttle = Throttle(options.qps, options.burst)
        caches = Caches(api, options)
        _tell_examined(metrics, caches)
        manager.informers = caches.informers()
        context = Context(api, caches, options, metrics)
        manager.controllers = [part(context).controller for part in _PARTS]
        _announce(options, api)
        if options.election:
            manager.election = leading = Election(api, options.election)
            metrics.leader.labels(name=options.election.name).set_function(lambda: float(leading.leading))
        return manager

    await serve("fleet", options.kubeconfig, options.metrics, build)


def _tell_examined(metrics: Metrics, caches: Caches) -> None:
    """What `index` costs: objects looked at to find those that belong together."""
    examined = Gauge(
        "fleet_objects_examined", "Objects looked at to find related ones, since the start", registry=metrics.registry
    )
    examined.set_function(lambda: float(sum(informer.store.examined for informer in caches.informers())))


def _announce(options: Options, api: Api) -> None:
    workers = ", ".join(f"{name}={count}" for name, count in options.workers.items())
    logging.getLogger("fleet").info(
        "talking to %s; namespace=%s status_patch=%s event_mapping=%s cache.Secret=%s helm_cache=%s metrics=%s "
        "workers: %s",
        urlsplit(f"//{api.host}").netloc, options.namespace or "all", options.status_patch, options.event_mapping,
        options.cache_secret, options.helm_cache, options.series, workers,
    )  # fmt: skip
