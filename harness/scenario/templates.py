"""The templates of a load: read and rendered when the scenario is, by the code that renders them in the load generator."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any

from harness.core import kinds
from harness.core.errors import ScenarioError
from harness.core.ids import namespace_of
from harness.core.kinds import Kind
from harness.scenario.document import Path, Plain
from harness.scenario.placeholders import names_in
from loadgen.builders import seeded, template_variables
from loadgen.templates import ObjectTemplate, TemplateFault, encode, wrong_namespace

MAX_TEMPLATE_BYTES = 256 * 1024
EXAMPLE_RUN = "20260101-000000-check"
"""Stands for the run id while a scenario is read."""

_WORD = re.compile(r"[A-Za-z][\w.-]*")


class Unreadable(Exception):
    """A template file cannot be read. The text is the cause."""


def text_of(path: FilePath) -> str:
    """The text of a template file. Raises Unreadable."""
    try:
        content = path.read_bytes() if path.is_file() else None
    except OSError as error:
        raise Unreadable(f"cannot be read: {(error.strerror or str(error)).lower()}") from None
    if content is None:
        raise Unreadable("there is no such file")
    if len(content) > MAX_TEMPLATE_BYTES:
        raise Unreadable(f"is larger than {MAX_TEMPLATE_BYTES // 1024} KiB")
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise Unreadable("is not UTF-8 text") from None


def check(display: str, text: str, params: Mapping[str, object], seed: int, index: int) -> Kind:
    """The kind of the object that a template gives for `index`. Raises ScenarioError with file:line.

    Which kinds there are is asked of `core.kinds`: call it while the scenario's own are known.
    """
    namespace = namespace_of(EXAMPLE_RUN)
    try:
        template = ObjectTemplate(display, text)
        variables = template_variables(EXAMPLE_RUN, namespace, dict(params))
        item = template.render(index, variables, seeded(seed, "check", index))
        encode(item, display)
    except TemplateFault as fault:
        raise ScenarioError(fault.cause, place=fault.place) from None
    group, _, version = str(item["apiVersion"]).rpartition("/")
    name = f"{item['kind']}.{group}" if group else str(item["kind"])
    try:
        kind = kinds.find(name)
        if kind.full_name != name:
            raise ValueError(f"unknown kind {name!r}; {kind.full_name} is of {kind.api_version}")
    except ValueError as error:
        remedy = "setup.apply must name its CRD" if group else None
        raise ScenarioError(str(error), place=f"{display}:{_line(text, 'kind')}", remedy=remedy) from None
    if version != kind.version:
        cause = f"{name} is known as {kind.api_version}, not as {item['apiVersion']}"
        raise ScenarioError(cause, place=f"{display}:{_line(text, 'apiVersion')}", remedy=f"write {kind.api_version}")
    if wrong := wrong_namespace(item, namespace=namespace if kind.namespaced else None):
        raise ScenarioError(wrong, place=f"{display}:{_line(text, ' +namespace')}")
    return kind


def rendered_bytes(text: str, params: Mapping[str, object], seed: int) -> int:
    """Bytes of the first object of a template that `check` has accepted, as JSON."""
    variables = template_variables(EXAMPLE_RUN, namespace_of(EXAMPLE_RUN), dict(params))
    return len(encode(ObjectTemplate("template", text).render(0, variables, seeded(seed, "check", 0)), "template"))


def words(load: object, base: FilePath) -> frozenset[str] | None:
    """Every word of the templates of a load that is not filled in yet; None where they cannot be told beforehand."""
    found: set[str] = set()
    for _, create in _creates(load):
        path = create.get("template")
        if not isinstance(path, str):
            continue
        if any(names_in(path)):
            return None
        try:
            found.update(_WORD.findall(text_of(base / path)))
        except Unreadable:
            return None  # which is what will be reported
    return frozenset(found | {part for word in found for part in word.split(".")})


def template_steps(load: Plain) -> list[tuple[Path, dict[str, Plain]]]:
    """The create steps of a filled load that have a template, with their places; parallel ones too."""
    return [(at, create) for at, create in _creates(load) if isinstance(create.get("template"), str)]


def _creates(load: object, at: Path = ("load",)) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The create steps of a load that is not validated yet."""
    for place, step in enumerate(load if isinstance(load, list) else []):
        if not isinstance(step, dict):
            continue
        if isinstance(create := step.get("create"), dict):
            yield (*at, place), create
        if "parallel" in step and at == ("load",):
            yield from _creates(step["parallel"], (*at, place, "parallel"))


def _line(text: str, key: str) -> int:
    found = re.search(rf"^{key}:", text, re.MULTILINE)
    return text.count("\n", 0, found.start()) + 1 if found else 1
