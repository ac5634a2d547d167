"""The token that the load generator shows, and shows anew once it was replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadgen import token
from loadgen.fields import PlanError
from loadgen.token import Token


def test_without_a_file_there_is_no_header() -> None:
    assert Token(None).header() == ""


def test_a_replaced_token_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(token.time, "monotonic", lambda: now)
    path = tmp_path / "token"
    path.write_text("one\n")
    shown = Token(str(path))
    assert shown.header() == "Authorization: Bearer one\r\n"
    path.write_text("two")
    now += token.FRESH_S / 2
    assert shown.header() == "Authorization: Bearer one\r\n"
    now += token.FRESH_S
    assert shown.header() == "Authorization: Bearer two\r\n"
    path.unlink()
    now += 2 * token.FRESH_S
    assert shown.header() == "Authorization: Bearer two\r\n", "the last one known is still the best there is"


def test_a_file_that_is_not_there_is_a_wrong_plan(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"plan\.token_file: .*No such file"):
        Token(str(tmp_path / "none"))
