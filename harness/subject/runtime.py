"""What kind of program a command starts: what can be injected and which heap figures exist depend on it. Best effort."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.core.handles import PythonRuntime, SubjectRuntime
from harness.core.programs import is_go

ASK_LIMIT_S = 20.0
"""How long an interpreter may take to say what it is; `uv run` may have to look at its environment first."""
MAX_DEPTH = 4
"""Wrappers in a row that are followed: `env`, `uv run`, a script, `env` in its first line."""

_ASK = "import json, sys; print(json.dumps([sys.implementation.name, sys.executable, *sys.version_info[:2]]))"
_PYTHON = re.compile(r"(python|pypy)(\d+(\.\d+)*)?t?")
_LONG_SHEBANG = re.compile(r"""'''exec'\s+(?:"(?P<quoted>[^"]+)"|(?P<bare>\S+))""")
# Options of `uv run` that take a value as the next word.
_UV_VALUES = {
    "-p", "--python", "--with", "--with-editable", "--with-requirements", "--extra", "--group", "--only-group", "--no-group",
    "--project", "--directory", "--package", "--env-file", "--index", "--default-index", "--find-links", "--cache-dir",
    "--config-file", "--color", "--link-mode", "--resolution", "--prerelease",
}  # fmt: skip


async def detect(
    command: Sequence[str], env: Mapping[str, str], cwd: Path | None = None
) -> tuple[SubjectRuntime, PythonRuntime | None]:
    """The runtime of `command` in the environment it will have; ("other", None) where it cannot be told."""
    return await asyncio.to_thread(_detect, list(command), dict(env), cwd or Path.cwd())


def _detect(command: list[str], env: dict[str, str], cwd: Path) -> tuple[SubjectRuntime, PythonRuntime | None]:
    asker = _python_of(command, env, cwd, MAX_DEPTH)
    if asker is not None:
        python = _ask(asker, env, cwd)
        return ("python", python) if python else ("other", None)
    for _ in range(MAX_DEPTH):
        if command and Path(command[0]).name == "env":
            command = _after_env(command[1:], env)
    program = _which(command[0], env, cwd) if command else None
    return ("go", None) if program and is_go(program) else ("other", None)


def _python_of(command: list[str], env: dict[str, str], cwd: Path, depth: int) -> list[str] | None:
    """The words that start the interpreter behind `command`; None when it is not Python."""
    if not command or depth == 0:
        return None
    program = _which(command[0], env, cwd)
    if program is None:
        return None
    name = Path(command[0]).name
    if name == "env":
        return _python_of(_after_env(command[1:], env), env, cwd, depth - 1)
    if name in ("uv", "uvx"):
        return _python_of_uv(command, env, cwd, depth)
    if _PYTHON.fullmatch(name):
        return [str(program)]
    interpreter = _shebang(program)
    return _python_of(interpreter, env, cwd, depth - 1) if interpreter else None


def _after_env(words: list[str], env: dict[str, str]) -> list[str]:
    """What `env` executes; its assignments take effect on `env`."""
    while words:
        word = words[0]
        if word in ("-S", "--split-string") and len(words) > 1:
            words = [*words[1].split(), *words[2:]]
        elif word.startswith("-S"):
            words = [*word[2:].split(), *words[1:]]
        elif word in ("-u", "--unset", "-C", "--chdir"):
            words = words[2:]
        elif word.startswith("-"):
            words = words[1:]
        elif "=" in word:
            key, _, value = word.partition("=")
            env[key] = value
            words = words[1:]
        else:
            break
    return words


def _python_of_uv(command: list[str], env: dict[str, str], cwd: Path, depth: int) -> list[str] | None:
    """`uv run [options] program`: the program is looked at, and its interpreter asked for through the same `uv run`."""
    if len(command) < 3 or command[1] != "run":
        return None
    position = 2
    while position < len(command) and command[position].startswith("-") and command[position] != "--":
        if command[position] in ("-m", "--module", "-s", "--script"):
            return [*command[:position], "python"]
        position += 2 if command[position] in _UV_VALUES else 1
    options, target = command[:position], command[position:]
    if target and target[0] == "--":
        target = target[1:]
    if not target:
        return None
    if _PYTHON.fullmatch(Path(target[0]).name) or target[0].endswith(".py"):
        return [*options, "python"]
    # A program of the project's environment: see what its first line says, as found by that environment's Python.
    found = _run([*options, "python", "-c", f"import shutil; print(shutil.which({target[0]!r}) or '')"], env, cwd)
    return _python_of([found, *target[1:]], env, cwd, depth - 1) if found else None


def _shebang(program: Path) -> list[str] | None:
    try:
        with program.open("rb") as file:
            head = file.read(4096)
    except OSError:
        return None
    if not head.startswith(b"#!"):
        return None
    lines = head.decode(errors="replace").splitlines()
    # Installers write this where the interpreter's path is too long for the kernel.
    long = _LONG_SHEBANG.match(lines[1]) if len(lines) > 1 else None
    if long:
        return [long["quoted"] or long["bare"]]
    interpreter, _, argument = lines[0][2:].strip().partition(" ")
    return [interpreter, *([argument.strip()] if argument.strip() else [])]


def _ask(interpreter: list[str], env: dict[str, str], cwd: Path) -> PythonRuntime | None:
    answer = _run([*interpreter, "-I", "-c", _ASK], env, cwd)
    try:
        implementation, executable, major, minor = json.loads(answer)
    except ValueError:
        return None
    # What is injected is built for CPython.
    return PythonRuntime(Path(executable), (major, minor)) if implementation == "cpython" and executable else None


def _run(command: list[str], env: dict[str, str], cwd: Path) -> str:
    try:
        done = subprocess.run(
            command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ASK_LIMIT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = done.stdout.strip().splitlines()
    return lines[-1] if done.returncode == 0 and lines else ""


def _which(program: str, env: Mapping[str, str], cwd: Path) -> Path | None:
    if os.sep in program:
        path = cwd / program
        return path if path.is_file() else None
    found = shutil.which(program, path=env.get("PATH", os.defpath))
    return Path(found) if found else None
