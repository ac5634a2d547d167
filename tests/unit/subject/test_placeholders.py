"""Placeholders in commands, variables and URLs."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.subject.placeholders import Placeholders


def placeholders() -> Placeholders:
    ports = iter(range(7001, 7100))
    return Placeholders(kubeconfig=Path("/k/config"), namespace="run-x", run_id="x", new_port=lambda: next(ports))


def test_all_are_filled_and_a_port_stays_the_same() -> None:
    fill = placeholders()
    assert fill.fill_command(["./m", "--kubeconfig={kubeconfig}", "-n", "{namespace}", "{run_id}", ":{port:metrics}"]) == [
        "./m", "--kubeconfig=/k/config", "-n", "run-x", "x", ":7001",
    ]  # fmt: skip
    assert fill.fill("http://127.0.0.1:{port:metrics}/{port:health}") == "http://127.0.0.1:7001/7002"
    assert fill.fill_env({"PORT": "{port:health}"}) == {"PORT": "7002"}
    assert fill.ports == {"metrics": 7001, "health": 7002}


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}',
        '{"a":{"b":[]}}',
        "{}",
        "{ namespace }",
        "{{namespace}}",
        "{{.Name}}",
        "${HOME}",
        "{1}",
        "{a,b}",
        "{image:v1}",
    ],
)
def test_other_braces_survive(text: str) -> None:
    assert placeholders().fill(text) == text


def test_inside_json() -> None:
    assert placeholders().fill('{"port":{port:web},"ns":"{namespace}"}') == '{"port":7001,"ns":"run-x"}'


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("{kubconfig}", "did you mean {kubeconfig}?"),
        ("{Namespace}", "did you mean {namespace}?"),
        ("{port}", "did you mean {port:NAME}?"),
        ("{prot:web}", "did you mean {port:web}?"),
        ("{workers}", "there are {kubeconfig}, {namespace}, {run_id}, {port:NAME}"),
    ],
)
def test_unknown_ones_are_errors(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        placeholders().fill(f"--x={text}", place="scenario.yaml:3:5")
    assert str(caught.value) == f"scenario.yaml:3:5: unknown placeholder {text}; {hint}"
