"""Controller `bundledeployment`: the part that Fleet's agent has in each downstream cluster.

Nothing is installed: what the agent would report when all went well is reported at once.
"""

from __future__ import annotations

from harness.controllers.fleet.context import Context, is_deleted, now, on_change, wants_reconcile
from harness.controllers.runtime.controller import DONE, Controller, Result
from harness.controllers.runtime.resources import Object, key_of, name_of, namespace_of
from harness.controllers.runtime.status import condition


class DeploymentController:
    """Keys are those of BundleDeployments."""

    def __init__(self, context: Context) -> None:
        self._deployments = context.caches.deployments
        self._status = context.status_writer(context.caches.deployments)
        self.controller: Controller = context.controller("bundledeployment", self.reconcile)
        queue = self.controller.queue
        on_change(context.caches.deployments, wants_reconcile, lambda event: queue.add(key_of(event.obj)))

    async def reconcile(self, key: str) -> Result:
        """Report the wanted deployment as applied and ready."""
        deployment = await self._deployments.get(key)
        if deployment is None or is_deleted(deployment):
            return DONE
        await self._status.write(deployment, applied(self._status.latest(deployment)))
        return DONE


def applied(deployment: Object) -> Object:
    """The status of a BundleDeployment that is deployed as wanted."""
    stamp = now()
    status: Object = dict(deployment.get("status") or {})
    for type_ in ("Installed", "Deployed", "Monitored", "Ready"):
        status["conditions"] = condition(status, type_, met=True, now=stamp)
    return {
        "appliedDeploymentID": deployment["spec"].get("deploymentID"),
        "release": f"{namespace_of(deployment)}/{name_of(deployment)}:1",
        "ready": True,
        "nonModified": True,
        "display": {"deployed": "True", "monitored": "True", "state": "Ready"},
        "conditions": status["conditions"],
    }
