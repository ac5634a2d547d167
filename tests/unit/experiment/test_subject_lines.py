"""What the command line says of a subject of its own: its environment, its addresses, and who must not be measured for it."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from harness.cli import subject_options
from harness.core.errors import EnvironmentFault, UsageError
from harness.experiment import preflight
from harness.experiment.options import RunOptions
from harness.experiment.subjects import of, webhooks
from harness.scenario.load import load
from harness.scenario.model import Subject, Webhooks
from harness.scenario.resolve import resolve

FLEET = Subject(controller="fleet")
LINE = "./manager --kubeconfig {kubeconfig}"


def options(**changes: Any) -> RunOptions:
    return RunOptions(out=Path("unused"), **changes)


def test_a_command_of_the_command_line_has_its_addresses_and_environment() -> None:
    found = of(
        FLEET,
        options(
            subject=LINE,
            subject_env={"NAMESPACE": "{namespace}"},
            subject_metrics="http://127.0.0.1:{port:metrics}/metrics",
            subject_pprof="http://127.0.0.1:6060/debug/pprof",
            subject_ready="http://127.0.0.1:{port:health}/readyz",
        ),
    )
    assert found.command == ["./manager", "--kubeconfig", "{kubeconfig}"]
    assert found.env == {"NAMESPACE": "{namespace}"}
    assert (found.metrics, found.pprof) == (
        "http://127.0.0.1:{port:metrics}/metrics",
        "http://127.0.0.1:6060/debug/pprof",
    )
    assert found.ready is not None
    assert found.ready.http == "http://127.0.0.1:{port:health}/readyz"


def test_it_goes_over_what_the_scenario_says() -> None:
    own = Subject(command=["x"], env={"A": "1", "B": "1"}, metrics="http://127.0.0.1:1/metrics")
    found = of(own, options(subject_env={"B": "2"}))
    assert (found.env, found.metrics) == ({"A": "1", "B": "2"}, "http://127.0.0.1:1/metrics")


@pytest.mark.parametrize("name", ["metrics", "pprof", "ready"])
def test_the_addresses_of_a_reference_controller_are_known(name: str) -> None:
    with pytest.raises(UsageError, match=f"--subject-{name} is known for the reference controller fleet"):
        of(FLEET, options(**{f"subject_{name}": "http://127.0.0.1:1/x"}))


def test_who_runs_already_has_addresses_but_no_environment() -> None:
    import os

    mine = os.getpid()
    assert of(FLEET, options(pid=mine, subject_metrics="http://127.0.0.1:1/m")).metrics == "http://127.0.0.1:1/m"
    for changes, words in (
        ({"subject_env": {"A": "1"}}, "--subject-env is for who starts the process"),
        ({"subject_ready": "http://127.0.0.1:1/x"}, "--subject-ready is for who starts the process"),
        ({"subject_webhooks": (Path("x.yaml"),)}, "--subject-webhooks is for who starts the process"),
        ({"subject_metrics": "http://127.0.0.1:{port:m}/x"}, "cannot have a port of the run's"),
    ):
        with pytest.raises(UsageError, match=words):
            of(FLEET, options(pid=mine, **changes))


@pytest.mark.parametrize("pair", ["GOGC", "=1", "KUBECONFIG=x", "HARNESS_X=1", "not a name=1"])
def test_a_variable_that_cannot_be_set_is_told_without_its_value(pair: str) -> None:
    with pytest.raises(UsageError) as caught:
        subject_options.environment([pair])
    name, _, value = pair.partition("=")
    assert f"--subject-env {name}" in str(caught.value)
    assert not value or f"={value}" not in str(caught.value)


def test_variables_and_addresses_are_taken_as_a_scenario_takes_them() -> None:
    assert subject_options.environment(["A=b=c", "E="]) == {"A": "b=c", "E": ""}
    url = "http://127.0.0.1:{port:metrics}/metrics"
    assert subject_options.address(url, "--subject-metrics") == url
    assert subject_options.address(None, "--subject-metrics") is None
    with pytest.raises(UsageError, match="--subject-pprof: expected an address"):
        subject_options.address("127.0.0.1:6060", "--subject-pprof")


def test_somebody_else_is_not_measured_for_the_subject(tmp_path: Path) -> None:
    made = resolve(load("secrets-8k"))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        taken = other.getsockname()[1]
        for name in ("metrics", "pprof", "ready"):
            chosen = options(subject="true", **{f"subject_{name}": f"http://localhost:{taken}/x"})
            with pytest.raises(
                EnvironmentFault, match=rf"another program listens on localhost:{taken}.*subject's {name}"
            ):
                preflight.check([made], chosen, tmp_path)
    for free in (f"http://127.0.0.1:{taken}/x", "http://127.0.0.1:{port:metrics}/x", "http://elsewhere.invalid:1/x"):
        preflight._addresses(of(FLEET, options(subject="true", subject_metrics=free)), "x")


def test_webhooks_of_the_command_line_go_over_those_of_the_scenario() -> None:
    given = options(subject=LINE, subject_webhooks=(Path("mine.yaml"),))
    mine = str(Path("mine.yaml").absolute())
    assert webhooks(FLEET, given) == Webhooks(port="webhook", configurations=[mine])
    own = Subject(command=["x"], webhooks=Webhooks(port="hook", configurations=["own.yaml"]))
    assert webhooks(own, given) == Webhooks(port="hook", configurations=[mine])
    assert webhooks(own, options()) == own.webhooks
    with pytest.raises(UsageError, match="--subject-webhooks is known for the reference controller fleet"):
        of(FLEET, options(subject_webhooks=(Path("mine.yaml"),)))
    two = Subject(controller="fleet", replicas=2)
    with pytest.raises(UsageError, match="at one address, not at two replicas"):
        of(two, given)


def test_its_webhooks_and_their_placeholders_are_looked_at_before_anything_starts(tmp_path: Path) -> None:
    made = resolve(load("secrets-8k"))
    file = tmp_path / "webhooks.yaml"
    file.write_text("apiVersion: v1\nkind: Service\nmetadata: {name: none}\n")
    with pytest.raises(UsageError, match="Service/none is no webhook configuration"):
        preflight.check([made], options(subject="true {webhook:tmp}", subject_webhooks=(file,)), tmp_path)
    with pytest.raises(UsageError, match=r"unknown placeholder \{webhook:tmp\}; set subject.webhooks"):
        preflight.check([made], options(subject="true {webhook:tmp}"), tmp_path)
