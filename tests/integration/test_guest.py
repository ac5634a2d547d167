"""`--cluster kubeconfig` as a user has it: a guest in a cluster that is somebody else's, here the tests' own embedded one."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cluster import cleanup
from harness.cluster.accounts import Accounts
from harness.cluster.embedded import EmbeddedCluster
from harness.cluster.isolation import isolate
from harness.cluster.setup import OWNER, prepare_as_guest
from harness.core.errors import EnvironmentFault
from harness.core.ids import RUN_LABEL, namespace_of
from harness.core.kinds import Kind, find
from harness.kube import every
from harness.kube.api import Api
from harness.kube.discovery import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, CRD
from harness.kube.errors import ApiError
from tests.integration.conftest import started

pytestmark = pytest.mark.cluster

RUN_ID = "20260101-000000-guest"
OTHER_ID = "20260101-000000-other"
GITREPO = find("GitRepo")
SCENARIO = """
name: small
summary: Secrets and a flip, as a guest.
subject: {controller: fleet, options: {workers: 5}}
load:
  - create: {kind: Cluster.management.cattle.io, count: 2}
  - create: {kind: Secret, count: 30, size: 1KB, rate: max}
  - create: {kind: GitRepo, count: 2, bundles: 2, matching: 1}
  - settle: {quiet_for: 1s, timeout: 1m}
  - flip: {kind: Cluster.management.cattle.io, labels: {env: prod}}
    probes: [{name: flip, until: BundleDeployment}]
  - settle: {quiet_for: 1s, timeout: 1m}
expect: [completeness.Secret == 1, completeness.BundleDeployment == 1, load.failures == 0]
"""


def harness(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness.cli.main", *arguments], capture_output=True, text=True, timeout=240
    )


@asynccontextmanager
async def connected(kubeconfig: Path) -> AsyncIterator[Api]:
    async with await Api.connect(kubeconfig) as api:
        yield api


def ask(cluster: EmbeddedCluster, question: Callable[[Api], Any]) -> Any:  # whatever is asked
    async def run() -> Any:
        async with connected(cluster.kubeconfig) as api:
            return await question(api)

    return asyncio.run(run())


def of_run(cluster: EmbeddedCluster, run_id: str) -> list[str]:
    async def names(api: Api) -> list[str]:
        found = await every.labelled(api, f"{RUN_LABEL}={run_id}")
        assert found.unseen == []
        assert {"Secret", "ClusterRole.rbac.authorization.k8s.io", "Namespace"} <= {k.full_name for k in found.kinds}
        return [item.name for item in found.objects]

    found: list[str] = ask(cluster, names)
    return found


@pytest.fixture(scope="module")
def embedded(
    cluster_loop: asyncio.AbstractEventLoop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedCluster]:
    """A cluster without the runs of other tests: a guest leaves what it finds another run at work on."""
    with started(cluster_loop, tmp_path_factory.mktemp("guests"), "20260101-000000-hosts") as cluster:
        yield cluster


@pytest.fixture
def foreign(embedded: EmbeddedCluster) -> Iterator[EmbeddedCluster]:
    """The tests' cluster without what other tests left of our kinds, and with one CRD of ours that somebody else changed."""

    async def empty(api: Api) -> None:
        for crd in (await api.list(CRD)).items:
            await api.delete(CRD, crd["metadata"]["name"])
        while (await api.list(CRD)).items:  # noqa: ASYNC110 # the API server's doing
            await asyncio.sleep(0.1)
        theirs = Path(__file__).parents[2] / "manifests" / "crds" / "fleet.cattle.io_clustergroups.yaml"
        document = yaml.safe_load(theirs.read_text())
        document["metadata"]["labels"] = {"whose": "theirs"}
        await api.create(CRD, document)

    ask(embedded, empty)
    yield embedded

    async def end(api: Api) -> None:
        for run_id in (RUN_ID, OTHER_ID):
            await cleanup.remove(api, run_id)

    ask(embedded, end)


def state_of(cluster: EmbeddedCluster) -> list[str]:
    async def names(api: Api) -> list[str]:
        found = await every.labelled(api, "", [find("Namespace"), CRD, CLUSTER_ROLE, CLUSTER_ROLE_BINDING])
        return sorted(f"{item.name} {item.metadata.get('labels')}" for item in found.objects)

    found: list[str] = ask(cluster, names)
    return found


def test_a_run_as_a_guest_leaves_everything_as_it_was(foreign: EmbeddedCluster, tmp_path: Path) -> None:
    scenario = tmp_path / "small.yaml"
    scenario.write_text(SCENARIO)
    before = state_of(foreign)
    done = harness(
        *("run", str(scenario), "--cluster", "kubeconfig", "--context", foreign.name, "--json"),
        *("--kubeconfig", str(foreign.kubeconfig), "--out", str(tmp_path / "runs")),
    )
    assert done.stdout.count("\n") == 1, done.stderr
    run = json.loads(done.stdout)
    assert (run["verdict"], run["reasons"]) == ("passed", []), done.stderr
    assert done.returncode == 0
    assert run["subject"]["user"] == f"system:serviceaccount:{run['namespace']}:harness-subject"
    assert abs(run["cluster"]["clock"]["offset_s"]) <= run["cluster"]["clock"]["uncertainty_s"] + 0.001
    for name in ("writes.total", "writes.noop", "startup.first_object"):
        assert run["results"][name]["value"] is None
        assert "audit log of a cluster that is not the run's own cannot be read" in run["results"][name]["reason"]
    cpu = run["results"]["apiserver.cpu"]
    assert (cpu["value"], cpu["reason"]) == (None, "the API server runs elsewhere")
    plan = json.loads((Path(run["path"]) / "plan.json").read_text())
    assert plan["cert_file"] is None
    assert not Path(plan["token_file"]).exists(), "no credentials outlive the run"
    assert [w for w in run["warnings"] if "still there" in w or "was left" in w] == []
    assert of_run(foreign, run["run_id"]) == []
    assert state_of(foreign) == before


def test_objects_of_others_that_the_subject_would_act_on_are_a_reason_to_refuse(foreign: EmbeddedCluster) -> None:
    async def try_it(api: Api) -> None:
        await prepare_as_guest(api, OTHER_ID, [])
        repo = {
            "apiVersion": GITREPO.api_version,
            "kind": "GitRepo",
            "metadata": {"name": "theirs"},
            "spec": {"repo": "x"},
        }
        await api.create(GITREPO, repo, namespace_of(OTHER_ID))
        with pytest.raises(
            EnvironmentFault, match=f"holds a GitRepo.*{namespace_of(OTHER_ID)}/theirs.*would act on it"
        ):
            await prepare_as_guest(api, RUN_ID, [find("Bundle")])
        with pytest.raises(ApiError, match="404"):
            await api.get(find("Namespace"), namespace_of(RUN_ID))
        await prepare_as_guest(api, RUN_ID, [find("Secret")])  # a load of Secrets does not concern GitRepos
        # The other run is still there, and uses the CRDs that this one... did not bring along.
        assert await cleanup.remove(api, RUN_ID) == []
        assert (await api.get(GITREPO, "theirs", namespace_of(OTHER_ID)))["metadata"]["name"] == "theirs"
        await prepare_as_guest(api, RUN_ID, [find("Secret")])
        left = await cleanup.remove(api, OTHER_ID)
        assert left
        assert all("was left: another run is there" in sentence for sentence in left)
        assert await cleanup.remove(api, RUN_ID) == []
        assert await cleanup.remove(api, OTHER_ID) == [], "the last one out takes the definitions along"

    ask(foreign, try_it)


def test_what_finalizers_hold_is_named_and_clean_takes_it_when_they_let_go(foreign: EmbeddedCluster) -> None:
    secret = find("Secret")

    async def hold(api: Api) -> list[str]:
        await prepare_as_guest(api, RUN_ID, [secret])
        metadata = {"name": "held", "labels": {RUN_LABEL: RUN_ID}, "finalizers": ["example.com/somebody"]}
        await api.create(secret, {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}, "default")
        return list(await cleanup.remove(api, RUN_ID, limit_s=5))

    said = ask(foreign, hold)  # of a slow machine also what is just going
    assert "Secret default/held is still there: it is being deleted, and waits for example.com/somebody" in said

    async def let_go(api: Api) -> None:
        await api.merge_patch(secret, "held", {"metadata": {"finalizers": None}}, "default")

    ask(foreign, let_go)
    assert ask(foreign, lambda api: cleanup.remove(api, RUN_ID)) == []
    assert of_run(foreign, RUN_ID) == []


def clean(cluster: EmbeddedCluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    return harness("clean", "--context", cluster.name, "--kubeconfig", str(cluster.kubeconfig), *arguments)


def test_clean_removes_runs_that_are_dead_and_says_of_the_others_why_not(foreign: EmbeddedCluster) -> None:
    async def two(api: Api) -> None:
        await prepare_as_guest(api, RUN_ID, [find("Secret")])
        await prepare_as_guest(api, OTHER_ID, [find("Secret")])
        elsewhere = {"metadata": {"annotations": {OWNER: '{"pid": 1, "started_ticks": 1, "boot_id": "elsewhere"}'}}}
        await api.merge_patch(find("Namespace"), namespace_of(OTHER_ID), elsewhere)

    ask(foreign, two)
    said = clean(foreign)
    assert said.returncode == 0
    assert f"run {RUN_ID}: " in said.stdout
    assert f"left alone: it is running (process {os.getpid()})" in said.stdout
    assert f"left alone: it may be running on another machine; name it with --run {OTHER_ID}" in said.stdout
    assert of_run(foreign, OTHER_ID) != []
    assert f"run {OTHER_ID}: " in clean(foreign, "--run", OTHER_ID, "--dry-run").stdout
    assert of_run(foreign, OTHER_ID) != []
    # It brought no definitions along: the first did.
    assert f"removed {OTHER_ID}" in clean(foreign, "--run", OTHER_ID).stdout
    assert of_run(foreign, OTHER_ID) == []
    assert of_run(foreign, RUN_ID) != []

    async def dies(api: Api) -> None:
        dead = json.loads((await api.get(find("Namespace"), namespace_of(RUN_ID)))["metadata"]["annotations"][OWNER])
        patch = {"metadata": {"annotations": {OWNER: json.dumps(dead | {"started_ticks": 1})}}}
        await api.merge_patch(find("Namespace"), namespace_of(RUN_ID), patch)

    ask(foreign, dies)
    assert f"removed {RUN_ID}" in clean(foreign).stdout
    assert of_run(foreign, RUN_ID) == []
    assert clean(foreign).stdout == f"nothing is left of any run in {foreign.name}\n"


def test_a_run_that_is_killed_is_cleaned_up_all_the_same(foreign: EmbeddedCluster, tmp_path: Path) -> None:
    scenario = tmp_path / "small.yaml"
    scenario.write_text(SCENARIO.replace("count: 30, size: 1KB, rate: max", "count: 3000, size: 1KB, rate: 50/s"))
    runs = tmp_path / "runs"
    command = [sys.executable, "-m", "harness.cli.main", "run", str(scenario), "--out", str(runs)]
    command += ["--cluster", "kubeconfig", "--context", foreign.name, "--kubeconfig", str(foreign.kubeconfig)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not any(f.read_text().count("create-Secret") for f in runs.glob("2*/events.jsonl")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        run_id = next(runs.glob("2*")).name
        assert of_run(foreign, run_id) != []
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 120
    while of_run(foreign, run_id):
        assert time.monotonic() < deadline, of_run(foreign, run_id)[:5]
        time.sleep(0.5)


def test_an_account_has_a_token_and_no_rights(foreign: EmbeddedCluster, tmp_path: Path) -> None:
    isolated = isolate(foreign.kubeconfig, None, tmp_path)

    async def try_it(api: Api) -> None:
        await prepare_as_guest(api, RUN_ID, [find("Secret")])
        accounts = Accounts(
            kubeconfig=isolated.kubeconfig, server=isolated.server, ca_file=isolated.ca_file, directory=tmp_path,
            run_id=RUN_ID, cluster="x",
        )  # fmt: skip
        try:
            user = f"harness:subject:{RUN_ID}"
            kubeconfig = await accounts.identity(user)
            assert await accounts.identity(user) == kubeconfig
            review = Kind("authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews", namespaced=False)
            async with await Api.connect(kubeconfig) as own:
                body = {"apiVersion": review.api_version, "kind": review.kind}
                told = await own.create(review, body)
                assert told["status"]["userInfo"]["username"] == accounts.username(user)
                with pytest.raises(ApiError, match="403"):
                    await own.list(find("Secret"))
        finally:
            await accounts.close()
            assert await cleanup.remove(api, RUN_ID) == []

    ask(foreign, try_it)
    for file in tmp_path.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file


def edited(cluster: EmbeddedCluster, path: Path, **changes: str) -> Path:
    document = yaml.safe_load(cluster.kubeconfig.read_text())
    document["clusters"][0]["cluster"].update(changes)
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "--cluster kubeconfig needs a context, by name; add --context NAME"),
        (("--context", "no"), 2, "there is no context 'no'; its contexts: tests"),
        (("--context", "tests", "--kind-name", "x"), 2, "--kind-name is about --cluster kind, not kubeconfig"),
        (("--context", "tests", "--subject", "true"), 2, "name a ClusterRole with --subject-role"),
    ],
)
def test_bad_input_is_one_line(
    embedded: EmbeddedCluster, tmp_path: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    done = harness(
        *("run", "smoke", "--arm", "pass", "--cluster", "kubeconfig", "--kubeconfig", str(embedded.kubeconfig)),
        *(*arguments, "--out", str(tmp_path / "runs")),
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("runs/2*")), "nothing began"


@pytest.mark.parametrize("case", ["dead", "production", "unreadable", "insecure", "no rights"])
def test_a_kubeconfig_that_cannot_be_used_is_one_line(embedded: EmbeddedCluster, tmp_path: Path, case: str) -> None:
    path = tmp_path / "config"
    if case == "dead":
        edited(embedded, path, server="https://127.0.0.1:1")
    elif case == "production":
        edited(embedded, path, server="https://api.prod.example.com")
    elif case == "insecure":
        edited(embedded, path, **{"insecure-skip-tls-verify": "true"})
    elif case == "no rights":
        shutil.copy(asyncio.run(embedded.identity("harness:nobody")), path)
    else:
        path.write_text("{")
    context = "tests"
    done = harness(
        *("run", "smoke", "--arm", "pass", "--cluster", "kubeconfig", "--context", context, "--kubeconfig", str(path)),
        *("--out", str(tmp_path / "runs")),
    )
    code, says = {
        "dead": (4, "the cluster of the context 'tests' does not answer: https://127.0.0.1:1 cannot be reached"),
        "production": (2, "looks like production: its server is 'api.prod.example.com'"),
        "unreadable": (2, "this kubeconfig cannot be read"),
        "insecure": (2, "it does not verify the server's certificate"),
        "no rights": (4, "may not create namespaces, delete namespaces"),
    }[case]
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("runs/2*")), "nothing began"
