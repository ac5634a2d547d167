"""Errors are one line with place, cause and remedy, and exit codes are the documented ones."""

from __future__ import annotations

from harness.core.errors import EnvironmentFault, ExitCode, RunFault, ScenarioError, UsageError


def test_an_error_is_one_line() -> None:
    error = ScenarioError("unknown key\n'lod'.", place="smoke.yaml:3:1", remedy="did you mean 'load'?")
    assert str(error) == "smoke.yaml:3:1: unknown key 'lod'; did you mean 'load'?"


def test_exit_codes_are_those_of_the_design() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "PASSED": 0, "FAILED": 1, "USAGE": 2, "INVALID": 3, "ENVIRONMENT": 4, "BUG": 70, "INTERRUPTED": 130,
    }  # fmt: skip
    assert [kind("x").exit_code for kind in (UsageError, ScenarioError, EnvironmentFault, RunFault)] == [2, 2, 4, 3]
