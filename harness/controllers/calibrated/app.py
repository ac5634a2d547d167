"""Puts informer, controller and ledger together and runs them until told to stop."""

from __future__ import annotations

import dataclasses
import time
from contextlib import ExitStack

from harness.controllers.calibrated.controller import CalibratedController
from harness.controllers.calibrated.ledger import Ledger
from harness.controllers.calibrated.options import Options
from harness.controllers.runtime.client import Api
from harness.controllers.runtime.manager import Manager
from harness.controllers.runtime.metrics import Metrics
from harness.controllers.runtime.program import serve


async def run(options: Options) -> None:
    """Run until SIGTERM or SIGINT. Raises as `runtime.program.serve`, StartError also for the file of the truth."""
    with ExitStack() as stack:

        def build(api: Api, metrics: Metrics) -> Manager:
            ledger = stack.enter_context(Ledger(metrics, options.truth))
            ledger.line("start", t_ns=time.monotonic_ns(), **_plain(options))
            calibrated = CalibratedController(api, options, metrics, ledger)
            manager = Manager()
            manager.informers, manager.controllers = [calibrated.informer], [calibrated.controller]
            return manager

        await serve("calibrated", options.kubeconfig, options.metrics, build)


def _plain(options: Options) -> dict[str, str]:
    doses = dataclasses.asdict(options.doses)
    return {name: str(value) for name, value in doses.items()} | {"latency_s": str(options.latency_s)}
