"""How a Python command line is put together, so that a profiler can be put in front of the program."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.core.errors import UsageError

_INTERPRETER = re.compile(r"python(\d(\.\d+)?)?t?")
_FLAGS = frozenset("bBdEiIOPqRsSuvx")
_WITH_VALUE = frozenset("WX")
_MODES = frozenset("cm")
_ISOLATING = frozenset("EI")
_SHEBANG_BYTES = 512


@dataclass(frozen=True, slots=True)
class PythonCommand:
    """An interpreter, its own flags, and what it runs: `-m module`, `-c code` or a script, with arguments."""

    interpreter: str
    flags: tuple[str, ...]
    mode: Literal["m", "c", "script"]
    target: str
    arguments: tuple[str, ...]

    def under(self, *prefix: str) -> list[str]:
        """The command that runs the same program under `prefix`, such as `-m memray run …`."""
        option = () if self.mode == "script" else (f"-{self.mode}",)
        return [self.interpreter, *self.flags, *prefix, *option, self.target, *self.arguments]


def parse(command: Sequence[str], *, executable: Path, search_path: str | None = None) -> PythonCommand:
    """Take a command apart: `python [flags] -m pkg …`, `python [flags] script …`, or a script with a Python shebang.

    `executable` is the interpreter that scripts run with. Raises UsageError for anything else, and where a flag makes the
    interpreter ignore PYTHONPATH.
    """
    if not command:
        raise UsageError("the subject's command is empty")
    first = command[0]
    if _INTERPRETER.fullmatch(Path(first).name) or Path(first) == executable:
        return _interpreted(first, list(command[1:]))
    script = shutil.which(first, path=search_path)
    if script is not None and _has_python_shebang(Path(script)):
        return PythonCommand(str(executable), (), "script", script, tuple(command[1:]))
    raise UsageError(
        "is not a Python command, so memray cannot be put in front of it",
        place=first,
        remedy="write it as `python -m package …` or `python script.py …`, or leave --memray out",
    )


def _interpreted(interpreter: str, rest: list[str]) -> PythonCommand:
    flags: list[str] = []
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-":
            break
        if word.startswith("--"):
            flags += [word] if "=" in word or not rest else [word, rest.pop(0)]
            continue
        for at, letter in enumerate(word[1:], start=1):
            value = word[at + 1 :]
            if letter in _ISOLATING:
                raise UsageError(f"its flag -{letter} makes Python ignore what is injected", place=interpreter)
            if letter in _FLAGS:
                flags.append(f"-{letter}")
                continue
            if letter in _WITH_VALUE | _MODES:
                if not value and not rest:
                    raise UsageError(f"its flag -{letter} lacks a value", place=interpreter)
                value = value or rest.pop(0)
                if letter == "m":
                    return PythonCommand(interpreter, tuple(flags), "m", value, tuple(rest))
                if letter == "c":
                    return PythonCommand(interpreter, tuple(flags), "c", value, tuple(rest))
                flags.append(f"-{letter}{value}")
                break
            raise UsageError(f"its flag -{letter} is not one that runs a program", place=interpreter)
    else:
        raise UsageError("names no program to run", place=interpreter)
    if word == "-":
        raise UsageError("a program on standard input cannot be profiled", place=interpreter)
    return PythonCommand(interpreter, tuple(flags), "script", word, tuple(rest))


def _has_python_shebang(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(_SHEBANG_BYTES).split(b"\n")
    except OSError:
        return False
    if not head[0].startswith(b"#!"):
        return False
    # pip writes `#!/bin/sh` and `'''exec' /long/path/python "$0" "$@"` where the path is too long for the kernel.
    return b"python" in head[0] or (len(head) > 1 and head[1].startswith(b"'''exec' ") and b"python" in head[1])
