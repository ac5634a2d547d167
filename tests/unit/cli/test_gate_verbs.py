"""`harness gate` and `harness compare`: what is wrong on the command line is one line and exit code 2, before any run."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli.main import command_line
from harness.core.errors import UsageError

_ARMS = ("--baseline", "scenario", "--candidate", "options:workers=5")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gate",), "a gate needs SCENARIO, --baseline and --candidate"),
        (("gate", "label-flip", "--baseline", "scenario"), "a gate needs SCENARIO, --baseline and --candidate"),
        (("gate", "lable-flip", *_ARMS), "unknown scenario 'lable-flip'"),
        (("gate", "smoke", *_ARMS), "scenario smoke does not say what decides"),
        (("gate", "label-flip", *_ARMS, "--primary", "x"), "--primary 'x' is not METRIC=THRESHOLD"),
        (("gate", "label-flip", *_ARMS, "--build", "make"), "--build is for git:REVISION, and neither arm is one"),
        (("gate", "label-flip", *_ARMS, "--set", "memray=launch"), "memray changes what is measured"),
        (("gate", "label-flip", "--baseline", "zzz", "--candidate", "scenario"), "no run 'zzz' here"),
        (
            ("gate", "label-flip", "--baseline", "scenario", "--candidate", "image:m:2"),
            "--candidate image:m:2: an image runs in a pod, and --cluster embedded runs none; use --cluster kind, or",
        ),
        (("gate", "label-flip", *_ARMS, "--kind-name", "x"), "--kind-name is about --cluster kind, not embedded"),
        (("gate", "label-flip", "--baseline", "command:/no/such", "--candidate", "scenario"), "'/no/such' is not"),
        (("gate", "--self-test", "--profile", "fast"), "--self-test has no profile 'fast'"),
        (("gate", "label-flip", "--self-test"), "--self-test measures a subject of its own"),
        (("gate", "--rejudge", "zzz"), "no experiment 'zzz' in"),
        (("gate", "label-flip", "--rejudge", "zzz"), "--rejudge takes all from the experiment"),
        (("gate", "--resume", "zzz"), "no experiment 'zzz' in"),
        (("gate", "--resume", "zzz", "--seed", "3"), "--resume takes all from the experiment"),
        (("gate", "label-flip", *_ARMS, "--retry-within", "20m"), "--retry-within is about the second try of a night"),
        (("nightly", "smoke", "--profile", "quick"), "smoke does not say what decides"),
        (("nightly", "label-flip", "label-flip"), "scenario label-flip is named twice"),
        (("nightly", "--budget", "43"), "lacks a unit"),
        (("nightly", "--budget", "43s"), "less than a minute"),
        (("nightly", "--profile", "nothing"), "nothing"),
        (("compare", "zzz", "yyy"), "no run 'zzz' here"),
        (("compare", "options:workers=5", "scenario"), "'options:workers=5' is a subject to be measured"),
    ],
)  # fmt: skip
def test_bad_usage(arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(command_line(("gate", "nightly", "compare")), arguments)
    assert isinstance(done.exception, UsageError), done.output
    assert message in str(done.exception)
    assert not list(tmp_path.glob("**/experiment.json"))


@pytest.mark.parametrize("arguments", [("gate", "label-flip", *_ARMS, "--pairs", "1"), ("compare", "a")])
def test_bad_numbers_and_missing_words(arguments: tuple[str, ...]) -> None:
    assert CliRunner().invoke(command_line(("gate", "compare")), arguments).exit_code == 2
