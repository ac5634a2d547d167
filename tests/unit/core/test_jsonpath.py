"""JSONPath as kubectl wait takes it."""

from __future__ import annotations

import pytest

from harness.core.jsonpath import parse

ITEM = {
    "metadata": {"labels": {"example.com/x": "l"}},
    "status": {
        "phase": "Done",
        "ready": True,
        "count": 3,
        "none": None,
        "list": [{"type": "A", "status": "True", "deep": {"n": 1}}, {"type": "B", "status": "False"}],
    },
}


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("{.status.phase}", ["Done"]),
        (".status.phase", ["Done"]),
        ("{$.status.phase}", ["Done"]),
        ("{.status['phase']}", ["Done"]),
        (r"{.metadata.labels.example\.com/x}", ["l"]),
        ("{.metadata.labels['example.com/x']}", ["l"]),
        ("{.status.list[0].type}", ["A"]),
        ("{.status.list[-1].type}", ["B"]),
        ("{.status.list[2].type}", []),
        ("{.status.list[*].type}", ["A", "B"]),
        ('{.status.list[?(@.type=="B")].status}', ["False"]),
        ("{.status.list[?(@.deep.n==1)].type}", ["A"]),
        ("{.status.list[?(@.type=='C')].status}", []),
        ("{.status.phase.more}", []),
        ("{.spec}", []),
    ],
)
def test_what_is_found(path: str, values: list[object]) -> None:
    assert parse(path).find(ITEM) == values


@pytest.mark.parametrize(
    ("path", "equals", "holds"),
    [
        (".status.phase", None, True),
        (".status.phase", "Done", True),
        (".status.phase", "done", False),
        (".status.ready", "true", True),
        (".status.count", "3", True),
        (".status.none", None, False),
        (".status.none", "None", False),
        (".status.list[*].type", "B", True),
        (".spec", None, False),
    ],
)
def test_what_holds(path: str, equals: str | None, holds: bool) -> None:
    assert parse(path).holds(ITEM, equals) is holds


@pytest.mark.parametrize("text", ["", "{}", "status", "{.a..b}", "{.a[}", "{.a[?(@.b>1)]}", "{.a} and more", "{.a b}"])
def test_what_is_not_known_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="JSONPath"):
        parse(text)
