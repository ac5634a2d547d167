"""Images as subjects of a gate: where they can run, beside what, and which image a name means. Docker is faked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.cluster.choice import ClusterChoice
from harness.core.errors import EnvironmentFault, UsageError
from harness.experiment import images, specs
from harness.experiment.options import RunOptions
from harness.experiment.pairs import options_of
from harness.record.gate import ArmName
from harness.scenario.load import load
from harness.scenario.resolve import resolve

FLIP = load("label-flip")
ID = "sha256:" + "0123456789ab" * 5


def arms(baseline: str, candidate: str) -> dict[ArmName, specs.Arm]:
    return {
        "baseline": specs.parse(baseline, FLIP, side="baseline", build=None, subject="manager --token=abc"),
        "candidate": specs.parse(candidate, FLIP, side="candidate", build=None, subject="manager --token=abc"),
    }


def check(found: dict[ArmName, specs.Arm], provider: str, subject_as: str | None = None) -> None:
    scenario = resolve(FLIP)
    options = RunOptions(out=FLIP.path, cluster=ClusterChoice(provider), subject_as=subject_as)
    images.check(found, options, {"baseline": scenario, "candidate": scenario})


def test_an_image_and_its_command_stand_in_place_of_the_scenarios_subject() -> None:
    arm = arms("scenario", "image:registry:5000/team/manager:v2")["candidate"]
    options = options_of(arm, RunOptions(out=FLIP.path))
    assert (options.subject_image, options.subject) == ("registry:5000/team/manager:v2", "manager --token=abc")
    assert (arm.facts.kind, arm.facts.image) == ("image", "registry:5000/team/manager:v2")
    assert "abc" not in arm.facts.model_dump_json()


def test_images_run_where_pods_do() -> None:
    check(arms("image:m:1", "image:m:2"), "kind")
    check(arms("image:m:1", "image:m:2"), "kubeconfig")
    check(arms("scenario", "image:m:2"), "kind")  # our controllers have an image of ours there
    with pytest.raises(
        UsageError, match="--baseline image:m:1: an image runs in a pod, and --cluster embedded runs none"
    ):
        check(arms("image:m:1", "scenario"), "embedded")


@pytest.mark.parametrize(("provider", "baseline"), [("kind", "command:sh -c x"), ("kubeconfig", "scenario")])
def test_a_pod_and_a_process_are_not_compared(provider: str, baseline: str) -> None:
    with pytest.raises(
        UsageError, match=r"--baseline .*: it is a process of this machine, and the other one runs in a pod"
    ):
        check(arms(baseline, "image:m:2"), provider)


def test_arms_without_images_are_nobodys_business_here() -> None:
    check(arms("command:sh -c x", "scenario"), "kind")


def test_revisions_are_processes_here_on_every_cluster() -> None:
    """In a pod both would run the image of the present tree, whatever was checked out."""
    found = arms("git:main", "git:HEAD")
    for arm in found.values():
        revision = replace(arm, subject=None)
        assert options_of(revision, RunOptions(out=FLIP.path, cluster=ClusterChoice("kind"))).subject_as == "process"
    check(found, "kind")
    plain = {name: replace(arm, subject=None) for name, arm in found.items()}
    check(plain, "kind")
    check({**plain, "candidate": arms("scenario", "scenario")["candidate"]}, "embedded")
    with pytest.raises(UsageError, match="it is a process of this machine, and the other one runs in a pod"):
        check({**plain, "candidate": arms("scenario", "scenario")["candidate"]}, "kind")


def test_the_id_of_a_local_image_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async def known(references: list[str]) -> list[str]:
        return [ID for _ in references]

    monkeypatch.setattr(images, "image_ids", known)
    told: list[str] = []
    arm = images.identified(arms("scenario", "image:m:2")["candidate"], told.append)
    assert (arm.facts.image_id, arm.facts.words, told) == (ID, f"image m:2 ({ID[:19]})", ["looking at m:2"])
    plain = arms("scenario", "scenario")["baseline"]
    assert images.identified(plain, told.append) is plain


@pytest.mark.parametrize("answer", [None, EnvironmentFault("docker is not on PATH")])
def test_an_image_that_only_the_nodes_can_have(answer: Exception | None, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(_: list[str]) -> None:
        if answer is not None:
            raise answer

    monkeypatch.setattr(images, "image_ids", unknown)
    arm = images.identified(arms("scenario", "image:m:2")["candidate"], lambda _: None)
    assert (arm.facts.image_id, arm.facts.words) == (None, "image m:2")
