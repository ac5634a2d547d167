"""Every mistake in a file is one line: place, cause, remedy."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from harness.core.errors import ExitCode, ScenarioError
from harness.scenario.document import MAX_BYTES
from harness.scenario.load import load
from tests.unit.scenario.scenario_files import DESIGN, changed, error_of

NO_SUBJECT = "x.yaml:3:10: a subject needs a controller or a command; write controller: fleet, or command: [./manager]"
_ESCAPES = {r"\n": "\n", r"\t": "\t", r"\a": "\a"}


def mistakes() -> list[object]:
    """The blocks of mistakes.txt: old text, new text, message."""
    blocks = (Path(__file__).parent / "mistakes.txt").read_text().split("\n\n")
    rows = [block.strip().splitlines() for block in blocks]
    return [
        pytest.param(old[2:], re.sub(r"\\[nta]", lambda match: _ESCAPES[match[0]], new[2:]), message[2:], id=title[2:])
        for title, old, new, message in (row for row in rows if len(row) == 4)
    ]


@pytest.mark.parametrize(("old", "new", "message"), mistakes())
def test_a_mistake_is_one_line_with_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert error_of(tmp_path, changed(old, new)) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.yaml:1:1: a scenario is a mapping of keys; see docs/scenarios.md"),
        ("# nothing\n", "x.yaml:1:1: a scenario is a mapping of keys; see docs/scenarios.md"),
        ("- a\n", "x.yaml:1:1: a scenario is a mapping of keys; see docs/scenarios.md"),
        (b"name: \xff\n", "x.yaml:1: not UTF-8 text; save it as UTF-8"),
        ("name: a\n", "x.yaml:1:1: key 'summary' is missing; docs/scenarios.md describes it"),
        ("name: a\nsummary: b\n", "x.yaml:1:1: key 'subject' is missing; docs/scenarios.md describes it"),
        ("name: a\nsummary: b\nsubject: {}\n", NO_SUBJECT),
        ("a" * (MAX_BYTES + 1), "x.yaml: larger than 256 KiB; is it a scenario?"),
    ],
    ids=["empty", "comment", "list", "latin-1", "no-summary", "no-subject", "empty-subject", "huge"],
)  # fmt: skip
def test_a_file_that_is_no_scenario(tmp_path: Path, text: str | bytes, message: str) -> None:
    assert error_of(tmp_path, text) == message


def test_the_example_itself_is_right(tmp_path: Path) -> None:
    assert error_of(tmp_path, DESIGN) == ""


def test_the_mistake_that_stands_first_is_reported(tmp_path: Path) -> None:
    text = changed("10m", "10", changed("kind: GitRepo", "kind: GitRep", changed("< 60s", "< 60")))
    assert error_of(tmp_path, text).startswith("x.yaml:10:20:")


def test_a_list_cannot_stand_in_text(tmp_path: Path) -> None:
    text = changed("workers: 50", "workers: [1]", changed('"{workers}"', '"{workers} of them"'))
    remedy = "let it stand alone, or give it a plain value"
    note = "({workers} is a list, line 4)"
    assert error_of(tmp_path, text) == (
        f"x.yaml:6:49: {{workers}} is a list, which cannot stand inside other text {note}; {remedy}"
    )


def test_a_scenario_error_ends_in_bad_usage(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as caught:
        load(tmp_path / "none.yaml")
    assert caught.value.exit_code == ExitCode.USAGE
    assert (
        str(caught.value)
        == f"{tmp_path}/none.yaml: cannot read the scenario: no such file or directory; check the path"
    )


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ScenarioError) as caught:
        load("lable-flip")
    assert str(caught.value) == (
        "unknown scenario 'lable-flip'; did you mean 'label-flip'? (a file is given by its path, as ./lable-flip.yaml)"
    )
    shipped = (
        "calibrated, failover, fleet-scale, kserve-secrets-8k, label-flip, leak, native-secrets-8k, native-watcher-init, "
        "secrets-8k, smoke, soak, watcher-init"
    )
    with pytest.raises(ScenarioError, match=f"shipped scenarios: {shipped}"):
        load("zzz")


@pytest.mark.timeout(10)
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    with pytest.raises(ScenarioError, match="not a file; give the path of a scenario file"):
        load(pipe)


def test_errors_name_a_file_below_the_working_directory_as_it_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("nam: a\n")
    with pytest.raises(ScenarioError, match=r"^mine\.yaml:1:1: unknown key 'nam'; did you mean 'name'\?$"):
        load("./mine.yaml")
