"""Puts the controllers together and runs them until told to stop."""

from __future__ import annotations

import logging
from functools import partial
from urllib.parse import urlsplit

from prometheus_client import Gauge

from harness.controllers.fleet.agent import AgentController
from harness.controllers.fleet.bundle import BundleController
from harness.controllers.fleet.caches import Caches
from harness.controllers.fleet.cluster import ClusterController
from harness.controllers.fleet.clustergroup import ClusterGroupController
from harness.controllers.fleet.context import Context
from harness.controllers.fleet.deployment import DeploymentController
from harness.controllers.fleet.gitrepo import GitRepoController
from harness.controllers.fleet.imagescan import ImageScanController
from harness.controllers.fleet.management import ManagementController
from harness.controllers.fleet.options import Agent, Options
from harness.controllers.fleet.selectors import Selectors
from harness.controllers.runtime.cache import Cache
from harness.controllers.runtime.client import Api
from harness.controllers.runtime.election import Election
from harness.controllers.runtime.manager import Follower, Manager
from harness.controllers.runtime.metrics import Metrics
from harness.controllers.runtime.program import serve
from harness.controllers.runtime.reclaim import Reclaim, Reclaimer
from harness.controllers.runtime.shards import end_with_parent, run_shards
from harness.controllers.runtime.throttle import Throttle

_PARTS = (
    ManagementController, ClusterController, ClusterGroupController, GitRepoController, ImageScanController,
    BundleController,
)  # fmt: skip
_DEPLOYING: dict[Agent, tuple[type[AgentController | DeploymentController], ...]] = {
    Agent.REPORT: (DeploymentController,),
    Agent.APPLY: (AgentController,),
    Agent.NONE: (),
}


async def run(options: Options) -> None:
    """Run until SIGTERM or SIGINT. Raises as `runtime.program.serve` and `runtime.shards.run_shards`."""
    if options.shards > 1 and options.shard is None:
        await run_shards("harness.controllers.fleet", options.arguments, options.shards, options.metrics)
        return
    if options.shard is not None:
        end_with_parent()

    def build(api: Api, metrics: Metrics) -> Manager:
        manager = Manager()
        if options.qps is not None:
            api.throttle = Throttle(options.qps, options.burst)
        if options.shard is not None:
            api.call_itself(f"shard-{options.shard}")
        selectors = Selectors(cached=options.selector_cache)
        caches = Caches(api, options, metrics)
        _tell(metrics, caches, selectors)
        context = Context(api, caches, options, metrics, selectors)
        manager.controllers = [part(context).controller for part in (*_PARTS, *_DEPLOYING[options.agent])]
        followers: list[Follower] = [*caches.informers()]
        if options.reclaim is not Reclaim.NONE:
            followers.append(_reclaimer(options.reclaim, metrics, caches, manager))
        manager.informers = followers
        _announce(options, api)
        if options.election:
            manager.election = leading = Election(api, options.election)
            metrics.leader.labels(name=options.election.name).set_function(lambda: float(leading.leading))
        return manager

    address = options.metrics if options.shard is None else options.metrics_socket
    await serve("fleet", options.kubeconfig, address, build)


def _reclaimer(mode: Reclaim, metrics: Metrics, caches: Caches, manager: Manager) -> Reclaimer:
    informers, queues = caches.informers(), [controller.queue for controller in manager.controllers]

    def activity() -> int:
        return sum(informer.changes for informer in informers) + sum(queue.handed_out for queue in queues)

    def waiting() -> int:
        return sum(len(queue) + queue.processing for queue in queues)

    return Reclaimer(mode, metrics, activity=activity, waiting=waiting)


def _tell(metrics: Metrics, caches: Caches, selectors: Selectors) -> None:
    """What switches cost: objects looked at to find those that belong together, selectors parsed, objects in memory."""
    informers = caches.informers()
    examined = Gauge(
        "fleet_objects_examined", "Objects looked at to find related ones, since the start", registry=metrics.registry
    )
    examined.set_function(lambda: float(sum(informer.store.examined for informer in informers)))
    parsed = Gauge("fleet_selectors_parsed", "Label selectors parsed, since the start", registry=metrics.registry)
    parsed.set_function(lambda: float(selectors.parsed))
    cached = Gauge("fleet_cached_objects", "Whole objects in memory", ("kind",), registry=metrics.registry)
    for cache in caches.caches():
        cached.labels(kind=str(cache.resource)).set_function(partial(_held, cache))


def _held(cache: Cache) -> float:
    return float(cache.held)


def _announce(options: Options, api: Api) -> None:
    workers = ", ".join(f"{name}={count}" for name, count in options.workers.items())
    caches = " ".join(f"cache.{kind}={mode}" for kind, mode in options.caches.items())
    logging.getLogger("fleet").info(
        "talking to %s; namespace=%s status_patch=%s conflict=%s event_mapping=%s selector_cache=%s queue=%s %s "
        "manifest=%s agent=%s helm_cache=%s metrics=%s reclaim=%s workers: %s",
        urlsplit(f"//{api.host}").netloc, options.namespace or "all", options.status_patch, options.conflict,
        options.event_mapping, "on" if options.selector_cache else "off", options.queue, caches, options.manifest,
        options.agent, options.helm_cache, options.series, options.reclaim, workers,
    )  # fmt: skip
