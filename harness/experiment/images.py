"""Container images as subjects of a gate: where they can run, and which image a name means now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from harness.cluster.choice import EMBEDDED
from harness.core.errors import EnvironmentFault, UsageError
from harness.experiment.options import RunOptions
from harness.experiment.pairs import options_of
from harness.experiment.specs import Arm
from harness.experiment.subjects import build
from harness.record.gate import ArmName
from harness.scenario.model import Scenario
from harness.toolchain.docker import image_ids

_SHOWN = 19  # of an id: sha256: and twelve digits, as Docker shows it


def check(arms: Mapping[ArmName, Arm], options: RunOptions, scenarios: Mapping[ArmName, Scenario]) -> None:
    """Raises UsageError for an image where no pods run, and for one arm in a pod beside one that is a process.

    A pod is limited, started and watched by a node, a process by this machine: the difference would be that of the two ways.
    """
    for name, arm in arms.items():
        if arm.image is not None and options.cluster.provider == EMBEDDED:
            raise UsageError(
                "an image runs in a pod, and --cluster embedded runs none",
                place=f"--{name} {arm.facts.spec}",
                remedy="use --cluster kind, or --cluster kubeconfig",
            )
    pods = {
        name: build(scenarios[name].subject, arm.subject, image=arm.image).in_pod(options_of(arm, options))
        for name, arm in arms.items()
    }
    if any(arm.image or arm.facts.kind == "git" for arm in arms.values()) and len(set(pods.values())) > 1:
        process = next(name for name, in_pod in pods.items() if not in_pod)
        raise UsageError(
            "it is a process of this machine, and the other one runs in a pod: that alone would be a difference",
            place=f"--{process} {arms[process].facts.spec}",
            remedy="give both as images, or both as git:REVISION",
        )


def identified(arm: Arm, say: Callable[[str], None]) -> Arm:
    """The arm with the id of its image, where this machine's Docker has it; other arms are returned as they are."""
    if arm.image is None:
        return arm
    say(f"looking at {arm.image}")
    try:
        found = asyncio.run(image_ids([arm.image]))
    except EnvironmentFault:
        found = None  # no Docker: the nodes pull it
    if not found:
        return arm
    words = f"{arm.facts.words} ({found[0][:_SHOWN]})"
    return replace(arm, facts=arm.facts.model_copy(update={"image_id": found[0], "words": words}))
