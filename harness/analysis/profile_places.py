"""Where in code a frame of a profile lies, so that profiles of two checkouts and two machines can be put side by side."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from harness.core.stacks import Frame, Kind

_INSTALLED = re.compile(r"^.*/(?:site-packages|dist-packages)/")
_STANDARD = re.compile(r"^.*/lib(?:64)?/python\d+\.\d+/(?:lib-dynload/)?")
_MODULE_CACHE = re.compile(r"^.*/pkg/mod/")
UNKNOWN = "(unknown)"


def short(file: str) -> str:
    """A file without the part of its path that only says where things are installed."""
    for pattern in (_INSTALLED, _STANDARD, _MODULE_CACHE):
        if pattern.match(file):
            return pattern.sub("", file)
    return file


def installed(file: str) -> bool:
    """Whether a file belongs to an installed package or to Python itself: it has the same short name everywhere."""
    return short(file) != file or file.startswith("<") or not file


def package(frame: Frame, kind: Kind) -> str:
    """The package that a frame's code belongs to: a Go import path; a top-level module, or the folder of own files."""
    if kind == "go-heap":
        head, slash, tail = frame.function.rpartition("/")
        return (head + slash + tail.split(".", 1)[0]) or UNKNOWN
    if not frame.file:
        return UNKNOWN
    if frame.file.startswith("<frozen "):
        return frame.file.removeprefix("<frozen ").rstrip(">").split(".")[0]
    path = PurePosixPath(short(frame.file))
    if installed(frame.file):
        return path.parts[0].removesuffix(".py").split(".")[0]
    return str(path.parent)


def aligned(before: Iterable[str], after: Iterable[str]) -> Mapping[str, str]:
    """For each file of `before` its name in `after`, so that two checkouts of the same code meet.

    Files that are in both, and installed ones by their short name, stay; others get the file of `after` that has most
    path components in common from the end, where there is one only and it is nobody else's.
    """
    theirs = {short(file) for file in after}
    names: dict[str, str] = {}
    lost = []
    for file in set(before):
        name = short(file)
        names[file] = name
        if name not in theirs and not installed(file):
            lost.append(file)
    free = theirs - set(names.values())
    for file in sorted(lost):
        best = _closest(PurePosixPath(file), free)
        if best is not None:
            names[file] = best
            free.discard(best)
    return names


def _closest(file: PurePosixPath, candidates: Iterable[str]) -> str | None:
    scores: dict[int, list[str]] = {}
    for candidate in candidates:
        common = 0
        for mine, other in zip(reversed(file.parts), reversed(PurePosixPath(candidate).parts), strict=False):
            if mine != other:
                break
            common += 1
        if common:
            scores.setdefault(common, []).append(candidate)
    best = scores[max(scores)] if scores else []
    return best[0] if len(best) == 1 else None
