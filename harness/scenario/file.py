"""A scenario file as it was read: what it declares (parameters, profiles, arms) and a body with its placeholders still in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Annotated, Any

from pydantic import Field, ValidationError

from harness.core.errors import ScenarioError
from harness.scenario.document import Document, Path
from harness.scenario.fields import Model, Param, ParamName, ParamValue, Slug, Text
from harness.scenario.hints import suggest
from harness.scenario.placeholders import CAUSE, OF_THE_RUN, names_in
from harness.scenario.problems import Problem, from_pydantic
from harness.scenario.templates import words

BODY = (
    "apiserver",
    "etcd_quota",
    "setup",
    "subject",
    "agents",
    "engaged",
    "load",
    "collect",
    "expect",
    "gate",
    "memray",
    "pyroscope",
    "profile",
)
"""Keys in which placeholders are filled."""

TOP_LEVEL = ("seed", "memray", "pyroscope", "profile", "etcd_quota")
"""Keys that profiles, arms and --set may set beside the parameters."""

OPTION_PREFIX = "options."
"""What may be set beside these: an option of the reference controller."""

Values = dict[ParamName, Param]


class Arm(Model):
    """A variant of the scenario: a run of its own."""

    set: Values = Field(default={}, description="parameters, top-level keys and options of this arm")
    expect: list[Any] | None = Field(default=None, description="replaces the scenario's expectations")
    engaged: list[Any] | None = Field(default=None, description="replaces the scenario's signs of engagement")


class Head(Model):
    """What a file declares. Its body is checked once placeholders are filled."""

    name: Slug
    summary: Text
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    params: Values = Field(default={})
    profiles: dict[Slug, Values] = Field(default={}, max_length=20)
    arms: dict[Slug, Arm] = Field(default={}, max_length=20)
    apiserver: Any = None
    etcd_quota: Any = None
    setup: Any = None
    subject: Any = None
    agents: Any = None
    engaged: Any = None
    load: Any = None
    collect: Any = None
    expect: Any = None
    gate: Any = None
    memray: Any = None
    pyroscope: Any = None
    profile: Any = None


@dataclass(frozen=True, slots=True)
class ScenarioFile:
    """A valid scenario file: every profile and arm of it resolves."""

    path: FilePath
    sha256: str
    """Of the file's bytes, in hexadecimal."""
    document: Document
    head: Head

    @property
    def name(self) -> str:
        """Name of the scenario."""
        return self.head.name

    @property
    def summary(self) -> str:
        """One sentence about it."""
        return self.head.summary

    @property
    def params(self) -> Mapping[str, ParamValue]:
        """Parameters with their defaults."""
        return self.head.params

    @property
    def profiles(self) -> list[str]:
        """Names of the profiles, in the file's order."""
        return list(self.head.profiles)

    @property
    def arms(self) -> list[str]:
        """Names of the arms, in the file's order; none for a scenario of one run."""
        return list(self.head.arms)


def declare(document: Document, base: FilePath) -> Head:
    """Read the declarations; `base` is the directory that paths in the file are relative to.

    Raises ScenarioError for the first thing wrong with them.
    """
    try:
        head = Head.model_validate(document.data)
    except ValidationError as error:
        raise first_of(document, from_pydantic(error)) from None
    if problems := [*_parameters(head, document, base), *_settings(head)]:
        raise first_of(document, problems)
    return head


def unknown_setting(key: str, head: Head) -> tuple[str, str] | None:
    """Cause and remedy where `key` is nothing that can be set; None where it can."""
    if key in head.params or key in TOP_LEVEL or (key.startswith(OPTION_PREFIX) and len(key) > len(OPTION_PREFIX)):
        return None
    hint = suggest(key, [*head.params, *TOP_LEVEL], title="parameters")
    return f"unknown parameter {key!r}", f"{hint} (an option of the controller is set as {OPTION_PREFIX}NAME)"


def first_of(document: Document, problems: list[Problem]) -> ScenarioError:
    """The error about the problem that stands first in the file."""
    problem = min(problems, key=lambda each: document.position(each.path, key=each.at_key))
    place = document.place(problem.path, key=problem.at_key)
    return ScenarioError(problem.cause, place=place, remedy=problem.remedy)


def _parameters(head: Head, document: Document, base: FilePath) -> Iterator[Problem]:
    in_templates = words(head.load, base)
    used = set(names_in([document.data.get(key) for key in (*BODY, "arms")]))
    # A mistyped placeholder leaves its parameter unused: the placeholder is what to report, once values are filled in.
    mistyped = any(":" not in name and name not in (*head.params, *OF_THE_RUN, CAUSE) for name in used)
    for name in head.params:
        path: Path = ("params", name)
        if name in (*OF_THE_RUN, CAUSE):
            yield Problem(path, f"{name} is filled in by the run", "choose another name", at_key=True)
        elif name.startswith(OPTION_PREFIX):
            yield Problem(
                path, f"names that begin with {OPTION_PREFIX} are those of options", "choose another", at_key=True
            )
        elif name not in used and not mistyped and in_templates is not None and name not in in_templates:
            yield Problem(
                path, f"parameter {name!r} is used nowhere", f"write {{{name}}} where it belongs", at_key=True
            )


def _settings(head: Head) -> Iterator[Problem]:
    layers: list[tuple[Path, Values]] = [(("profiles", name), values) for name, values in head.profiles.items()]
    layers += [(("arms", name, "set"), arm.set) for name, arm in head.arms.items()]
    for path, values in layers:
        for key in values:
            if wrong := unknown_setting(key, head):
                yield Problem((*path, key), *wrong, at_key=True)
