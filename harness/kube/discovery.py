"""Which resource a manifest's apiVersion and kind stand for: our own table first, then the server's discovery."""

from __future__ import annotations

from harness.core.kinds import KINDS, Kind
from harness.kube.errors import ApiError
from harness.kube.transport import Transport

CRD = Kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False)
CLUSTER_ROLE = Kind("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", namespaced=False)
CLUSTER_ROLE_BINDING = Kind(
    "rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False
)
ACCESS_REVIEW = Kind("authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", namespaced=False)
NAMESPACE = next(kind for kind in KINDS if kind.full_name == "Namespace")

_KNOWN = (*KINDS, CRD, CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ACCESS_REVIEW)


_NOT_FOUND = 404


class Discovery:
    """Maps (apiVersion, kind) to a `Kind`, asking the server once per group and version for what we do not know."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._kinds = {(kind.api_version, kind.kind): kind for kind in _KNOWN}

    async def kind(self, api_version: str, kind: str) -> Kind:
        """The resource behind a manifest. Raises ApiError 404 where the server does not serve it (yet)."""
        found = self._kinds.get((api_version, kind))
        if found is None:
            try:
                await self._discover(api_version)
            except ApiError as error:
                if error.status != _NOT_FOUND:  # 404, in whatever words: a group or version that is not there
                    raise
            found = self._kinds.get((api_version, kind))
        if found is None:
            raise ApiError(404, "NotFound", "the server has no such kind", place=f"{kind} of {api_version}")
        return found

    async def _discover(self, api_version: str) -> None:
        group, _, version = api_version.rpartition("/")
        root = f"/apis/{api_version}" if group else f"/api/{api_version}"
        resources = (await self._transport.request_json("GET", root)).get("resources") or []
        names = {resource["name"] for resource in resources}
        for resource in resources:
            plural = resource["name"]
            if "/" in plural:
                continue
            self._kinds[api_version, resource["kind"]] = Kind(
                group, version, resource["kind"], plural, resource["namespaced"], f"{plural}/status" in names
            )
