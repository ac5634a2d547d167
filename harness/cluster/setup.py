"""What a run needs in any cluster before its load begins."""

from __future__ import annotations

from harness.core.ids import RUN_LABEL, namespace_of
from harness.core.paths import data_dir
from harness.kube.api import Api
from harness.kube.manifests import apply_files


async def prepare(api: Api, run_id: str) -> str:
    """Apply our CRDs and roles, wait until the CRDs are served, make the run's namespace; returns its name.

    The namespace carries the run's label. `api` must be an administrator's.
    """
    manifests = data_dir("manifests")
    await apply_files(api, [manifests / "crds", manifests / "rbac"])
    namespace = namespace_of(run_id)
    await api.ensure_namespace(namespace, {RUN_LABEL: run_id})
    return namespace
