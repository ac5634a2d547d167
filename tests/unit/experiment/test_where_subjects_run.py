"""Which subjects run in a pod, and what is refused before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.cluster.choice import ClusterChoice
from harness.core.errors import HarnessError
from harness.experiment import preflight
from harness.experiment.options import RunOptions
from harness.experiment.subjects import build
from harness.scenario.load import load
from harness.scenario.model import Subject
from harness.scenario.resolve import resolve

FLEET = Subject(controller="fleet")
NATIVE = Subject.model_validate({"controller": "native-go"})
COMMAND = Subject(command=["./manager"])
IMAGE = Subject(image="own/manager:1", args=["--kubeconfig", "{kubeconfig}"], metrics="http://127.0.0.1:8080/metrics")


def options(provider: str, **changes: Any) -> RunOptions:
    return RunOptions(out=Path("unused"), cluster=ClusterChoice(provider), **changes)


@pytest.mark.parametrize(
    ("subject", "provider", "changes", "pod"),
    [
        (FLEET, "embedded", {}, False),
        (FLEET, "kind", {}, True),
        (FLEET, "kind", {"subject_as": "process"}, False),
        (FLEET, "kind", {"subject": "./manager"}, False),
        (NATIVE, "kind", {}, False),
        (FLEET, "kubeconfig", {}, False),
        (FLEET, "kubeconfig", {"subject_image": "own/manager:2"}, True),
        (COMMAND, "kind", {}, False),
        (COMMAND, "kind", {"subject_image": "own/manager:2"}, True),
        (IMAGE, "kind", {}, True),
        (IMAGE, "kubeconfig", {}, True),
    ],
)
def test_images_run_in_pods_and_commands_here(
    subject: Subject, provider: str, changes: dict[str, Any], *, pod: bool
) -> None:
    chosen = options(provider, **changes)
    assert build(subject, chosen.subject, image=chosen.subject_image).in_pod(chosen) is pod


def test_only_go_has_pprof() -> None:
    rust = build(Subject.model_validate({"controller": "native-rust", "options": {"store": True}}), None)
    assert (build(NATIVE, None).pprof is None, rust.pprof) == (False, None)
    assert Path(rust.command[0]).name == "native-rust"
    assert rust.command[-1] == "--store=true"


def test_an_image_replaces_the_subject_and_a_command_is_then_one_in_it() -> None:
    own = build(IMAGE, None)
    assert (own.command, list(own.args)) == ([], ["--kubeconfig", "{kubeconfig}"])
    replaced = build(FLEET, "/manager --now", image="own/manager:2")
    assert (replaced.image, replaced.command, replaced.controller) == ("own/manager:2", ["/manager", "--now"], None)
    assert replaced.role == "cluster-admin"
    assert build(COMMAND, None, image="own/manager:2").command == [], "its command is one of this machine"
    assert build(IMAGE, None, image="own/manager:2").metrics == IMAGE.metrics


def scenario(tmp_path: Path, subject: str) -> Any:
    path = tmp_path / "own.yaml"
    path.write_text(
        f"name: own\nsummary: A subject.\nsubject: {subject}\nload:\n  - create: {{kind: Secret, count: 1}}\n"
    )
    return resolve(load(str(path)))


@pytest.mark.parametrize(
    ("subject", "chosen", "says"),
    [
        ("{image: own/manager:1}", options("embedded"), "is an image, which runs in a pod only; use --cluster kind"),
        (
            "{controller: fleet}",
            options("embedded", subject_as="pod"),
            "cannot run in a pod: --cluster embedded runs no",
        ),
        ("{controller: fleet}", options("embedded", subject_as="box"), "--subject-as 'box' is unknown"),
        ("{controller: fleet, restart_policy: Always}", options("embedded"), "this subject is no pod"),
        ("{image: own/manager:1, args: ['{kubeconf}']}", options("kubeconfig"), "did you mean '{kubeconfig}'"),
    ],
)
def test_what_cannot_be_is_one_line(
    tmp_path: Path, subject: str, chosen: RunOptions, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.cluster.provider.check", lambda _: None)  # asks Docker, or a cluster
    with pytest.raises(HarnessError, match=says) as caught:
        preflight.check([scenario(tmp_path, subject)], chosen, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_container_that_is_started_again_has_no_capture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.cluster.provider.check", lambda _: None)  # asks Docker
    chosen = options("kind", memray="launch")
    with pytest.raises(HarnessError, match="would overwrite the capture of memray"):
        preflight.check([scenario(tmp_path, "{controller: fleet, restart_policy: Always}")], chosen, tmp_path)


def test_replicas_are_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.cluster.provider.check", lambda _: None)  # asks Docker
    two = scenario(tmp_path, "{controller: fleet, replicas: 2}")
    with pytest.raises(HarnessError, match="are measured of processes only, not of pods"):
        preflight.check([two], options("kind", subject_as="pod"), tmp_path)
    assert not build(two.subject, None).in_pod(options("kind"))
    preflight.check([two], RunOptions(out=tmp_path, cluster=ClusterChoice("kind")), tmp_path)
