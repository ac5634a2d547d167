"""SPEC: what one arm of a comparison measures, from the command line's word for it to the options of its runs.

`scenario` as it stands · `fleet:KEY=VALUE,…` and `options:KEY=VALUE,…` options of the reference controller ·
`set:KEY=VALUE,…` parameters · `command:PROGRAM ARGUMENTS…` · `git:REVISION` a commit, built with `--build` ·
`image:REFERENCE` an image, which runs in a pod.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field, replace

from harness.core.errors import UsageError
from harness.record.models import ExperimentArm
from harness.scenario.controllers import known as controllers
from harness.scenario.file import OPTION_PREFIX, ScenarioFile
from harness.scenario.resolve import resolve
from harness.subject.redact import redact, redact_document, redact_text

_FORMS = "scenario, options:KEY=VALUE, set:KEY=VALUE, command:'PROGRAM ARGUMENTS', git:REVISION, or image:REFERENCE"
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}")
"""Of an image, wide enough for tags, digests and registries with a port; Docker has the last word."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One side of a comparison, ready to be run. `facts` is what records say of it."""

    facts: ExperimentArm
    sets: dict[str, str] = field(default_factory=dict)
    """Values over the scenario's, as `--set` takes them."""
    subject: str | None = None
    """A command in place of the scenario's; of an image a command in it."""
    image: str | None = None
    """An image in place of the scenario's subject."""
    env: dict[str, str] = field(default_factory=dict)
    """Environment variables added to the subject's."""
    revision: str | None = None
    """Of a git arm that is not checked out yet: what was asked for."""


def is_spec(text: str) -> bool:
    """Whether a text has the form of a SPEC, right or wrong; names of runs and experiments have not."""
    form, colon, _ = text.partition(":")
    if "=" in text or " " in text:
        return True
    return text == "scenario" or (bool(colon) and form in ("command", "git", "image", "set", "options", *controllers()))


def parse(spec: str, file: ScenarioFile, *, side: str, build: str | None, subject: str | None) -> Arm:
    """The arm that a SPEC means, for this scenario. Raises UsageError; `side` is the option that it came from.

    `build` is the command that builds a git revision; `subject` the one that runs what was built, or runs in an image.
    """
    place = f"--{side} {redact_text(spec)}"
    form, colon, rest = spec.partition(":")
    if spec == "scenario":
        return Arm(_facts(spec, "scenario", "the scenario as it is"))
    if not colon or not rest.strip():
        raise UsageError("not a subject", place=place, remedy=f"write {_FORMS}")
    if form == "command":
        return _command(rest, place)
    if form == "git":
        return _git(spec, rest, build, subject, place)
    if form == "image":
        return _image(rest, subject, place)
    if form == "set":
        return _options(spec, dict(_pairs(rest, place)), "with", place)
    if form == "options" or form in controllers():
        return _of_controller(spec, form, rest, file, place)
    raise UsageError(f"unknown kind of subject {form!r}", place=place, remedy=f"write {_FORMS}")


def checked(arm: Arm, file: ScenarioFile, *, profile: str | None, sets: dict[str, str], side: str) -> Arm:
    """The arm with the values common to both below its own. Raises UsageError or ScenarioError where they do not fit."""
    merged = replace(arm, sets={**sets, **arm.sets})
    try:
        resolve(file, profile=profile, sets=merged.sets)
    except UsageError as error:
        if not (error.place or "").startswith("--set "):
            raise
        raise UsageError(error.cause, place=f"--{side} {arm.facts.spec}", remedy=error.remedy) from None
    return merged


def _command(command: str, place: str) -> Arm:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"not a command line: {error}", place=place, remedy="look at its quotes") from error
    if not words:
        raise UsageError("the command is empty", place=place, remedy="write command:'PROGRAM ARGUMENTS'")
    shown = shlex.join(redact(words))
    return Arm(_facts(f"command:{shown}", "command", shown, command=shown), subject=command)


def _git(spec: str, revision: str, build: str | None, subject: str | None, place: str) -> Arm:
    if revision.startswith("-"):
        raise UsageError(f"{revision!r} is no revision", place=place, remedy="write git:BRANCH, git:TAG or git:COMMIT")
    facts = _facts(spec, "git", f"git {revision}", build=redact_text(build) if build else None)
    return Arm(facts, subject=subject, revision=revision)


def _image(reference: str, subject: str | None, place: str) -> Arm:
    if not _REFERENCE.fullmatch(reference):
        raise UsageError(f"{reference!r} is no image", place=place, remedy="write image:NAME:TAG or image:NAME@DIGEST")
    facts = _facts(f"image:{reference}", "image", f"image {reference}", command=subject and redact_text(subject))
    return Arm(facts.model_copy(update={"image": reference}), subject=subject, image=reference)


def _of_controller(spec: str, form: str, rest: str, file: ScenarioFile, place: str) -> Arm:
    subject = file.document.data.get("subject")
    controller = subject.get("controller") if isinstance(subject, dict) else None
    if controller is None:
        raise UsageError(
            f"the subject of {file.name} is a command, which has no options here", place=place, remedy="write command:…"
        )
    if form not in ("options", controller):
        raise UsageError(
            f"the subject of {file.name} is {controller}, not {form}", place=place, remedy=f"write {controller}:…"
        )
    pairs = {OPTION_PREFIX + key.removeprefix(OPTION_PREFIX): value for key, value in _pairs(rest, place)}
    return _options(spec, pairs, str(controller), place)


def _options(spec: str, sets: dict[str, str], who: str, place: str) -> Arm:
    if "seed" in sets:
        raise UsageError("both runs of a pair have the same seed", place=place, remedy="leave seed out")
    words = ", ".join(f"{key.removeprefix(OPTION_PREFIX)}={value}" for key, value in sets.items())
    return Arm(_facts(spec, "options", f"{who} {words}", sets=sets), sets=sets)


def _pairs(text: str, place: str) -> list[tuple[str, str]]:
    """KEY=VALUE separated by commas; a comma inside brackets belongs to its value, as in `size=[2KB, 5KB]`."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[{") - (character in "]}")
        if character == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
    pairs: list[tuple[str, str]] = []
    for part in parts:
        key, equals, value = part.strip().partition("=")
        if not key or not equals:
            raise UsageError(f"{part.strip()!r} is not KEY=VALUE", place=place, remedy="write options:workers=50")
        if any(key == known for known, _ in pairs):
            raise UsageError(f"{key} stands twice", place=place, remedy="remove one")
        pairs.append((key, value))
    return pairs


def _facts(
    spec: str, kind: str, words: str, *, sets: dict[str, str] | None = None, command: str | None = None,
    build: str | None = None,
) -> ExperimentArm:  # fmt: skip
    return ExperimentArm.model_validate(
        {
            "spec": redact_text(spec),
            "kind": kind,
            "words": redact_text(words),
            "sets": redact_document(sets or {}),
            "command": command,
            "build": build,
        }
    )
