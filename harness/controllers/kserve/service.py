"""Controller `inferenceservice`: finds the credentials and reports what the object came to.

No model is served: where all credentials are there, what KServe would report when all went well is reported at once.
"""

from __future__ import annotations

from datetime import UTC, datetime

from harness.controllers.kserve import names
from harness.controllers.kserve.credentials import Finder
from harness.controllers.runtime.client import Api
from harness.controllers.runtime.controller import AGAIN, DONE, Controller, Result
from harness.controllers.runtime.informer import Event, Informer
from harness.controllers.runtime.metrics import Metrics
from harness.controllers.runtime.resources import generation_of, key_of, name_of
from harness.controllers.runtime.status import StatusPatch, StatusWriter, condition


class ServiceController:
    """Keys are those of InferenceServices."""

    def __init__(
        self, api: Api, informer: Informer, finder: Finder, metrics: Metrics, *, workers: int, patch: StatusPatch
    ) -> None:
        self._informer, self._finder = informer, finder
        self._status = StatusWriter(api, informer, patch)
        self.controller = Controller("inferenceservice", self.reconcile, workers=workers, metrics=metrics)
        informer.on_event(self._queue)

    def _queue(self, event: Event) -> None:
        if event.old is None or event.new is None or generation_of(event.old) != generation_of(event.new):
            self.controller.queue.add(key_of(event.obj))

    async def reconcile(self, key: str) -> Result:
        """Look up the credentials, write the status. What is missing is looked for again."""
        service = self._informer.store.get(key)
        if service is None or "deletionTimestamp" in service["metadata"]:
            return DONE
        namespace = names.where(service)
        found = await self._finder.find(service, namespace)
        status = self._status.latest(service).get("status") or {}
        conditions = condition(
            status, "Ready", met=not found.missing, reason="" if not found.missing else "CredentialsMissing",
            message=", ".join(found.missing[:3]), now=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )  # fmt: skip
        fields = {
            "observedGeneration": generation_of(service),
            "url": f"http://{name_of(service)}.{namespace}.example.invalid",
            "credentials": {"secrets": found.found, "digest": found.digest},
            "conditions": conditions,
        }
        await self._status.write(service, fields)
        return AGAIN if found.missing else DONE
