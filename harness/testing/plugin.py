"""The pytest plugin: fixtures `kube`, `subject` and `run_scenario`, and the markers of `markers.py`.

What it needs of the harness is imported when a fixture is first used: a session without them pays nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.core.errors import HarnessError, UsageError
from harness.testing import markers

if TYPE_CHECKING:
    from harness.record.models import OnBusy
    from harness.testing.kube import Kube, Session
    from harness.testing.results import Run

_RUNS = pytest.StashKey[list["Run"]]()
_OUT = "harness_out"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--harness-out`, and the same as an ini value."""
    words = "where the records of run_scenario go; default: the tmp_path of each test"
    parser.getgroup("controller-harness").addoption("--harness-out", metavar="DIR", help=words)
    parser.addini(_OUT, words, default="")


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known."""
    for line in markers.LINES:
        config.addinivalue_line("markers", line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A marker that is written wrongly is told before anything has run."""
    for item in items:
        for mark in _marks(item):
            try:
                markers.check(mark)
            except UsageError as error:
                raise pytest.UsageError(f"{item.nodeid}: {error}") from None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """After the test itself: whether its runs keep to its markers."""
    result = yield
    runs: list[Run] = item.stash.get(_RUNS, [])
    sentences = [line for mark in _marks(item) for line in markers.broken(mark, runs)]
    if sentences:
        pytest.fail("\n".join(sentences), pytrace=False)
    return result


@pytest.fixture
def subject() -> str | Sequence[str] | None:
    """The controller that `run_scenario` tests: override it with its command. None: the scenario's own subject."""
    return None


@pytest.fixture
def run_scenario(
    request: pytest.FixtureRequest, subject: str | Sequence[str] | None, tmp_path: Path
) -> Callable[..., Run]:
    """`run_scenario(name_or_path, *, set={…}, profile=, arm=, subject=, …)` -> `Run`; arguments of `Scenario` and `run`.

    A relative path is one beside the test's file, else below the working directory. A run that is not sound (`invalid`,
    `error`) fails the test, unless `check=False`.
    """
    own = subject

    def run_scenario(
        scenario: str | os.PathLike[str],
        *,
        profile: str | None = None,
        arm: str | None = None,
        set: dict[str, object] | None = None,  # noqa: A002 # the scenario's word
        check: bool = True,
        subject: str | Sequence[str] | None = None,
        subject_image: str | None = None,
        memray: str | None = None,
        cluster: str = "embedded",
        on_busy: OnBusy | None = None,
        timeout_s: float | None = None,
    ) -> Run:
        __tracebackhide__ = True
        from harness.testing.run import TIMEOUT_S, Scenario, run

        out = request.config.getoption("--harness-out") or request.config.getini(_OUT) or tmp_path / "runs"
        try:
            wanted = Scenario(_beside(request.path, scenario), profile=profile, arm=arm, set=set or {})
            done = run(
                wanted,
                subject=own if subject is None else subject,
                subject_image=subject_image,
                memray=memray,
                cluster=cluster,
                on_busy=on_busy,
                out=out,
                timeout_s=timeout_s or TIMEOUT_S,
            )
        except HarnessError as error:
            pytest.fail(str(error), pytrace=False)
        request.node.stash.setdefault(_RUNS, []).append(done)
        request.node.user_properties.append(("harness_report", str(done.report)))
        request.node.add_report_section("call", "harness", f"{done.id} {done.verdict}, report: {done.report}")
        if check and not done.sound:
            pytest.fail(f"the run is {done.verdict}: {'; '.join(done.reasons)} (report: {done.report})", pytrace=False)
        return done

    return run_scenario


@pytest.fixture(scope="session")
def _harness_kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    from harness.testing.kube import session

    try:
        with session(tmp_path_factory.mktemp("kube")) as cluster:
            yield cluster
    except HarnessError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def kube(_harness_kube: Session) -> Iterator[Kube]:
    """A real API server (one embedded cluster for the session), and a clean namespace of it for this test."""
    with _harness_kube.kube() as kube:
        yield kube


def _marks(item: pytest.Item) -> Iterator[pytest.Mark]:
    for name in markers.NAMES:
        yield from item.iter_markers(name)


def _beside(test: Path, scenario: str | os.PathLike[str]) -> str | os.PathLike[str]:
    near = test.parent / scenario
    return near if near.is_file() else scenario
