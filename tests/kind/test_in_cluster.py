"""The harness in a pod, as manifests/overlays/local has it: a Job runs smoke in its own cluster, by its own token.

Here the subject is a pod, too, so that the audit log tells whether the role of the harness is the right one for that.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from harness.cluster import kind_tools
from harness.core.handles import Silent
from harness.core.ids import RUN_LABEL
from harness.kube import every
from harness.kube.api import Api
from harness.kube.errors import ApiError
from harness.kube.workloads import POD
from harness.record.reader import RunRecord
from harness.toolchain import image
from tests import kustomized
from tests.integration.test_in_cluster_rights import ACCOUNT, BY_APPLY, OF_PODS, ROLES, asked_in, rights_of
from tests.kind.clusters import docker
from tests.kind.conftest import Kept

pytestmark = pytest.mark.timeout(900)
T = TypeVar("T")

FOLDER = "/var/local/harness-runs"
TAG = "controller-harness/harness:local"
JOB_S = 300.0
"""From the Job to its end, on a busy machine: a quick smoke takes half a minute of it."""


@pytest.fixture(scope="module")
def applied(kept: Kept) -> Iterator[list[dict[str, Any]]]:
    """The image on the node, the folder for records, and everything of the overlay; taken away again."""
    reference = asyncio.run(image.ensure(Silent(), image=image.OWN))
    docker("tag", reference, TAG)
    kind_tools.output([kind_tools.find().kind, "load", "docker-image", TAG, "--name", kept.name], 300)
    docker("exec", f"{kept.name}-control-plane", "mkdir", "-p", FOLDER)
    documents = kustomized.overlay("local")
    (job,) = [each for each in documents if each["kind"] == "Job"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    container["env"].append({"name": "HARNESS_ON_BUSY", "value": "warn"})  # as for all tests: tests/conftest.py
    container["args"] += ["--set", "flip_rate=max"]  # four at a rate are late when the machine is, for 0.3 s

    async def apply() -> None:
        async with await Api.connect(kept.kubeconfig) as api:
            for document in documents:
                await api.apply(document)

    async def remove() -> None:
        async with await Api.connect(kept.kubeconfig) as api:
            for document in reversed(documents):
                kind = await api.discovery.kind(document["apiVersion"], document["kind"])
                await api.delete(kind, document["metadata"]["name"], document["metadata"].get("namespace"))
            await api.wait_namespace_gone("harness")

    asyncio.run(apply())
    yield documents
    asyncio.run(remove())


async def ended(api: Api, job: str) -> dict[str, Any]:
    """The pod of a Job, once it has ended."""
    deadline = time.monotonic() + JOB_S
    while True:
        found = (await api.list(POD, "harness", label_selector=f"job-name={job}")).items
        if found and found[0]["status"]["phase"] in ("Succeeded", "Failed"):
            return found[0]
        assert time.monotonic() < deadline, yaml.safe_dump([each.get("status") for each in found])
        await asyncio.sleep(1)


async def log_of(api: Api, pod: str) -> str:
    try:
        return (await api.transport.request("GET", POD.path("harness", pod, "log"))).decode(errors="replace")
    except ApiError as error:
        return str(error)


def test_a_job_runs_smoke_in_its_own_cluster(kept: Kept, applied: list[dict[str, Any]], tmp_path: Path) -> None:
    async def wait() -> tuple[dict[str, Any], str]:
        async with await Api.connect(kept.kubeconfig) as api:
            pod = await ended(api, "harness")
            return pod, await log_of(api, pod["metadata"]["name"])

    pod, log = asyncio.run(wait())
    (container,) = pod["status"]["containerStatuses"]
    assert container["state"]["terminated"]["exitCode"] == 0, log
    docker("cp", f"{kept.name}-control-plane:{FOLDER}/.", str(tmp_path))
    (directory,) = (tmp_path / "runs").glob("2*")
    record = RunRecord(directory)
    assert record.verdict is not None
    assert record.verdict.verdict == "passed"
    run = record.run
    assert run.cluster["provider"] == "in-cluster"
    assert run.subject.kind == "pod"
    assert run.subject.image == TAG
    assert run.subject.user == f"system:serviceaccount:run-{run.run_id}-subject:subject"
    assert (directory / "report.html").is_file()
    for name in ("completeness.BundleDeployment", "latency.flip.p99", "memory.working_set.peak", "reconciles.total"):
        assert record.verdict.results[name].value is not None, record.verdict.results[name]
    assert [each for each in record.verdict.warnings if "still there" in each or "looked at" in each] == []
    assert of_runs(kept) == [], "nothing of the run is left in the cluster"

    used, refused = asked_in(audit_log(kept, tmp_path), ACCOUNT)
    assert refused == set()
    own = set(rights_of(ROLES["harness"]))
    assert used >= OF_PODS & own - NOT_SEEN, "the others: tests/integration/test_in_cluster_rights.py"


SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "load-workers", "namespace": "harness"}}
LOAD = ["--set", "secrets=200", "--set", "secret_rate=10/s"]


def test_load_workers_are_pods_and_without_one_of_them_the_run_is_invalid(
    kept: Kept, applied: list[dict[str, Any]], tmp_path: Path
) -> None:
    """The same Job, its load sent by two pods of a Deployment, one of which somebody deletes in the middle."""
    assert applied, "the image is on the node"
    documents = [*kustomized.overlay("local-workers"), SECRET | {"stringData": {"secret": secrets.token_hex(32)}}]
    (job,) = [each for each in documents if each["kind"] == "Job"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    container["env"].append({"name": "HARNESS_ON_BUSY", "value": "warn"})
    container["args"] += LOAD

    async def load() -> tuple[str, dict[str, Any], str]:
        async with await Api.connect(kept.kubeconfig) as api:
            kind = await api.discovery.kind("batch/v1", "Job")
            await api.delete(kind, "harness", "harness")
            await within("the pod's end", lambda: pods(api, "job-name=harness"), lambda found: not found)
            for document in documents:
                await api.apply(document)
            begun = await within("the load", lambda: secrets_of_runs(api), lambda found: len({*found}) == 2)
            assert begun == {0, 1}, "both workers send"
            (lost, *_) = await pods(api, "app.kubernetes.io/name=load-worker")
            await api.delete(POD, lost["metadata"]["name"], "harness")
            pod = await ended(api, "harness")
            return lost["metadata"]["name"], pod, await log_of(api, pod["metadata"]["name"])

    lost, pod, log = asyncio.run(load())
    (status,) = pod["status"]["containerStatuses"]
    assert status["state"]["terminated"]["exitCode"] == 3, log
    docker("cp", f"{kept.name}-control-plane:{FOLDER}/.", str(tmp_path))
    record = RunRecord(max((tmp_path / "runs").glob("2*")))
    joined = {event["host"]: event for event in record.events("load_worker")}
    assert len(joined) == 2
    assert lost in joined
    for event in joined.values():
        assert event["shared_clock"], "a pod of the same machine"
        assert abs(event["offset_ns"]) <= event["uncertainty_ns"] < 10**9
    rows = record.sql("SELECT worker % 2, count(DISTINCT name) FROM requests WHERE phase = 'create-Secret' GROUP BY 1")
    sent = dict(rows)
    assert sent[1 - joined[lost]["worker"]] == 100, "the other one did its share, and no more"
    assert 0 < sent[joined[lost]["worker"]] < 100
    assert record.verdict is not None
    assert record.verdict.verdict == "invalid"
    # Its last word comes, or does not where its network is taken away before: what comes is tests/unit/loadgen's matter.
    how = "(was told to end, and not by us|was not heard of any more)"
    assert re.search(rf"on {re.escape(lost)}\) {how}: its requests are missing", record.verdict.reasons[0])
    assert of_runs(kept) == [], "nothing of the run is left in the cluster, nor the right of the workers"


async def within(what: str, look: Callable[[], Awaitable[T]], enough: Callable[[T], bool]) -> T:
    """What is found, once it is enough."""
    deadline = time.monotonic() + JOB_S
    while not enough(found := await look()):
        assert time.monotonic() < deadline, f"{what} did not come: {found!r:.2000}"
        await asyncio.sleep(0.5)
    return found


async def pods(api: Api, selector: str) -> list[dict[str, Any]]:
    """Those of the harness's namespace."""
    return list((await api.list(POD, "harness", label_selector=selector)).items)


async def secrets_of_runs(api: Api) -> set[int]:
    """Which workers have created something: they take every other number."""
    kind = await api.discovery.kind("v1", "Secret")
    found = (await api.list(kind, None, label_selector=RUN_LABEL)).items
    numbers = [each["metadata"]["name"].rpartition("-")[2] for each in found]
    return {int(number) % 2 for number in numbers if number.isdecimal()}


NOT_SEEN = BY_APPLY | {("", "pods/portforward", "create")}
"""Asked of the authorizer by the API server itself, while it answers another request: no requests of their own."""


def audit_log(kept: Kept, tmp_path: Path) -> Path:
    """The cluster's; the folder is on this machine."""
    from harness.cluster import kind_owned

    owned = kind_owned.load(kept.name)
    assert owned is not None
    (found,) = Path(owned.directory).rglob("audit.log")
    return Path(shutil.copy(found, tmp_path / "audit.log"))


def of_runs(kept: Kept) -> list[str]:
    async def ask() -> list[str]:
        async with await Api.connect(kept.kubeconfig) as api:
            return [item.name for item in (await every.labelled(api, RUN_LABEL)).objects]

    return asyncio.run(ask())
