"""Puts the controllers together and runs them until told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

from harness.controllers.fleet.bundle import BundleController
from harness.controllers.fleet.caches import Caches
from harness.controllers.fleet.cluster import ClusterController
from harness.controllers.fleet.context import Context
from harness.controllers.fleet.deployment import DeploymentController
from harness.controllers.fleet.gitrepo import GitRepoController
from harness.controllers.fleet.management import ManagementController
from harness.controllers.fleet.options import Options
from harness.controllers.runtime.client import Api
from harness.controllers.runtime.election import Election, LeadershipLostError
from harness.controllers.runtime.manager import Manager
from harness.controllers.runtime.metrics import Metrics
from harness.controllers.runtime.server import Server

_PARTS = (ManagementController, ClusterController, GitRepoController, BundleController, DeploymentController)


class StartError(Exception):
    """The process cannot do its work, or not any more; the text is one sentence for people."""


async def run(options: Options) -> None:
    """Run until SIGTERM or SIGINT. Raises ConfigError for the kubeconfig, StartError for the address or a lost Lease."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(await Api.from_kubeconfig(options.kubeconfig))
        api.on_response = metrics.request_counter(api.host)
        manager = Manager()
        caches = Caches(api, options)
        manager.informers = caches.informers()
        context = Context(api, caches, options, metrics)
        manager.controllers = [part(context).controller for part in _PARTS]
        if options.metrics:
            host, port = options.metrics
            try:
                await stack.enter_async_context(Server(host, port, metrics, lambda: manager.informers))
            except OSError as error:
                raise StartError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
        _announce(options, api)
        if options.election:
            manager.election = Election(api, options.election)
            leading = manager.election
            metrics.leader.labels(name=options.election.name).set_function(lambda: float(leading.leading))
        try:
            await manager.run(stop)
        except LeadershipLostError as error:
            raise StartError(str(error)) from error
        logging.getLogger("fleet").info("stopped")


def _announce(options: Options, api: Api) -> None:
    workers = ", ".join(f"{name}={count}" for name, count in options.workers.items())
    logging.getLogger("fleet").info(
        "talking to %s; namespace=%s status_patch=%s event_mapping=%s cache.Secret=%s workers: %s",
        urlsplit(f"//{api.host}").netloc, options.namespace or "all", options.status_patch, options.event_mapping,
        options.cache_secret, workers,
    )  # fmt: skip
