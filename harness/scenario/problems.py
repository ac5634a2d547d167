"""From what pydantic found to one sentence for a person, at the path in the file that it is about."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from harness.scenario.document import Path
from harness.scenario.hints import shown, suggest
from harness.scenario.steps import LIFTED, no_such_step


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at `path`; `at_key` where the key itself is meant, not its value."""

    path: Path
    cause: str
    remedy: str | None = None
    at_key: bool = False


_SENTENCES: dict[str, Callable[[dict[str, Any], object], str]] = {
    "model_type": lambda _, got: f"expected a mapping of keys, got {shown(got)}",
    "dict_type": lambda _, got: f"expected a mapping of keys, got {shown(got)}",
    "list_type": lambda _, got: f"expected a list, got {shown(got)}",
    "string_type": lambda _, got: f"expected text, got {shown(got)}",
    "string_too_short": lambda _, got: f"expected some text, got {shown(got)}",
    "string_too_long": lambda ctx, _: f"longer than {ctx['max_length']} characters",
    "int_type": lambda _, got: f"expected a whole number, got {shown(got)}",
    "greater_than_equal": lambda ctx, got: f"{shown(got)} is below {ctx['ge']}",
    "less_than_equal": lambda ctx, got: f"{shown(got)} is above {ctx['le']}, the most that is accepted",
    "less_than": lambda ctx, got: f"{shown(got)} is not below {ctx['lt']}",
    "too_short": lambda ctx, _: f"needs at least {ctx['min_length']} entry",
    "too_long": lambda ctx, _: f"more than {ctx['max_length']} entries",
    "union_tag_not_found": lambda _, got: no_such_step(got),
    "value_error": lambda ctx, _: str(ctx["error"]),
}


def from_pydantic(error: ValidationError) -> list[Problem]:
    """Every finding of pydantic, in its order."""
    return [_problem(found) for found in error.errors(include_url=False)]  # type: ignore[arg-type]  # a TypedDict is a dict


def _problem(found: dict[str, Any]) -> Problem:
    kind, context, got = found["type"], found.get("ctx", {}), found["input"]
    path = _path(found["loc"])
    if kind == "missing":
        return Problem(path[:-1], f"key {path[-1]!r} is missing", "docs/scenarios.md describes it")
    if kind == "fault":
        key = context.get("key")
        at_key = context.get("at") == "key" or found["loc"][-1:] == ("[key]",)
        return Problem(path if key is None else (*path, key), context["message"], at_key=at_key)
    if kind == "literal_error":
        choices = [choice.strip("'") for choice in context["expected"].replace(" or ", ", ").split(", ")]
        return Problem(path, f"unknown value {shown(got)}", suggest(str(got), choices, title="write one of"))
    sentence = _SENTENCES.get(kind)
    return Problem(path, sentence(context, got) if sentence else found["msg"])


def _path(loc: Iterable[str | int]) -> Path:
    """The path in the file: union tags are written `<action>` and stand for the action's key, except for what is beside it.

    The tag `<>` stands for nothing: that of a mapping which may also be a word.
    """
    path: list[str | int] = []
    for part in loc:
        if part in ("[key]", "<>"):
            continue
        if (path[-1:], part) in ((["pause"], "seconds"), (["parallel"], "steps")):
            continue  # they stand directly at the action's key
        if part == "probes" and path and path[-1] in LIFTED:
            path[-1] = part
        elif isinstance(part, str) and part.startswith("<"):
            path.append(part.strip("<>"))
        else:
            path.append(part)
    return tuple(path)
