"""Where the manifest of a Bundle is kept for whoever deploys it (docs/claims.md row 1: "manifest annotations moved to a Secret").

With `annotation` each BundleDeployment carries it, and so does every cached copy and every watch event of it. With `secret` a
Secret of the BundleDeployment's name holds it, which nobody caches, and which is read by name when it is to be deployed.
"""

from __future__ import annotations

import base64
from enum import StrEnum

from harness.controllers.fleet import names
from harness.controllers.fleet.helm import Release
from harness.controllers.runtime.client import Api, ApiError
from harness.controllers.runtime.resources import Object, name_of, namespace_of

MOST_ANNOTATED = 200 << 10
"""Bytes: an object's annotations may be 256 KiB together. What is larger is in a Secret whatever the switch says."""
SECRET_TYPE = "fleet.cattle.io/manifest"  # noqa: S105 - the type of a Secret
_KEY = "manifest"


class ManifestPlace(StrEnum):
    """Values of the switch `manifest`."""

    ANNOTATION = "annotation"
    SECRET = "secret"  # noqa: S105 - a place


class Manifests:
    """Keeps manifests, and finds them again."""

    def __init__(self, api: Api, place: ManifestPlace) -> None:
        self._api, self._place = api, place

    def annotations(self, release: Release) -> dict[str, str]:
        """What a BundleDeployment carries of its release."""
        return {} if self._apart(release) else {names.MANIFEST_ANNOTATION: release.manifest.decode()}

    async def keep(self, deployment: Object, release: Release) -> None:
        """Put what the BundleDeployment (which exists) does not carry where it is found; it goes with it."""
        if not self._apart(release):
            return
        data = {_KEY: base64.b64encode(release.manifest).decode("ascii")}
        secret: Object = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": SECRET_TYPE,
            "metadata": {
                "name": name_of(deployment),
                "namespace": namespace_of(deployment),
                "labels": {names.MANAGED_LABEL: "true", **names.own_labels(deployment)},
                "ownerReferences": [names.owner_reference(deployment, names.DEPLOYMENTS)],
            },
            "data": data,
        }
        try:
            await self._api.create(names.SECRETS.path(namespace_of(deployment)), secret)
        except ApiError as error:
            if error.status != 409:
                raise
            # Of a BundleDeployment that was there before, too: its owner is then the one that is there now.
            patch = {"data": data, "metadata": {"ownerReferences": secret["metadata"]["ownerReferences"]}}
            await self._api.merge_patch(names.SECRETS.path(namespace_of(deployment), name_of(deployment)), patch)

    async def read(self, deployment: Object) -> str | None:
        """The manifest; None where it is not there yet. Raises what the client raises."""
        text: str | None = (deployment["metadata"].get("annotations") or {}).get(names.MANIFEST_ANNOTATION)
        if text is not None:
            return text
        try:
            secret = await self._api.get(names.SECRETS.path(namespace_of(deployment), name_of(deployment)))
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        if secret.get("type") != SECRET_TYPE:
            return None
        return base64.b64decode((secret.get("data") or {}).get(_KEY, "")).decode()

    def _apart(self, release: Release) -> bool:
        return self._place is ManifestPlace.SECRET or len(release.manifest) > MOST_ANNOTATED
