"""Puts informer, access to Secrets, webhook and controller together and runs them until told to stop."""

from __future__ import annotations

import logging
import ssl

from harness.controllers.kserve.access import Cached, Direct, Secrets
from harness.controllers.kserve.credentials import Finder
from harness.controllers.kserve.names import SERVICES
from harness.controllers.kserve.options import Options, SecretsMode
from harness.controllers.kserve.pressure import Pressure
from harness.controllers.kserve.series import Series
from harness.controllers.kserve.service import ServiceController
from harness.controllers.kserve.webhook import Webhook
from harness.controllers.runtime import cgroup
from harness.controllers.runtime.client import Api
from harness.controllers.runtime.informer import Informer
from harness.controllers.runtime.manager import Follower, Manager
from harness.controllers.runtime.metrics import Metrics
from harness.controllers.runtime.program import StartError, serve


async def run(options: Options) -> None:
    """Run until SIGTERM or SIGINT. Raises as `runtime.program.serve`, StartError also for the certificate."""

    def build(api: Api, metrics: Metrics) -> Manager:
        series = Series(metrics)
        services = Informer(api, SERVICES, namespace=options.namespace, page_size=options.page_size)
        cached = None if options.secrets is SecretsMode.GET else Cached(api, options, series)
        secrets: Secrets = Direct(api, series) if cached is None else cached
        finder = Finder(api, secrets)
        followers: list[Follower] = [services]
        if cached is not None:
            followers.append(cached)
        followers.append(_pressure(options, series, cached))
        if options.webhook and options.webhook_cert_dir:
            followers.append(_webhook(options, finder, series))
        manager = Manager()
        manager.informers = followers
        manager.controllers = [
            ServiceController(
                api, services, finder, metrics, workers=options.workers, patch=options.status_patch
            ).controller
        ]
        logging.getLogger("kserve").info(
            "secrets=%s threshold=%d selector=%s namespaces=%s page_size=%d degrade_under_pressure=%s",
            options.secrets, options.threshold, options.selector or "none", ",".join(options.namespaces) or "all",
            options.page_size, "on" if options.degrade_under_pressure else "off",
        )  # fmt: skip
        return manager

    await serve("kserve", options.kubeconfig, options.metrics, build)


def _pressure(options: Options, series: Series, cached: Cached | None) -> Pressure:
    def relieve(why: str) -> None:
        if cached is not None:
            cached.drop("pressure", why)

    return Pressure(
        series, cgroup.own(), alert_at=options.alert_at, degrade_at=options.degrade_at,
        relieve=relieve if options.degrade_under_pressure else None,
    )  # fmt: skip


def _webhook(options: Options, finder: Finder, series: Series) -> Webhook:
    assert options.webhook is not None
    assert options.webhook_cert_dir is not None
    host, port = options.webhook
    try:
        return Webhook(host, port, options.webhook_cert_dir, finder, series)
    except (OSError, ssl.SSLError) as error:
        raise StartError(f"no certificate in {options.webhook_cert_dir}: {error}") from error
