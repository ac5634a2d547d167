"""Reading scenario files: one of the shipped by name, or any by path. A file that loads is valid in all its variants."""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from harness.core.errors import ScenarioError
from harness.core.paths import scenarios_dir
from harness.scenario.document import MAX_BYTES, parse_document
from harness.scenario.file import ScenarioFile, declare
from harness.scenario.hints import suggest
from harness.scenario.resolve import resolve

__all__ = ["ScenarioFile", "load", "shipped"]


def load(name_or_path: str | os.PathLike[str], *, apply: Sequence[Path] = ()) -> ScenarioFile:
    """The scenario file of that name or path; `apply` are manifests of the command line, beside those of its `setup`.

    What holds a path separator or ends in .yaml or .yml is a path. Every profile with every arm is resolved once, so that
    no mistake waits for a nightly run. Raises ScenarioError, one line with file:line:column.
    """
    text = os.fspath(name_or_path)
    if not (os.sep in text or text.endswith((".yaml", ".yml"))):
        if text not in (known := shipped()):
            remedy = (
                f"{suggest(text, known, title='shipped scenarios')} (a file is given by its path, as ./{text}.yaml)"
            )
            raise ScenarioError(f"unknown scenario {text!r}", remedy=remedy)
        return _read(scenarios_dir() / f"{text}.yaml", apply)
    return _read(Path(text), apply)


def shipped() -> list[str]:
    """Names of the scenarios that come with the harness, sorted."""
    return sorted(path.stem for path in scenarios_dir().glob("*.yaml"))


def _read(path: Path, apply: Sequence[Path]) -> ScenarioFile:
    display = _display(path)
    content = _content(path, display)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ScenarioError("not UTF-8 text", place=f"{display}:{line}", remedy="save it as UTF-8") from None
    document = parse_document(text.removeprefix("\ufeff"), display)
    manifests = tuple(each.absolute() for each in apply)
    file = ScenarioFile(path, hashlib.sha256(content).hexdigest(), document, declare(document, path.parent), manifests)
    for profile, arm in itertools.product([None, *file.profiles], [None, *file.arms]):
        resolve(file, profile=profile, arm=arm)
    return file


def _content(path: Path, display: str) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ScenarioError("not a file", place=display, remedy="give the path of a scenario file")
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ScenarioError(f"cannot read the scenario: {reason}", place=display, remedy="check the path") from None
    if len(content) > MAX_BYTES:
        raise ScenarioError(f"larger than {MAX_BYTES // 1024} KiB", place=display, remedy="is it a scenario?")
    return content


def _display(path: Path) -> str:
    """The path as errors call it: relative to the working directory where it lies below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (OSError, ValueError):
        return str(path)
