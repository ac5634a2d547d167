"""Finding out what a command runs on."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.handles import PythonRuntime, SubjectRuntime
from harness.subject import runtime

ENV = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
THIS = PythonRuntime(Path(sys.executable).with_name("python"), sys.version_info[:2])


def detect(*command: str, cwd: Path | None = None, **env: str) -> tuple[SubjectRuntime, PythonRuntime | None]:
    kind, python = asyncio.run(runtime.detect(command, {**ENV, **env}, cwd))
    if python is not None:  # `python` and `python3` of one environment are the same
        python = replace(python, executable=python.executable.with_name("python"))
    return kind, python


def script(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_python_by_its_name() -> None:
    assert detect(sys.executable, "-m", "kopf", "run") == ("python", THIS)


def test_python_on_path_through_env() -> None:
    bin_ = str(Path(sys.executable).parent)
    assert detect("env", "-u", "X", f"PATH={bin_}:{ENV['PATH']}", "python", "x.py") == ("python", THIS)


@pytest.mark.parametrize(
    "first_lines",
    [
        f"#!{sys.executable}",
        f"#!{sys.executable} -u",
        "#!/usr/bin/env python3",
        "#!/usr/bin/env -S python3 -u -X dev",
        f"#!/bin/sh\n'''exec' \"{sys.executable}\" \"$0\" \"$@\"\n' '''",
    ],
)
def test_python_by_a_scripts_first_line(tmp_path: Path, first_lines: str) -> None:
    program = script(tmp_path / "kopf", f"{first_lines}\nprint()\n")
    path = f"{Path(sys.executable).parent}:{ENV['PATH']}"
    assert detect(program, "run", PATH=path) == ("python", THIS)
    assert detect("./kopf", cwd=tmp_path, PATH=path) == ("python", THIS)


def test_uv_run(tmp_path: Path) -> None:
    """With a stand-in for `uv`, which executes what follows the options it knows."""
    bin_ = Path(sys.executable).parent
    script(tmp_path / "uv", f'#!/bin/sh\nshift\n[ "$1" = --project ] && shift 2\nPATH={bin_}:$PATH exec "$@"\n')
    path = f"{tmp_path}:{ENV['PATH']}"
    assert detect("uv", "run", "--project", "x", "python", "-m", "y", PATH=path) == ("python", THIS)
    assert detect("uv", "run", "main.py", PATH=path) == ("python", THIS)
    assert detect("uv", "run", "-m", "pkg", PATH=path) == ("python", THIS)
    assert detect("uv", "run", "pytest", PATH=path) == ("python", THIS)  # a script of that environment
    assert detect("uv", "run", "true", PATH=path) == ("other", None)
    assert detect("uv", "--version", PATH=path) == ("other", None)


def test_an_interpreter_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "ASK_LIMIT_S", 0.05)
    assert detect(script(tmp_path / "python3", "#!/bin/sh\nexec sleep 5\n")) == ("other", None)


def test_another_implementation(tmp_path: Path) -> None:
    program = script(tmp_path / "pypy3", '#!/bin/sh\necho \'["pypy", "/usr/bin/pypy3", 3, 10]\'\n')
    assert detect(program) == ("other", None)


def test_go_by_its_build_information(tmp_path: Path) -> None:
    program = tmp_path / "manager"
    shutil.copy("/bin/true", program)
    assert detect(str(program)) == ("other", None)
    with program.open("ab") as file:
        file.write(b"\0" * (-program.stat().st_size % 16 + 8) + b"\xff Go buildinf:")  # not aligned: just a text
    assert not runtime.is_go(program)
    with program.open("ab") as file:
        file.write(b"\0" * (-program.stat().st_size % 16) + b"\xff Go buildinf:\x08\x02")
    assert detect(str(program)) == ("go", None)


def test_other_programs(tmp_path: Path) -> None:
    assert detect("sh", "-c", "python3 x") == ("other", None)
    assert detect("no-such-command") == ("other", None)
    assert detect(str(tmp_path)) == ("other", None)
    empty = script(tmp_path / "empty", "")
    assert detect(empty) == ("other", None)


def test_scripts_that_name_each_other_end(tmp_path: Path) -> None:
    program = tmp_path / "loop"
    assert detect(script(program, f"#!{program}\n")) == ("other", None)


def test_go_behind_env_is_still_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "is_go", lambda program: Path(program).name == "true")
    assert detect("env", "NAMESPACE=x", "env", "-u", "Y", "true")[0] == "go"
    assert detect("env", "true")[0] == "go"
    assert detect("env", "A=b")[0] == "other"
