"""Puts the watch and what listens to it together and runs them until told to stop."""

from __future__ import annotations

import logging

from harness.controllers.runtime.client import Api
from harness.controllers.runtime.manager import Manager
from harness.controllers.runtime.metrics import Metrics
from harness.controllers.runtime.program import serve
from harness.controllers.runtime.resources import Resource
from harness.controllers.watcher.options import Options
from harness.controllers.watcher.series import Series
from harness.controllers.watcher.sinks import Counting, Storing
from harness.controllers.watcher.watch import Watch

SECRETS = Resource("", "v1", "Secret", "secrets")


async def run(options: Options) -> None:
    """Run until SIGTERM or SIGINT. Raises as `runtime.program.serve`."""

    def build(api: Api, metrics: Metrics) -> Manager:
        series = Series(metrics)
        sink = Storing(series) if options.store else Counting(series)
        manager = Manager()
        manager.informers = [Watch(api, SECRETS, options, sink, series)]
        logging.getLogger("watcher").info(
            "initial_list=%s page_size=%d watch_list=%s store=%s", options.initial_list, options.page_size,
            "on" if options.watch_list else "off", "on" if options.store else "off",
        )  # fmt: skip
        return manager

    await serve("watcher", options.kubeconfig, options.metrics, build)
