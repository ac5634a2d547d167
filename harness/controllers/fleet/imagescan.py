"""Controller `imagescan`: looks up the newest tag of an image, and has the GitRepo deploy it.

Tags are those that the ImageScan lists itself (`spec.tags`), else those of a registry (switch `registry`). Fleet commits the
tag to the repository; nothing is cloned here, so that it becomes `spec.images` of the GitRepo, of which its Bundles are made.
"""

from __future__ import annotations

import re

from harness.controllers.fleet import names
from harness.controllers.fleet.context import Context, is_deleted, now, on_change, wants_reconcile
from harness.controllers.fleet.tags import TagsError, listed, newest
from harness.controllers.runtime.client import ApiError
from harness.controllers.runtime.controller import DONE, Controller, Result
from harness.controllers.runtime.resources import Object, generation_of, key_of, name_of, namespace_of
from harness.controllers.runtime.status import condition

DEFAULT_INTERVAL_S = 60.0
LEAST_INTERVAL_S = 1.0
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class ImageScanController:
    """Keys are those of ImageScans."""

    def __init__(self, context: Context) -> None:
        self._scans = context.caches.scans
        self._gitrepos = context.caches.gitrepos
        self._api = context.api
        self._registry = context.options.registry
        self._status = context.status_writer(self._scans)
        self.controller: Controller = context.controller("imagescan", self.reconcile)
        queue = self.controller.queue
        on_change(self._scans, wants_reconcile, lambda event: queue.add(key_of(event.obj)))

    async def reconcile(self, key: str) -> Result:
        """Look once; again after the interval."""
        scan = self._scans.store.get(key)
        if scan is None or is_deleted(scan) or scan["spec"].get("suspend"):
            return DONE
        status = self._status.latest(scan).get("status") or {}
        try:
            tag = newest(await self._tags(scan), scan["spec"].get("policy") or {})
        except TagsError as error:
            fields: Object = {"conditions": _scanned(status, str(error))}
        else:
            image = f"{scan['spec']['image']}:{tag}"
            problem = await self._hand_over(scan, image)
            fields = {"latestTag": tag, "latestImage": image, "conditions": _scanned(status, problem)}
        await self._status.write(scan, {"observedGeneration": generation_of(scan), **fields})
        return Result(requeue_after_s=interval_of(scan))

    async def _tags(self, scan: Object) -> list[str]:
        tags = scan["spec"].get("tags")
        if tags is not None:
            return [str(tag) for tag in tags] if isinstance(tags, list) else []
        if self._registry is None:
            raise TagsError("it lists no tags, and there is no registry to ask")
        return await listed(self._registry, scan["spec"]["image"])

    async def _hand_over(self, scan: Object, image: str) -> str:
        """Write the image to the GitRepo where it is another one; what stood in the way, if anything did."""
        repo = scan["spec"].get("gitrepoName")
        if not repo:
            return ""
        gitrepo = await self._gitrepos.get(f"{namespace_of(scan)}/{repo}")
        if gitrepo is None:
            return f"GitRepo {repo} does not exist"
        name = scan["spec"].get("tagName") or name_of(scan)
        if (gitrepo["spec"].get("images") or {}).get(name) == image:
            return ""
        patch = {"spec": {"images": {name: image}}}
        try:
            await self._api.merge_patch(names.GITREPOS.path(namespace_of(scan), repo), patch)
        except ApiError as error:
            if error.status != 404:
                raise
            return f"GitRepo {repo} does not exist"
        return ""


def _scanned(status: Object, problem: str) -> list[Object]:
    return condition(status, "Scanned", met=not problem, message=problem, now=now())


def interval_of(scan: Object) -> float:
    """Seconds between two looks, as Go writes durations (`1m30s`); what is none is the default."""
    text = str(scan["spec"].get("interval") or "")
    if not re.fullmatch(rf"({_DURATION.pattern})+", text):
        return DEFAULT_INTERVAL_S
    seconds = sum(float(number) * _UNITS_S[unit] for number, unit in _DURATION.findall(text))
    return max(LEAST_INTERVAL_S, seconds)
