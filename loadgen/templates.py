"""Objects from a user's template: Jinja2 in a sandbox, then YAML, then what the harness insists on.

A template sees `i`, `run_id`, `tail`, `namespace` and `params`, `rand_bytes(n)` seeded by seed, phase and index, and `b64`.
Whatever Jinja2 has that differs from run to run (`random`, `lipsum`) is taken away: one seed makes one load. The harness renders
the first and the last object when it loads a scenario, with this very code; so this is plain Python, without gevent.
"""

from __future__ import annotations

import base64
import json
import random
import re
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import yaml
from jinja2 import TemplateError

from loadgen.depth import DEEPEST, too_deep
from loadgen.sandbox import MOST_RENDERED, Sandbox, rounds

JSONObject = dict[str, Any]

MOST_RANDOM = 2**20
_NO_YAML = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)
"""What PyYAML raises beside its own errors for values that are not what their tag says, and for what is nested too deep."""
_FRAME = "<template>"
_LONGEST_LINE = 80


class TemplateFault(Exception):
    """A template cannot be used, or gives no object. The text is one line; `place` is `file:line`."""

    def __init__(self, place: str, cause: str) -> None:
        self.place = place
        self.cause = " ".join(cause.split())
        super().__init__(f"{place}: {self.cause}")


class _Loader(yaml.CSafeLoader):
    """YAML as the API's own tools read it: what looks like a date stays text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


class ObjectTemplate:
    """One template file, compiled. `name` is what errors call the file. Raises TemplateFault for bad syntax."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self._lines = text.count("\n")
        environment = Sandbox(_no_bytes)
        environment.globals["b64"] = environment.filters["b64"] = b64
        try:
            self._template = environment.from_string(text)
        except TemplateError as error:
            raise TemplateFault(f"{name}:{getattr(error, 'lineno', 1)}", str(error.message)) from None
        except RecursionError:
            raise TemplateFault(f"{name}:1", "its expressions or blocks are nested too deep") from None

    def render(self, index: int, variables: Mapping[str, object], source: random.Random) -> JSONObject:
        """The object that the template gives for one index: a mapping with apiVersion and kind. Raises TemplateFault."""
        try:
            given = {**variables, "i": index, "rand_bytes": _rand_bytes(source), "range": rounds()}
            text = self._template.render(given)
        except Exception as error:  # noqa: BLE001  # whatever an expression in a template may raise
            raise TemplateFault(f"{self.name}:{_line_of(error)}", f"{_words(error)} (i={index})") from None
        if len(text) > MOST_RENDERED:
            raise TemplateFault(f"{self.name}:1", f"renders to {len(text)} characters with i={index}")
        try:
            if too_deep(text):
                raise TemplateFault(f"{self.name}:1", f"renders to YAML that is nested more than {DEEPEST} deep")
            documents = [item for item in yaml.load_all(text, Loader=_Loader) if item is not None]  # a safe loader
        except (yaml.YAMLError, *_NO_YAML) as error:
            raise self._bad_yaml(text, error, index) from None
        if len(documents) != 1 or not isinstance(documents[0], dict):
            got = f"{len(documents)} documents" if len(documents) != 1 else type(documents[0]).__name__
            raise TemplateFault(f"{self.name}:1", f"must render to one object, renders to {got} with i={index}")
        return self._object(documents[0], text)

    def line(self, text: str, pattern: str) -> int:
        """The first line of a rendered text that matches, if lines of the template and of the text are the same ones."""
        found = re.search(pattern, text, re.MULTILINE)
        return text.count("\n", 0, found.start()) + 1 if found and text.count("\n") == self._lines else 1

    def _object(self, item: JSONObject, text: str) -> JSONObject:
        for key in ("apiVersion", "kind"):
            if not isinstance(item.get(key), str) or not item[key]:
                raise TemplateFault(f"{self.name}:{self.line(text, rf'^{key}:')}", f"the object has no {key}")
        if not isinstance(item.get("metadata", {}), dict | None):
            raise TemplateFault(f"{self.name}:{self.line(text, '^metadata:')}", "metadata must be a mapping")
        for key in ("labels", "annotations"):
            values = (item.get("metadata") or {}).get(key) or {}
            if not isinstance(values, dict) or not all(
                isinstance(each, str) for pair in values.items() for each in pair
            ):
                place = f"{self.name}:{self.line(text, rf'^ +{key}:')}"
                raise TemplateFault(place, f"metadata.{key} must map text to text; put numbers and booleans in quotes")
        return item

    def _bad_yaml(self, text: str, error: Exception, index: int) -> TemplateFault:
        mark = getattr(error, "problem_mark", None)
        line = mark.line if mark is not None else 0
        problem = getattr(error, "problem", None) or str(error)
        if text.count("\n") == self._lines:
            return TemplateFault(f"{self.name}:{line + 1}", f"not valid YAML: {problem} (i={index})")
        lines = text.splitlines() or [""]  # YAML may see an end one line further
        shown = lines[min(line, len(lines) - 1)].strip()[:_LONGEST_LINE]
        return TemplateFault(
            f"{self.name}:1", f"not valid YAML: {problem}, in rendered line {line + 1}: {shown!r} (i={index})"
        )


def complete(item: JSONObject, *, name: str, namespace: str | None, labels: Mapping[str, str]) -> JSONObject:
    """The object with what the harness insists on: its name, its namespace, the labels of step and run."""
    metadata = {key: value for key, value in (item.get("metadata") or {}).items() if key != "generateName"}
    metadata["name"] = name
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
    if namespace is not None:
        metadata["namespace"] = namespace
    return {**item, "metadata": metadata}


def encode(item: JSONObject, name: str) -> bytes:
    """The object as JSON. YAML can say what JSON cannot (bytes, not a number, a list that holds itself): TemplateFault."""
    try:
        return json.dumps(item, separators=(",", ":"), allow_nan=False).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise TemplateFault(f"{name}:1", f"renders to something that JSON does not have: {error}") from None


def wrong_namespace(item: JSONObject, *, namespace: str | None) -> str | None:
    """What is wrong with the namespace that a rendered object names; None where nothing is."""
    own = (item.get("metadata") or {}).get("namespace")
    if own is None or own == namespace:
        return None
    if namespace is None:
        return f"{item['kind']} is cluster-scoped, but the template gives it namespace {own!r}"
    return f"namespace {own!r} is not the run's; leave it out, or write {{{{ namespace }}}}"


def b64(value: object) -> str:
    """Base64 of bytes, or of text in UTF-8."""
    if isinstance(value, str):
        value = value.encode()
    if not isinstance(value, bytes):
        raise TypeError(f"b64 takes text or bytes, not {type(value).__name__}")
    return base64.b64encode(value).decode("ascii")


def _rand_bytes(source: random.Random) -> Callable[[int], bytes]:
    def rand_bytes(count: int) -> bytes:
        if not 0 <= count <= MOST_RANDOM:
            raise ValueError(f"rand_bytes takes a number from 0 to {MOST_RANDOM}, not {count}")
        return source.randbytes(count)

    return rand_bytes


def _no_bytes(value: object) -> object:
    if isinstance(value, bytes):
        raise TypeError("bytes cannot stand in YAML; write them as {{ rand_bytes(16) | b64 }}")
    return value


def _line_of(error: BaseException) -> int:
    """The template's line in which an expression failed: Jinja2 puts it into the traceback."""
    line = getattr(error, "lineno", None) or 1
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _FRAME:
            line = trace.tb_lineno
        trace = trace.tb_next
    return int(line)


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
