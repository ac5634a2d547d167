"""A subject in a pod, without a cluster: its manifest, the kubelet's words about it, its cgroup as a tree of files, its ending.

The pods' statuses are those that a real kubelet gave (tests/kind); the cgroups are directories with files of a test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.subject import pod_cgroup, pod_ending, pod_manifest, pod_stats
from harness.subject.cgroups import Counters
from harness.subject.ending import Witness
from harness.subject.kernel_log import OomKill
from harness.subject.pod_cgroup import ContainerCgroup
from harness.subject.pod_container import Container
from harness.subject.pod_kills import PodKills
from harness.subject.pod_manifest import PodSpec
from harness.subject.pod_watch import PodWatch, Termination

RUN_ID = "20260101-000000-tests"
MIB = 1 << 20


def spec(**changes: Any) -> PodSpec:
    return PodSpec(RUN_ID, pod_manifest.namespace_of(RUN_ID), 0, "some/image:1", **changes)


# -- manifest ----------------------------------------------------------------------------------------------------------


def test_an_image_of_ours_may_do_next_to_nothing() -> None:
    made = pod_manifest.pod(spec(hardened=True, memory_limit=64 * MIB, cpu_limit=0.5))
    (container,) = made["spec"]["containers"]
    security = container["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] == pod_manifest.NON_ROOT
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["limits"] == {"memory": str(64 * MIB), "cpu": "500m"}
    assert container["resources"]["requests"] == {"memory": str(64 * MIB), "cpu": "100m"}
    assert {"name": "tmp", "mountPath": "/tmp", "readOnly": False} in container["volumeMounts"]
    assert made["spec"]["serviceAccountName"] == pod_manifest.ACCOUNT
    assert made["metadata"]["labels"]["harness.dev/run"] == RUN_ID


def test_an_image_of_others_is_left_as_it_is() -> None:
    (container,) = pod_manifest.pod(spec())["spec"]["containers"]
    assert "command" not in container
    assert "args" not in container
    assert container["resources"] == {}
    assert container["securityContext"] == {"allowPrivilegeEscalation": False}
    assert [mount["name"] for mount in container["volumeMounts"]] == ["kubeconfig"]


def test_words_that_kubernetes_would_replace_stay_what_they_are() -> None:
    (container,) = pod_manifest.pod(spec(command=["sh", "-c", "echo $(id) $HOME"], env={"A": "$(KUBECONFIG)"}))["spec"][
        "containers"
    ]
    assert container["command"][-1] == "echo $$(id) $HOME"
    assert {"name": "A", "value": "$$(KUBECONFIG)"} in container["env"]


def test_what_is_injected_cannot_be_written_by_the_subject() -> None:
    made = pod_manifest.pod(spec(folders={"shared": "/node/run/shared", "inject": "/node/run/inject"}))
    (container,) = made["spec"]["containers"]
    read_only = {mount["name"]: mount["readOnly"] for mount in container["volumeMounts"]}
    assert read_only == {"kubeconfig": True, "shared": False, "inject": True}
    paths = {volume["name"]: volume.get("hostPath", {}).get("path") for volume in made["spec"]["volumes"]}
    assert paths["inject"] == "/node/run/inject"


def test_the_kubeconfig_holds_no_secret_and_means_the_service_account() -> None:
    account, config = pod_manifest.account(RUN_ID, "https://10.96.0.1:443")
    assert (account["kind"], account["metadata"]["name"]) == ("ServiceAccount", pod_manifest.ACCOUNT)
    document = yaml.safe_load(config["data"]["kubeconfig"])
    assert document["users"] == [
        {"name": "subject", "user": {"tokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token"}}
    ]
    assert document["clusters"][0]["cluster"]["server"] == "https://10.96.0.1:443"
    assert pod_manifest.user_of(RUN_ID) == f"system:serviceaccount:run-{RUN_ID}-subject:subject"


# -- the kubelet's words -----------------------------------------------------------------------------------------------


def ended(container: str, code: int, reason: str) -> dict[str, Any]:
    return {
        "terminated": {
            "containerID": f"containerd://{container}", "exitCode": code, "reason": reason,
            "startedAt": "2026-11-22T03:51:26Z", "finishedAt": "2026-11-22T03:51:28Z",
        }
    }  # fmt: skip


RUNNING = {"running": {"startedAt": "2026-11-22T03:51:28Z"}}
WAITING = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}


def status(restarts: int, container: str, state: dict[str, Any], last: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "metadata": {"name": "subject-0", "uid": "u"},
        "spec": {"nodeName": "node"},
        "status": {
            "phase": "Running",
            "containerStatuses": [
                {
                    "containerID": f"containerd://{container}", "restartCount": restarts, "imageID": "sha256:1",
                    "state": state, "lastState": last or {},
                }
            ],
        },
    }  # fmt: skip


@pytest.fixture
def watch() -> PodWatch:
    return PodWatch(None, "ns", "subject-0")  # type: ignore[arg-type] # nothing is asked


def test_each_ending_is_taken_once_whether_in_state_or_in_last_state(watch: PodWatch) -> None:
    watch.take(status(0, "aa", RUNNING))
    assert watch.container_id == "aa"
    watch.take(status(0, "aa", ended("aa", 137, "OOMKilled")), 100)
    watch.take(status(0, "aa", WAITING, ended("aa", 137, "OOMKilled")))
    assert (watch.container_id, watch.waiting) == (None, ("CrashLoopBackOff", "back-off 10s"))
    watch.take(status(1, "bb", RUNNING, ended("aa", 137, "OOMKilled")))
    watch.take(status(2, "cc", RUNNING, ended("bb", 137, "OOMKilled")))
    assert list(watch.terminations) == ["aa", "bb"]
    assert watch.terminations["aa"].seen_ns == 100, "its first news"
    assert (watch.restart_count, watch.unseen) == (2, 0)


def test_restarts_that_nobody_saw_are_told(watch: PodWatch) -> None:
    watch.take(status(0, "aa", RUNNING))
    watch.take(status(3, "dd", RUNNING, ended("cc", 137, "OOMKilled")))
    assert list(watch.terminations) == ["cc"]
    assert watch.unseen == 2
    assert not watch.over


def test_the_word_alone_is_no_kill() -> None:
    """After a child's death containerd calls every later ending OOMKilled; seen so on a real node."""
    assert not Termination("aa", 3, "OOMKilled", "", None, None, 0).oom_killed
    assert not Termination("aa", 137, "Error", "", None, None, 0).oom_killed
    assert Termination("aa", 137, "OOMKilled", "", None, None, 0).oom_killed


def test_a_pod_that_no_node_takes_says_why(watch: PodWatch) -> None:
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "too big"}]
    watch.take({"metadata": {"name": "subject-0"}, "status": {"phase": "Pending", "conditions": conditions}})
    assert watch.waiting == ("Unschedulable", "too big")


# -- counting kills ----------------------------------------------------------------------------------------------------


class NoLog:
    """A container's log that nobody follows."""

    async def finish(self, timeout_s: float) -> None: ...


def write_cgroup(path: Path, *, usage: int, peak: int, limit: int, failcnt: int, kills: int, pids: str = "") -> None:
    path.mkdir(parents=True, exist_ok=True)
    values = {
        "memory.usage_in_bytes": usage, "memory.max_usage_in_bytes": peak, "memory.limit_in_bytes": limit,
        "memory.failcnt": failcnt, "memory.oom_control": f"oom_kill_disable 0\nunder_oom 0\noom_kill {kills}",
        "cgroup.procs": pids,
    }  # fmt: skip
    for name, value in values.items():
        (path / name).write_text(f"{value}\n")


@pytest.fixture
def cgroups(tmp_path: Path) -> tuple[Path, Path]:
    """The cgroup of a pod, and in it that of its container."""
    pod = tmp_path / "kubepods-pod1.slice"
    own = pod / "cri-containerd-aa.scope"
    write_cgroup(pod, usage=11 * MIB, peak=12 * MIB, limit=64 * MIB, failcnt=0, kills=0)
    write_cgroup(own, usage=10 * MIB, peak=11 * MIB, limit=64 * MIB, failcnt=0, kills=0)
    return pod, own


def container_cgroup(own: Path) -> ContainerCgroup:
    return ContainerCgroup(pod_cgroup.MemoryCgroupV1(own), pod_cgroup.MemoryCgroupV1(own.parent))


def test_the_limit_of_the_pod_counts_as_the_containers(cgroups: tuple[Path, Path]) -> None:
    pod, own = cgroups
    cgroup = container_cgroup(own)
    write_cgroup(pod, usage=64 * MIB, peak=64 * MIB, limit=64 * MIB, failcnt=40, kills=0)
    write_cgroup(own, usage=63 * MIB, peak=63 * MIB, limit=64 * MIB, failcnt=2, kills=1)
    assert (cgroup.limit_hits(), cgroup.oom_kills(), cgroup.limit_bytes) == (42, 1, 64 * MIB)
    victim = "/node/kubepods-pod1.slice/cri-containerd-aa.scope"
    (kill,) = cgroup.normalised([OomKill("/node/kubepods-pod1.slice", victim)])
    assert kill.limit == kill.victim
    (kill,) = cgroup.normalised([OomKill(None, victim)])
    assert kill.limit is None, "the node's own memory ran out"


def test_a_container_that_is_gone_keeps_its_last_reading_and_its_pods_counters(cgroups: tuple[Path, Path]) -> None:
    pod, own = cgroups
    cgroup = container_cgroup(own)
    for file in own.iterdir():
        file.unlink()
    own.rmdir()
    write_cgroup(pod, usage=1 * MIB, peak=64 * MIB, limit=64 * MIB, failcnt=9, kills=0)
    after = cgroup.counters()
    assert (after.usage_bytes, after.peak_bytes, after.limit_hits, after.oom_kills) == (10 * MIB, 64 * MIB, 9, 0)
    cgroup.at_least(1)
    assert cgroup.oom_kills() == 1
    assert cgroup.pids() == []


def kills_of(watch: PodWatch, *containers: Container) -> PodKills:
    return PodKills(spec(memory_limit=64 * MIB), watch, {each.identity: each for each in containers})


def test_counter_and_kubelet_tell_of_the_same_kill(watch: PodWatch, cgroups: tuple[Path, Path]) -> None:
    _, own = cgroups
    container = Container("aa", container_cgroup(own), None, NoLog())  # type: ignore[arg-type] # stands in
    kills = kills_of(watch, container)
    assert kills.read().kills == 0
    write_cgroup(own, usage=1 * MIB, peak=64 * MIB, limit=64 * MIB, failcnt=5, kills=1)
    assert kills.read().kills == 1
    watch.take(status(0, "aa", ended("aa", 137, "OOMKilled")))
    container.ended(watch.terminations["aa"])
    reading = kills.read()
    assert reading.kills == 1
    assert reading.limit_hits == 5
    assert reading.evidence["container_id"] == "aa"


def test_a_child_and_then_the_main_process_are_two(watch: PodWatch, cgroups: tuple[Path, Path]) -> None:
    _, own = cgroups
    container = Container("aa", container_cgroup(own), None, NoLog())  # type: ignore[arg-type] # stands in
    write_cgroup(own, usage=1 * MIB, peak=64 * MIB, limit=64 * MIB, failcnt=5, kills=2)
    watch.take(status(0, "aa", ended("aa", 137, "OOMKilled")))
    container.ended(watch.terminations["aa"])
    assert kills_of(watch, container).read().kills == 2


def test_kills_of_containers_that_were_never_seen_count_by_the_kubelet(watch: PodWatch) -> None:
    watch.take(status(1, "bb", RUNNING, ended("aa", 137, "OOMKilled")))
    hidden = Container("bb", None, None, NoLog())  # type: ignore[arg-type] # stands in
    reading = kills_of(watch, hidden).read()
    assert reading.kills == 1
    assert reading.limit_hits is None
    assert reading.usage_bytes is None
    watch.take(status(1, "bb", ended("bb", 3, "OOMKilled"), ended("aa", 137, "OOMKilled")))
    hidden.ended(watch.terminations["bb"])
    assert kills_of(watch, hidden).read().kills == 1


def test_a_kill_that_the_container_outlives_is_told_at_the_second_look(cgroups: tuple[Path, Path]) -> None:
    _, own = cgroups
    container = Container("aa", container_cgroup(own), None, NoLog())  # type: ignore[arg-type] # stands in
    container.pid = 1
    assert not container.outlived_a_kill()
    write_cgroup(own, usage=1 * MIB, peak=64 * MIB, limit=64 * MIB, failcnt=5, kills=1)
    assert [container.outlived_a_kill() for _ in range(4)] == [False, True, False, False]


# -- ending ------------------------------------------------------------------------------------------------------------

BEFORE = Counters(MIB, 2 * MIB, 0, 0, 64 * MIB)
KILLED = Witness((BEFORE, Counters(64 * MIB, 64 * MIB, 1, 30, 64 * MIB)))
OOM = Termination("aa", 137, "OOMKilled", "", None, None, 0)


def judge(termination: Termination | None, witness: Witness, **more: Any) -> Any:
    return pod_ending.judge(termination, witness, t_ns=5, t_monotonic_ns=5, **more)


def test_a_kill_with_counters_is_one_by_its_limit() -> None:
    ending = judge(OOM, KILLED)
    assert (ending.kind, ending.exit_code, ending.t_ns) == ("oom_limit", 137, 5)
    assert ending.evidence["kubelet"]["reason"] == "OOMKilled"
    assert "max_rss_bytes" not in ending.evidence, "nobody measured it"


def test_the_kubelets_word_alone_says_so() -> None:
    ending = judge(OOM, Witness())
    assert ending.kind == "oom_limit"
    assert "says the kubelet" in ending.sentence


@pytest.mark.parametrize(
    ("termination", "more", "kind", "says"),
    [
        (Termination("aa", 3, "OOMKilled", "", None, None, 0), {}, "crash", "by itself with exit code 3"),
        (Termination("aa", 137, "Error", "", None, None, 0), {}, "crash", "not for memory"),
        (Termination("aa", 139, "Error", "", None, None, 0), {}, "crash", "segmentation fault"),
        (Termination("aa", 0, "Completed", "", None, None, 0), {}, "clean", "exit code 0"),
        (Termination("aa", 0, "Completed", "", None, None, 0), {"sent": (15,)}, "our_signal", "SIGTERM"),
        (OOM, {"sent": (15,), "waited": True}, "our_signal", "while the kubelet waited to start it again"),
        (None, {}, "crash", "deleted by somebody"),
        (None, {"sent": (15,)}, "our_signal", "SIGTERM"),
        (None, {"pod_reason": "Evicted", "pod_message": "The node was low on resource: memory."}, "oom_node", "evicted"),
        (None, {"pod_reason": "Evicted", "pod_message": "The node was low on resource: ephemeral-storage."}, "crash", "evicted"),
    ],
)  # fmt: skip
def test_other_endings(termination: Termination | None, more: dict[str, Any], kind: str, says: str) -> None:
    ending = judge(termination, Witness(), **more)
    assert ending.kind == kind, ending
    assert says in ending.sentence


# -- the kubelet's figures ---------------------------------------------------------------------------------------------

SUMMARY = {
    "pods": [
        {"podRef": {"namespace": "other", "name": "subject-0"}, "containers": [{"name": "subject"}]},
        {
            "podRef": {"namespace": "ns", "name": "subject-0"},
            "containers": [
                {
                    "name": "subject",
                    "cpu": {"time": "2026-11-22T03:37:42Z", "usageCoreNanoSeconds": 858440493},
                    "memory": {"time": "2026-11-22T03:37:42Z", "workingSetBytes": 47390720, "usageBytes": 47394816},
                }
            ],
        },
    ]
}


def test_a_kubelets_summary() -> None:
    found = pod_stats.parse(SUMMARY, "ns", "subject-0")
    assert found is not None
    assert (found.working_set_bytes, found.usage_bytes, found.rss_bytes) == (47390720, 47394816, None)
    assert found.cpu_s == pytest.approx(0.858440493)
    assert pod_stats.parse(SUMMARY, "ns", "subject-1") is None
    assert pod_stats.parse(SUMMARY, "other", "subject-0") is None, "not looked at yet"
