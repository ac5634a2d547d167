"""`{name}` in a scenario: the value of a parameter.

A text that is one placeholder and nothing else takes the parameter's value with its type; inside other text the value is
written out. What only exists once a run has begun (`{kubeconfig}`, `{port:metrics}`) is left to the subject.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from harness.scenario.document import Path, Plain
from harness.scenario.hints import shown, suggest
from harness.scenario.problems import Problem

OF_THE_RUN = ("kubeconfig", "namespace", "run_id")
"""Placeholders of the subject that the run fills in, beside `{port:NAME}`; no parameter may be called so."""

CAUSE = "cause"
"""Placeholder of a probe's labels: the name of the object that caused the effect."""

# `{{name}}` (templates) and `${NAME}` (shells) are left as they are, and so is every other use of braces (JSON).
_PLACEHOLDER = re.compile(r"\{\{\w+\}\}|\$\{\w+\}|\{([A-Za-z_][\w.-]*(?::[\w.-]+)?)\}")


@dataclass(slots=True)
class Filled:
    """A piece of a scenario with its parameters filled in."""

    data: Plain
    used: dict[Path, tuple[str, ...]] = field(default_factory=dict)
    """Which parameters went into the text at a path."""
    problems: list[Problem] = field(default_factory=list)


def fill(data: Plain, params: Mapping[str, Plain]) -> Filled:
    """Fill the parameters into every text of `data`, a scenario's body."""
    filled = Filled(None)
    filled.data = _fill(data, params, (), filled)
    return filled


def names_in(data: Plain) -> Iterator[str]:
    """Every placeholder's name in `data`, as often as it stands there."""
    if isinstance(data, str):
        yield from filter(None, _PLACEHOLDER.findall(data))
    elif isinstance(data, list):
        for item in data:
            yield from names_in(item)
    elif isinstance(data, dict):
        for item in data.values():
            yield from names_in(item)


def _fill(data: Plain, params: Mapping[str, Plain], path: Path, filled: Filled) -> Plain:
    if isinstance(data, dict):
        return {key: _fill(item, params, (*path, key), filled) for key, item in data.items()}
    if isinstance(data, list):
        return [_fill(item, params, (*path, index), filled) for index, item in enumerate(data)]
    return _text(data, params, path, filled) if isinstance(data, str) else data


def _text(text: str, params: Mapping[str, Plain], path: Path, filled: Filled) -> Plain:
    in_subject = path[:1] == ("subject",)
    in_probe_label = path[:1] == ("load",) and path[2:3] == ("probes",) and path[-2:-1] == ("label",)
    names = [
        name
        for name in names_in(text)
        if not (in_subject and _of_the_run(name)) and not (in_probe_label and name == CAUSE)
    ]
    if not names:
        return text
    for name in names:
        if name not in params:
            filled.problems.append(_unknown(name, params, path, in_subject=in_subject))
            return text
    filled.used[path] = tuple(names)
    if text == f"{{{names[0]}}}":
        return params[names[0]]
    for name in names:
        if (value := params[name]) is None or isinstance(value, list):
            cause = f"{{{name}}} is {shown(value)}, which cannot stand inside other text"
            filled.problems.append(Problem(path, cause, "let it stand alone, or give it a plain value"))
            return text
    return _PLACEHOLDER.sub(lambda match: written(params[match[1]]) if match[1] in names else match[0], text)


def written(value: object) -> str:
    """A plain value as it stands inside other text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _of_the_run(name: str) -> bool:
    """Whether a placeholder is the subject's to fill; of `{image:tag}` and the like it leaves the braces standing."""
    return name in OF_THE_RUN or ":" in name


def _unknown(name: str, params: Mapping[str, Plain], path: Path, *, in_subject: bool) -> Problem:
    if name == CAUSE:
        return Problem(path, f"placeholder {{{CAUSE}}} is of a probe's label only", "see docs/scenarios.md")
    if _of_the_run(name):
        return Problem(path, f"placeholder {{{name}}} is of the subject only", "see docs/scenarios.md")
    known = [f"{{{key}}}" for key in (*params, *(OF_THE_RUN if in_subject else ()))]
    return Problem(path, f"unknown placeholder {{{name}}}", suggest(f"{{{name}}}", known, title="placeholders"))
