"""`harness claims`: what is wrong on the command line is one line and exit code 2, before any run."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli.main import command_line
from harness.core.errors import UsageError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("7",), "there is no row 7; the rows are 1, 2, 3, 4, 5"),
        (("--profile", "fast"), "harness claims has no profile 'fast'"),
        (("--budget", "9"), "--budget: "),
        (("--budget", "soon"), "--budget: 'soon' is not a quantity"),
        (("--budget", "0s"), "--budget 0s is less than a minute"),
        (("--budget", "59s"), "is less than a minute"),
        (("--budget", "-9m"), "--budget"),
    ],
)
def test_bad_usage(arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(command_line(("claims",)), ["claims", *arguments])
    assert isinstance(done.exception, UsageError), done.output
    assert message in str(done.exception)
    assert not list(tmp_path.rglob("*.json"))
