"""Controller `agent`: what Fleet's agent does in each downstream cluster. It takes the place of `bundledeployment`.

A BundleDeployment's manifest is read, its objects are applied in the namespace of the BundleDeployment, and what an earlier
manifest had applied there and this one does not have is taken away. They are owned by the BundleDeployment, and go with it.
Only ConfigMaps can be applied: the role of the controller gives no rights on anything else.
"""

from __future__ import annotations

from typing import Any

import yaml

from harness.controllers.fleet import names
from harness.controllers.fleet.context import Context, is_deleted, now, on_change, wants_reconcile
from harness.controllers.fleet.deployment import applied
from harness.controllers.fleet.manifest import Manifests
from harness.controllers.runtime.client import ApiError
from harness.controllers.runtime.controller import AGAIN, DONE, Controller, Result
from harness.controllers.runtime.resources import Object, key_of, namespace_of
from harness.controllers.runtime.status import condition

MANAGER = "fleet-agent"
_APPLICABLE = {(names.CONFIG_MAPS.api_version, names.CONFIG_MAPS.kind): names.CONFIG_MAPS}
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class ManifestError(Exception):
    """The manifest cannot be applied; the text is a sentence for people."""


class AgentController:
    """Keys are those of BundleDeployments."""

    def __init__(self, context: Context) -> None:
        self._deployments = context.caches.deployments
        self._api = context.api
        self._manifests = Manifests(context.api, context.options.manifest)
        self._status = context.status_writer(context.caches.deployments)
        self.controller: Controller = context.controller("agent", self.reconcile)
        queue = self.controller.queue
        on_change(context.caches.deployments, wants_reconcile, lambda event: queue.add(key_of(event.obj)))

    async def reconcile(self, key: str) -> Result:
        """Apply the objects of one BundleDeployment, and report it."""
        deployment = await self._deployments.get(key)
        if deployment is None or is_deleted(deployment):
            return DONE
        manifest = await self._manifests.read(deployment)
        if manifest is None:  # the Secret comes just after the BundleDeployment
            return AGAIN
        before = self._status.latest(deployment)
        there: list[str] = (before.get("status") or {}).get("applied") or []
        try:
            objects = parse(manifest)
            for obj in objects:
                await self._apply(obj, deployment)
        except (ManifestError, ApiError) as error:
            if isinstance(error, ApiError) and not 400 <= error.status < 500:
                raise
            status = before.get("status") or {}
            conditions = condition(status, "Ready", met=False, reason="ErrApplied", message=str(error), now=now())
            await self._status.write(deployment, {"conditions": conditions, "ready": False})
            return DONE
        wanted = sorted(obj["metadata"]["name"] for obj in objects)
        for name in there:
            if name not in wanted:
                await self._api.delete(names.CONFIG_MAPS.path(namespace_of(deployment), name))
        await self._status.write(deployment, {**applied(before), "applied": wanted})
        return DONE

    async def _apply(self, obj: Object, deployment: Object) -> None:
        resource = _APPLICABLE[obj["apiVersion"], obj["kind"]]
        metadata = {
            **obj["metadata"],
            "namespace": namespace_of(deployment),
            "labels": {**(obj["metadata"].get("labels") or {}), **names.own_labels(deployment)},
            "ownerReferences": [names.owner_reference(deployment, names.DEPLOYMENTS)],
        }
        path = resource.path(namespace_of(deployment), metadata["name"])
        await self._api.apply(path, {**obj, "metadata": metadata}, MANAGER)


def parse(manifest: str) -> list[Object]:
    """The objects of a manifest. Raises ManifestError."""
    try:
        documents = [obj for obj in yaml.load_all(manifest, Loader=_LOADER) if obj is not None]
    except yaml.YAMLError as error:
        raise ManifestError(f"the manifest is no YAML: {' '.join(str(error).split())}") from error
    for obj in documents:
        known = isinstance(obj, dict) and (obj.get("apiVersion"), obj.get("kind")) in _APPLICABLE
        metadata = obj.get("metadata") if known else None
        if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
            raise ManifestError("the manifest holds something else than ConfigMaps with a name")
    return documents
